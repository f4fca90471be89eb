"""Reading of data sets' own lists (JSON, CSV) with the place of every mistake, and comparing them
with the files that are there."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from pipelines.clip import FAKE, REAL
from pipelines.datasets.base import DatasetError

LABELS = {"real": REAL, "fake": FAKE, "0": REAL, "1": FAKE}  # by lower-case word


def read_text(path: Path) -> str:
    """The file's text, line ends as they are. Raises DatasetError where it cannot be read."""
    try:
        return path.read_bytes().decode("utf-8-sig")  # Windows programs put a mark in front
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"{path}: cannot be read as UTF-8 text ({error}). Take the file from its source again."
        ) from error


def read_json(path: Path) -> Any:
    """What the JSON file holds. Raises DatasetError where it is none."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DatasetError(
            f"{path}: is no JSON ({error}). Take the file from its source again."
        ) from error


def read_table(
    path: Path, required: Collection[str], optional: Collection[str] | None = None
) -> list[tuple[int, dict[str, str]]]:
    """(line, column -> cell without outer blanks) for each row of a CSV file with a header."""
    return parse_table(read_text(path), str(path), required, optional)


def parse_table(
    text: str, source: str, required: Collection[str], optional: Collection[str] | None = None
) -> list[tuple[int, dict[str, str]]]:
    """As `read_table`. Any further column is allowed where `optional` is None.

    Raises DatasetError naming `source` and the line for a header or a row of another shape.
    """
    # Strict: a quote that is never closed would swallow the rest of the file.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[int, dict[str, str]]] = []
    header: list[str] = []
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if not header:
                header = _header(cells, source, required, optional)
            elif len(cells) == len(header):
                rows.append((reader.line_num, dict(zip(header, cells, strict=True))))
            elif cells:  # an empty line has none
                raise DatasetError(
                    f"{source}:{reader.line_num}: {len(cells)} cells, the header has "
                    f"{len(header)}. Put quotes around a cell that contains a comma."
                )
    except csv.Error as error:
        raise DatasetError(
            f"{source}:{reader.line_num}: is no CSV ({error}). Look for a stray quote."
        ) from error
    if not header:
        _header([], source, required, optional)
    return rows


def _header(
    cells: list[str], source: str, required: Collection[str], optional: Collection[str] | None
) -> list[str]:
    names = [cell.lower() for cell in cells]
    wanted = f"expected {', '.join(required)}"
    wanted += f" and, as needed, {', '.join(optional)}" if optional else ""
    if absent := [name for name in required if name not in names]:
        raise DatasetError(
            f"{source}:1: the header is {','.join(cells)!r}, without {', '.join(absent)}; "
            f"{wanted}, separated by commas."
        )
    columns = {*required, *(names if optional is None else optional)}
    if any(re.fullmatch(r"(unnamed: \d+)?", name) for name in names):
        raise DatasetError(
            f"{source}:1: the header {','.join(cells)!r} has a column without a name, as pandas "
            f"writes its index. Remove it, or write the file by to_csv(..., index=False); {wanted}."
        )
    if unknown := [name for name in names if name not in columns]:
        raise DatasetError(f"{source}:1: unknown columns {', '.join(unknown)}; {wanted}.")
    if len(set(names)) < len(names):
        raise DatasetError(f"{source}:1: the header {','.join(cells)!r} has a column twice.")
    return names


def compare(listed: Iterable[str], present: Iterable[str]) -> tuple[list[str], list[str]]:
    """(listed but not present, present but not listed), both sorted."""
    listed, present = set(listed), set(present)
    return sorted(listed - present), sorted(present - listed)


def missing_note(place: str | Path, missing: Sequence[str], listed: int) -> str:
    """A sentence on listed files that are not there."""
    return f"{place}: {len(missing)} of {listed} listed videos are not there: {first_few(missing)}."


def first_few(names: Sequence[str], most: int = 3) -> str:
    """The first names, and how many there are beyond them."""
    first = ", ".join(names[:most])
    return first + (f" and {len(names) - most} more" if len(names) > most else "")
