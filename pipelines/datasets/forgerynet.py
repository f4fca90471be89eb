"""Adapter of the videos of ForgeryNet (He et al. 2021).

{Training,Validation,Test}/video/.../<number of the approach>/.../*.mp4, and in the part's folder or
at any depth below it a list *video_list*.txt, with a line for each video:
`<n> <path> [<first frame> <frames> <fake or real>] * n <binary> <triple> <16cls>`, blanks between.
Its last number is 0 for a real video, else the forgery approach, 1 to 15; a fake may be forged in
some of its frames only. No line says who is shown, so the parts are the data set's own splits.

Layout and a line's columns: github.com/yinanhe/ForgeryNet, Readme.txt (2021). It names neither the
lists nor what the archives unpack to, nor which class is real: these are as public code for the
data set reads them, and a line whose binary and 16-way label disagree is refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from pipelines.clip import FAKE, ORIGINAL, REAL, Reject, Video
from pipelines.datasets.base import Dataset, DatasetError
from pipelines.datasets.lists import missing_note, read_text
from pipelines.datasets.scan import (
    folders_named,
    refused,
    require_videos,
    uri,
    video_files,
    walk,
)

NAME = "forgerynet"
LAYOUT = "Training/ and Validation/ with video/ and a *video_list*.txt (ForgeryNet)"
PARTS = {"Training": "train", "Train": "train", "Validation": "val", "Test": "test"}
VIDEOS = ("video", "videos")
LIST = re.compile(r".*video_list.*\.txt", re.IGNORECASE)
RELEASE = re.compile(r"\w+_video_release", re.IGNORECASE)  # what the archives unpack to
APPROACHES = 15


def matches(root: Path) -> bool:
    """Whether the folder holds a part of ForgeryNet."""
    return any(
        LIST.fullmatch(name) or RELEASE.fullmatch(name)
        for folder, _ in _parts(root)
        for place in ("", *_video_folders(root / folder))
        for name in os.listdir(root / folder / place)
    )


def find(root: Path) -> Dataset:
    """All videos under `root`. Raises DatasetError where there is none or a list is damaged."""
    videos: list[Video] = []
    rejects: list[Reject] = []
    missing: list[str] = []
    notes: list[str] = []
    for folder, split in _parts(root):
        files, lists = _files_and_lists(root, folder)
        labels: dict[str, int] = {}
        for name in lists:
            labels |= _labels(root / name)
        found: set[str] = set()
        for file in files:
            if (listed := _listed(file, labels)) is None:
                why = "No *video_list*.txt of its part names it. Get the list, or remove the file."
                rejects.append(refused(NAME, root, file, "unlisted", why))
                continue
            found.add(listed)
            videos.append(_video(root, file, split, listed, labels[listed]))
        if absent := sorted(labels.keys() - found):
            missing += [f"{folder}/{name}" for name in absent]
            notes.append(missing_note(root / folder, absent, len(labels)))
    expected = "Training/video/**/*.mp4 and Training/*video_list*.txt, or Validation/ likewise"
    require_videos(root, videos, expected, rejects, missing)
    return Dataset(
        NAME,
        tuple(sorted(videos)),
        missing=tuple(sorted(missing)),
        rejects=tuple(sorted(rejects)),
        notes=tuple(notes),
    )


def _parts(root: Path) -> Iterator[tuple[str, str]]:
    """(folder below the root, split) of each part that has videos."""
    for part, split in PARTS.items():
        for folder in folders_named(root, part):
            if _video_folders(root / folder):
                yield folder, split


def _video_folders(part: Path) -> list[str]:
    return [folder for name in VIDEOS for folder in folders_named(part, name)]


def _files_and_lists(root: Path, folder: str) -> tuple[list[str], list[str]]:
    """The video files and the lists of a part, as paths below the root."""
    lists = [
        f"{below}/{name}"
        for below, names in walk(root, folder)
        for name in names
        if LIST.fullmatch(name)
    ]
    return video_files(root, folder), lists


def _listed(file: str, labels: dict[str, int]) -> str | None:
    """The name by which a list has the file: the end of its path, from any of its folders on."""
    levels = file.split("/")
    ends = ("/".join(levels[first:]) for first in range(len(levels)))
    return next((end for end in ends if end in labels), None)


def _video(root: Path, file: str, split: str, listed: str, approach: int) -> Video:
    key = f"{split}/{os.path.splitext(listed)[0]}"
    return Video(
        id=key,
        uri=uri(root, file),
        label=FAKE if approach else REAL,
        dataset=NAME,
        method=f"approach_{approach}" if approach else ORIGINAL,
        source_id="" if approach else key,
        split=split,
    )


def _labels(path: Path) -> dict[str, int]:
    """Path of a video as listed -> its forgery approach, 0 of a real one."""
    labels: dict[str, int] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if line.strip():
            name, approach = _line(line.split(), f"{path}:{number}")
            if labels.setdefault(name, approach) != approach:
                raise DatasetError(
                    f"{path}:{number}: {name} is of approach {labels[name]} as well. Take the "
                    "list from the data set again."
                )
    return labels


def _line(cells: list[str], place: str) -> tuple[str, int]:
    numbers = cells[2:]
    whole = all(number.isdecimal() for number in [cells[0], *numbers])
    if not whole or len(numbers) != 3 * int(cells[0]) + 3:
        raise DatasetError(
            f"{place}: {' '.join(cells)[:80]!r}; expected `<n> <path> [<first> <frames> <label>] "
            "* n <binary> <triple> <16cls>`. Take the list from the data set again."
        )
    binary, approach = int(numbers[-3]), int(numbers[-1])
    if approach > APPROACHES or binary not in (0, 1) or bool(binary) != bool(approach):
        raise DatasetError(
            f"{place}: binary label {binary} and approach {approach}; expected 0 and 0 of a real "
            f"video, 1 and 1 to {APPROACHES} of a fake. Take the list from the data set again."
        )
    return cells[1].lstrip("./"), approach
