"""One video per file: files that are reached twice, under another spelling or by links."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Hashable, Iterable

from pipelines.clip import LABEL_NAMES, Reject, Video
from pipelines.datasets.base import DatasetError


def file_key() -> Callable[[str], Hashable]:
    """A function from a path to what its file is, whatever the path's spelling and links.

    An address on a remote file system is taken as it is. The function asks for each folder's
    real path once, as data sets have many files in few folders.
    """
    real_folder = functools.cache(os.path.realpath)

    def key(path: str) -> Hashable:
        if "://" in path:
            return path
        try:
            status = os.lstat(path)
            if os.path.islink(path):
                path = os.path.realpath(path)
                status = os.lstat(path)
        except OSError:  # a link to nothing, which is an error elsewhere
            return os.path.realpath(path)
        if status.st_nlink > 1:  # hard links: only then, as some file systems number no files
            return status.st_dev, status.st_ino
        folder, name = os.path.split(path)
        return os.path.join(real_folder(folder), name)

    return key


def one_per_file(placed: Iterable[tuple[str, Video]]) -> tuple[list[Video], list[Reject]]:
    """The first video of each file, and a reject for each further one.

    placed: each video with where it was named, for people: a line of a list or a path. Raises
    DatasetError, which names both places, where a file is called real and fake.
    """
    key = file_key()
    first: dict[Hashable, tuple[str, Video]] = {}
    rejects = []
    for place, video in placed:
        before, same = first.setdefault(key(video.uri), (place, video))
        if same is video:
            continue
        if same.label != video.label:
            raise DatasetError(
                f"{place}: {LABEL_NAMES[video.label]}, but it is the same file as {before}, which "
                f"is {LABEL_NAMES[same.label]}. Correct or remove one."
            )
        why = f"{place} is the same file as {before}, which is kept. Remove one."
        rejects.append(Reject(video.key, video.uri, "same_file", "dataset", why))
    return [video for _, video in first.values()], rejects
