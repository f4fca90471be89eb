"""Mirror of a data set on a remote file system, for adapters to look at.

Adapters look at names, and read a few small lists. So a remote root is mirrored here: its lists
as they are, all else as empty files, and what the adapters say is put back in terms of the root.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipelines import storage
from pipelines.datasets.base import Dataset, DatasetError

LISTS = (".json", ".csv", ".txt")


@contextlib.contextmanager
def mirrored(root: str) -> Iterator[Path]:
    """A local path that looks to an adapter as `root` does, a folder or a CSV manifest.

    Raises DatasetError where there is nothing, and puts the paths right in any that is raised
    inside.
    """
    folder, name = os.path.split(root) if root.endswith(".csv") else (root.rstrip("/"), "")
    with tempfile.TemporaryDirectory() as temporary:
        mirror = Path(temporary, os.path.basename(folder))  # some adapters look at the name
        _copy(folder, mirror)
        try:
            yield mirror / name
        except DatasetError as error:
            raise DatasetError(str(error).replace(str(mirror), folder)) from error


def in_terms_of(root: str, mirror: Path, dataset: Dataset) -> Dataset:
    """The dataset as if its adapter had read `root` itself."""
    if root.endswith(".csv"):
        root, mirror = os.path.dirname(root), mirror.parent
    root = root.rstrip("/")

    def right(text: str) -> str:
        return text.replace(str(mirror), root)

    return dataclasses.replace(
        dataset,
        videos=tuple(dataclasses.replace(v, uri=right(v.uri)) for v in dataset.videos),
        rejects=tuple(
            dataclasses.replace(r, uri=right(r.uri), detail=right(r.detail))
            for r in dataset.rejects
        ),
        notes=tuple(map(right, dataset.notes)),
    )


def _copy(folder: str, mirror: Path) -> None:
    files = storage.listing(folder)
    if not files:
        raise DatasetError(
            f"{folder}: holds nothing. Give the dataset's root folder or a CSV manifest."
        )
    for metadata in files:
        path = mirror / metadata.path[len(folder) + 1 :]
        if not path.resolve().is_relative_to(mirror.resolve()):
            raise DatasetError(f"{metadata.path}: names a file outside of {folder}. Rename it.")
        if metadata.path.endswith("/"):  # stands for an empty folder
            path.mkdir(parents=True, exist_ok=True)
            continue
        if path.suffix.lower() in LISTS:
            storage.fetch(metadata.path, str(path))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
