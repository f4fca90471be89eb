"""Scan of a root folder for video files, and which of them are named as the data set would.

Paths are below the root and written with "/", as in a data set's own lists. A scan lists folders
and asks nothing of single files: 100,000 of them take seconds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from pipelines.clip import Reject, Video
from pipelines.datasets.base import (
    PICTURE_SUFFIXES,
    VIDEO_SUFFIXES,
    DatasetError,
    NoVideosError,
)
from pipelines.datasets.lists import first_few

# What systems leave beside people's files, by name: macOS's AppleDouble companions, which carry
# the file's own suffix and no video (RFC 1740), the folders of its archives, and waste baskets.
COMPANION = "._"
LITTER_FOLDERS = frozenset(
    "__macosx .appledouble .trashes $recycle.bin @eadir #recycle lost+found".split()
)


def walk(root: Path, folder: str = "") -> Iterator[tuple[str, list[str]]]:
    """(folder below `root`, names of its files), from `folder` down, always in the same order.

    Links to folders are followed, as large sets are often spread over disks; a folder that is
    reached twice counts once, and one that only holds litter not at all. Raises DatasetError where
    a folder cannot be read.
    """
    seen: set[tuple[int, int]] = set()
    for path, folders, names in os.walk(root / folder, onerror=_refuse, followlinks=True):
        status = os.stat(path)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if name.lower() not in LITTER_FOLDERS)
        below = os.path.relpath(path, root)
        yield "" if below == "." else below, sorted(names)


def _refuse(error: OSError) -> None:
    # os.walk leaves out what it cannot read without a word.
    raise DatasetError(
        f"{error.filename}: the folder cannot be read ({error.strerror}). "
        "Make it readable, or move it out of the data set."
    ) from error


def is_video(name: str) -> bool:
    """Whether the file's suffix, in any letter case, is that of a video, and it is no litter."""
    return _has_suffix(name, VIDEO_SUFFIXES)


def is_picture(name: str) -> bool:
    """As `is_video`, of still pictures."""
    return _has_suffix(name, PICTURE_SUFFIXES)


def _has_suffix(name: str, suffixes: Sequence[str]) -> bool:
    is_companion = os.path.basename(name).startswith(COMPANION)
    return not is_companion and os.path.splitext(name)[1].lower() in suffixes


def video_files(root: Path, folder: str = "") -> list[str]:
    """The video files under `folder`, at any depth, as sorted paths below `root`."""
    return _files(root, folder, is_video)


def picture_files(root: Path, folder: str = "") -> list[str]:
    """As `video_files`, of still pictures, without those that are named as a video beside them,
    whose covers they are."""
    videos = {os.path.splitext(file)[0] for file in video_files(root, folder)}
    pictures = _files(root, folder, is_picture)
    return [file for file in pictures if os.path.splitext(file)[0] not in videos]


def _files(root: Path, folder: str, wanted: Callable[[str], bool]) -> list[str]:
    return sorted(
        f"{below}/{name}" if below else name
        for below, names in walk(root, folder)
        for name in names
        if wanted(name)
    )


def subfolders(folder: Path) -> list[str]:
    """The names of the folders directly in `folder`, sorted; none where it is no folder."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir())


def folders_named(root: Path, folder: str) -> list[str]:
    """The folders below `root` of this path, "a/b", in any letter case: the path as published
    first, then the others. There may be several, on file systems that tell `Real` from `real`."""
    found = [""]
    for part in folder.split("/"):
        found = [
            f"{parent}/{name}" if parent else name
            for parent in found
            for name in subfolders(root / parent)
            if name.lower() == part.lower()
        ]
    return sorted(found, key=lambda name: (name != folder, name))


def stem(file: str) -> str:
    """The file's name without folders and suffix."""
    return os.path.splitext(os.path.basename(file))[0]


def uri(root: Path, file: str) -> str:
    """Where the file is, for whoever opens it."""
    return os.path.join(root, file)


def named(
    dataset: str,
    root: Path,
    files: Iterable[str],
    name: Callable[[str], Video | None],
    expected: str,
) -> tuple[list[Video], list[Reject]]:
    """The videos that `name` makes of the files, and a reject for each of which it makes none."""
    videos: list[Video] = []
    rejects: list[Reject] = []
    for file in files:
        video = name(file)
        if video is not None:
            videos.append(video)
            continue
        detail = f"The file is named {os.path.basename(file)}; expected {expected}. Rename it."
        rejects.append(refused(dataset, root, file, "misnamed", detail))
    return videos, rejects


def refused(dataset: str, root: Path, file: str, reason: str, detail: str) -> Reject:
    """The reject for a file that is there but cannot be used."""
    return Reject(f"{dataset}/{file}", uri(root, file), reason, "dataset", detail)


def require_videos(
    root: Path,
    videos: Sequence[Video],
    expected: str,
    rejects: Sequence[Reject] = (),
    missing: Sequence[str] = (),
) -> None:
    """Raises NoVideosError where there is no usable video, with what there was instead."""
    if videos:
        return
    problem = "no videos found"
    if rejects:
        names = first_few([os.path.basename(reject.uri) for reject in rejects])
        problem += f", {len(rejects)} files left out as {rejects[0].reason} ({names})"
    if missing:
        problem += f", {len(missing)} listed files not there ({first_few(missing)})"
    raise NoVideosError(f"{root}: {problem}. Expected {expected}.")
