"""Adapter of a CSV manifest that names the videos, wherever they are; it is written here, too.

A folder that holds one by the name of `dfdetect.csv` is read by it.
Columns: uri and label (real, fake, 0 or 1); as needed id, dataset, method, identities (target
first, separated by ";" or as a JSON list), source, split (train, val or test) and compression. A
uri without scheme:// is a path, from the CSV file's folder where it is not absolute; what a CSV
cell cannot hold of it is escaped as in `pipelines.names`. Of what a spreadsheet would take for a
formula the single quote before it, as in `pipelines.csv_cells`, is no part of the text.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pipelines.clip import LABEL_NAMES, ORIGINAL, REAL, SPLITS, Video
from pipelines.csv_cells import csv_line, unescape_cell
from pipelines.datasets.base import Dataset, DatasetError, generated_mark
from pipelines.datasets.lists import LABELS, missing_note, parse_table, read_table
from pipelines.datasets.same_file import one_per_file
from pipelines.datasets.scan import require_videos
from pipelines.names import escape, unescape

NAME = "manifest"
LAYOUT = "a CSV file with the columns uri and label"
FOLDER_LIST = "dfdetect.csv"  # a name that no data set gives to a list of its own
REQUIRED = ("uri", "label")
OPTIONAL = ("id", "dataset", "method", "identities", "source", "split", "compression")
SEPARATOR = ";"  # between identities: a name may contain a space


def matches(root: Path) -> bool:
    """Whether it is a CSV file, or a folder with a manifest of ours."""
    is_csv = root.suffix.lower() == ".csv" and root.is_file()
    return is_csv or (root / FOLDER_LIST).is_file()


def find(root: Path) -> Dataset:
    """The videos of the CSV file. Raises DatasetError with the line of a mistake."""
    if root.is_dir():
        root = root / FOLDER_LIST
    listings: dict[str, frozenset[str]] = {}
    there: list[tuple[str, Video]] = []
    missing: list[str] = []
    for line, written, video in _rows(root):
        if _is_there(video.uri, listings):
            there.append((f"{root}:{line}", video))
        else:
            missing.append(written)
    videos, twins = one_per_file(there)
    require_videos(root, videos, "a row for each video", missing=missing)
    notes = (missing_note(root, missing, len(there) + len(missing)),) if missing else ()
    return Dataset(
        NAME,
        tuple(sorted(videos)),
        missing=tuple(sorted(missing)),
        rejects=tuple(twins),
        notes=notes,
        generated=generated_mark(videos) is not None,
    )


def read_manifest(path: Path) -> list[Video]:
    """The video of each row, whether or not it is there. Raises DatasetError with the line of a
    mistake."""
    return [video for _, _, video in _rows(path)]


def _rows(path: Path) -> Iterator[tuple[int, str, Video]]:
    """(line, uri as it is written there, video) of each row."""
    for line, row in read_table(path, REQUIRED, OPTIONAL):
        try:
            yield line, row["uri"], _video(row, os.path.dirname(path))
        except ValueError as error:
            raise DatasetError(f"{path}:{line}: {error}") from error


def write_manifest(videos: Iterable[Video], folder: str | os.PathLike = "") -> bytes:
    """The CSV file (UTF-8) that names these videos, sorted by key.

    folder: that of the CSV file, where paths are to be written as seen from it, so that all of it
    can be moved; without it local paths are made absolute.

    `find` reads the same videos from it, and the same videos give the same bytes. Raises
    ValueError for a video that the format cannot hold, such as one without an id.
    """
    text = csv_line([*REQUIRED, *OPTIONAL])
    for video in sorted(videos, key=lambda video: (video.key, video)):
        if video.uri and not _is_remote(video.uri):
            path = os.path.relpath(video.uri, folder) if folder else os.path.abspath(video.uri)
            video = dataclasses.replace(video, uri=path)
        line = csv_line(_cells(video))
        if not _is_read_back(video, line):
            raise ValueError(
                f"{video.key}: {video} cannot be written to a CSV manifest so that it reads the "
                "same. Look for an identity twice or without a name, outer blanks, an empty id, "
                "dataset or method, or a real video without a source."
            )
        text += line
    return text.encode()


def _cells(video: Video) -> list[str]:
    return [
        escape(video.uri),
        LABEL_NAMES.get(video.label, ""),
        video.id,
        video.dataset,
        video.method,
        _identities_cell(video.identities),
        video.source_id,
        video.split,
        video.compression,
    ]


def _identities_cell(names: tuple[str, ...]) -> str:
    """The inverse of `_identities`: plain where that reads the same, else a JSON list."""
    plain = SEPARATOR.join(names)
    is_plain = not plain.startswith("[") and _identities(plain) == names
    return plain if is_plain else json.dumps(names)


def _identities(cell: str) -> tuple[str, ...]:
    """The names, each once, of a JSON list or separated by ";". Raises ValueError."""
    names = [name.strip() for name in cell.split(SEPARATOR)]
    if cell.startswith("["):
        with contextlib.suppress(json.JSONDecodeError):  # or it is a name that begins so
            names = json.loads(cell)
        if not all(isinstance(name, str) for name in names):
            raise ValueError(f"identities is {cell}; expected a JSON list of names, or a;b.")
    return tuple(dict.fromkeys(name for name in names if name))


def _is_read_back(video: Video, line: str) -> bool:
    header = csv_line([*REQUIRED, *OPTIONAL])
    try:
        line.encode()  # an id or a name, which are text, may be none
        rows = parse_table(header + line, NAME, REQUIRED, OPTIONAL)
        return [_video(row, "") for _, row in rows] == [video]
    except ValueError:
        return False


def _video(row: Mapping[str, str], folder: str) -> Video:
    """Raises ValueError with what is wrong in the row."""
    row = {column: unescape_cell(cell) for column, cell in row.items()}
    uri, label = unescape(row["uri"]), LABELS.get(row["label"].lower())
    if not uri:
        raise ValueError("the uri is empty; a path or scheme:// address is needed.")
    if label is None:
        raise ValueError(f"label is {row['label']!r}; expected real, fake, 0 or 1.")
    method = row.get("method") or (ORIGINAL if label == REAL else "fake")
    if (method == ORIGINAL) != (label == REAL):
        raise ValueError(
            f"label {row['label']} and method {method}; real videos, and only those, have the "
            f"method {ORIGINAL}. Correct one of them."
        )
    if (split := row.get("split", "").lower()) not in ("", *SPLITS):
        raise ValueError(f"split is {row['split']!r}; expected {', '.join(SPLITS)} or nothing.")
    video_id = row.get("id") or row["uri"]
    return Video(
        id=video_id,
        uri=uri if _is_remote(uri) else os.path.join(folder, uri),
        label=label,
        dataset=row.get("dataset") or NAME,
        method=method,
        compression=row.get("compression", ""),
        identities=_identities(row.get("identities", "")),
        # Of a fake whose source is not given, none is known.
        source_id=row.get("source") or (video_id if label == REAL else ""),
        split=split,
    )


def _is_remote(uri: str) -> bool:
    return "://" in uri


def _is_there(uri: str, listings: dict[str, frozenset[str]]) -> bool:
    """Whether a local file is there, by one listing of its folder; remote ones are taken to be."""
    if _is_remote(uri):
        return True
    folder, name = os.path.split(uri)
    if folder not in listings:
        try:
            listings[folder] = frozenset(os.listdir(folder or "."))
        except OSError:  # no such folder, or none to be read
            listings[folder] = frozenset()
    return name in listings[folder]
