"""CSV table of verdicts, a row a video, written as they come."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.errors import naming
from serving.analysis.csv_rows import csv_header, csv_row


def check_place(path: Path) -> None:
    """Raises OSError where no table can be written there: told before hours of work, not after."""
    if path.is_dir():
        raise IsADirectoryError(f"{path}: is a folder; give a file for the table.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: No such file, nor its folder; make that first.")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"{path}: its folder cannot be written to.")


class CsvTable:
    """A file of `csv_rows`, begun anew; each row is on disk at once."""

    def __init__(self, path: Path):
        """Raises OSError."""
        self._path = path
        self._file = open(path, "wb", buffering=0)
        try:
            self._write(csv_header())
        except OSError:
            self._file.close()
            raise

    def add(self, result: Mapping[str, Any]) -> None:
        """Raises OSError where the row cannot be written whole; nothing of it is there then."""
        self._write(csv_row(result))

    def _write(self, text: str) -> None:
        data = memoryview(text.encode("utf-8", "backslashreplace"))
        start = self._file.tell()
        with naming(self._path):
            try:
                while data:
                    data = data[self._file.write(data) :]
            except OSError:
                self._file.truncate(start)
                raise

    def close(self) -> None:
        self._file.close()
