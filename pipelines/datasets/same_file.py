"""One video per file, however its path is spelled or linked, and one of each content."""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Callable, Hashable, Iterable, Mapping

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
            if stat.S_ISLNK(status.st_mode):
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
    return _one_each(placed, lambda video: key(video.uri), "same_file", "is the same file as")


def one_per_content(
    videos: Iterable[Video], sha256: Mapping[str, str]
) -> tuple[list[Video], list[Reject]]:
    """As `one_per_file`, of files with the same bytes.

    sha256: by video key; "" where it is not known.
    """
    placed = ((video.key, video) for video in videos)
    return _one_each(
        placed, lambda video: sha256[video.key] or video.key, "same_content", "has the bytes of"
    )


def _one_each(
    placed: Iterable[tuple[str, Video]],
    key: Callable[[Video], Hashable],
    reason: str,
    relation: str,
) -> tuple[list[Video], list[Reject]]:
    first: dict[Hashable, tuple[str, Video]] = {}
    rejects = []
    for place, video in placed:
        before, same = first.setdefault(key(video), (place, video))
        if same is video:
            continue
        if same.label != video.label:
            raise DatasetError(
                f"{place}: {LABEL_NAMES[video.label]}, but it {relation} {before}, which is "
                f"{LABEL_NAMES[same.label]}. Correct or remove one."
            )
        why = f"{place} {relation} {before}, which is kept. Remove one."
        rejects.append(Reject(video.key, video.uri, reason, "dataset", why))
    return [video for _, video in first.values()], rejects
