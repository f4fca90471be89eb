"""Atomic files and folders: written aside, then renamed into place whole, or not there at all.

What fails leaves nothing behind, and what was there before as it was. For local paths; on any of
Beam's file systems `pipelines.storage.write_atomically` keeps the same promise.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.csv_cells import csv_line
from pipelines.errors import naming

# Hidden, and no name that TensorFlow Serving takes for a version of a model.
PREFIX = ".writing-"


@contextlib.contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """A hidden folder beside `path`, so on its file system, where a rename is atomic.

    Removed at the end, with all that was not renamed. Raises OSError, naming `path`, where it
    cannot be made.
    """
    with naming(path, PREFIX):
        with tempfile.TemporaryDirectory(prefix=PREFIX, dir=path.parent) as name:
            yield Path(name)


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """A path to write a file to, which replaces `path` at the end unless the body raises.

    It has the name of `path`, in another folder: Keras tells formats by the suffix. Raises
    OSError, naming `path`, where its folder is not there or cannot be written to.
    """
    path = Path(path)
    with scratch_folder(path) as scratch:
        temporary = scratch / path.name
        yield temporary
        os.replace(temporary, path)


@contextlib.contextmanager
def replacing_folder(path: str | os.PathLike) -> Iterator[Path]:
    """An empty folder to fill, which replaces `path` at the end unless the body raises.

    `path` may be a folder, with whatever it holds, or not be there. Raises OSError as `replacing`.
    """
    path = Path(path)
    with scratch_folder(path) as scratch:
        temporary, earlier = scratch / "new", scratch / "earlier"
        temporary.mkdir()
        yield temporary
        if path.exists():
            path.rename(earlier)
        try:
            temporary.rename(path)
        except BaseException:
            if earlier.exists():
                earlier.rename(path)
            raise


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes UTF-8, line ends as they are."""
    write_bytes(path, text.encode())


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes indented JSON. Raises ValueError on NaN and infinity, which JSON has not."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_csv(
    path: str | os.PathLike,
    rows: Iterable[Mapping[str, Any]],
    columns: Sequence[str] | None = None,
) -> None:
    """Writes a table with a header, UTF-8; None, or a column that a row lacks, is an empty cell.

    Text is escaped as by `csv_cells.escape_cell`. columns: those to write of the rows' own;
    without them the first row's, and ValueError is raised for a row that has others.
    """
    rows = list(rows)
    names = list(columns or rows[0])
    lines = [csv_line(names)]
    for row in rows:
        if not columns and (others := row.keys() - set(names)):
            raise ValueError(f"{path}: a row has the columns {sorted(others)}, the first has not.")
        lines.append(csv_line(row.get(name) for name in names))
    write_text(path, "".join(lines))


def remove_unfinished(folder: str | os.PathLike) -> None:
    """Removes what a killed process left of its writing to this folder. No other may be at it."""
    for scratch in Path(folder).glob(f"{PREFIX}*"):
        shutil.rmtree(scratch, ignore_errors=True)
