"""Adapter of Celeb-DF, versions 1 and 2 (Li et al. 2020), as published.

Celeb-real/id0_0000.mp4, Celeb-synthesis/id0_id1_0000.mp4 (id0's recording 0000 with the face of
id1), YouTube-real/00170.mp4; each also with a videos/ level, in any letter case.
List_of_testing_videos.txt: `<label> <folder/file>` a line, where 1 is real: not as here.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from pipelines.clip import FAKE, ORIGINAL, REAL, SPLITS, Reject, Video
from pipelines.datasets.base import Dataset, DatasetError
from pipelines.datasets.lists import compare, missing_note, read_text
from pipelines.datasets.scan import named, require_videos, stem, subfolders, uri, video_files

NAME = "celeb_df"
LAYOUT = "Celeb-real/, Celeb-synthesis/ and YouTube-real/ (Celeb-DF)"
# Folder -> (label, what its files are called, such a name).
PARTS = {
    "Celeb-real": (REAL, re.compile(r"(id\d+)_(\d+)\.mp4", re.I), "id0_0000.mp4"),
    "Celeb-synthesis": (FAKE, re.compile(r"(id\d+)_(id\d+)_(\d+)\.mp4", re.I), "id0_id1_0000.mp4"),
    "YouTube-real": (REAL, re.compile(r"(\d+)\.mp4", re.I), "00170.mp4"),
}
LIST = "List_of_testing_videos.txt"
LIST_LABELS = {"1": REAL, "0": FAKE}


def matches(root: Path) -> bool:
    """Whether the folder holds a part of Celeb-DF."""
    return bool(_folders(root))


def find(root: Path) -> Dataset:
    """All videos under `root`. Raises DatasetError where there is none or the list is damaged."""
    path = root / LIST
    listed = _listed(path) if path.is_file() else {}
    videos: list[Video] = []
    rejects: list[Reject] = []
    present: list[str] = []
    homes: dict[str, str] = {}  # part -> the folder that holds its files
    for part, folder in _folders(root).items():
        files = video_files(root, folder)
        homes[part] = os.path.dirname(files[0]) if files else folder
        present += [f"{part}/{stem(file)}" for file in files]
        make = functools.partial(_video, root, part, listed)
        good, bad = named(NAME, root, files, make, f"a name such as {PARTS[part][2]}")
        videos += good
        rejects += bad
    missing = sorted(_place(listed[key], homes) for key in compare(listed, present)[0])
    notes = [missing_note(path, missing, len(listed))] if missing else []
    if not listed:
        notes.append(f"{path}: no official list, so the data set's own test videos are not known.")
    require_videos(root, videos, f"{', '.join(PARTS)} with *.mp4 files", rejects, missing)
    return Dataset(
        NAME,
        tuple(sorted(videos)),
        deal="identity",
        open_splits=("train", "val") if listed else SPLITS,
        missing=tuple(missing),
        rejects=tuple(sorted(rejects)),
        notes=tuple(notes),
    )


def _folders(root: Path) -> dict[str, str]:
    """Part -> the folder's name as it is written here."""
    there = {name.lower(): name for name in subfolders(root)}
    return {part: there[part.lower()] for part in PARTS if part.lower() in there}


def _place(file: str, homes: Mapping[str, str]) -> str:
    part, name = file.split("/")
    return f"{homes.get(part, part)}/{name}"


def _video(root: Path, part: str, listed: Collection[str], file: str) -> Video | None:
    """None where the file's name is not of the part's pattern."""
    label, pattern, _ = PARTS[part]
    match = pattern.fullmatch(os.path.basename(file))
    if match is None:
        return None
    *people, recording = match.groups()
    source = f"{people[0]}_{recording}" if people else f"youtube_{recording}"
    key = f"{part}/{stem(file)}"
    return Video(
        id=key,
        uri=uri(root, file),
        label=label,
        dataset=NAME,
        method=part if label == FAKE else ORIGINAL,
        identities=tuple(dict.fromkeys(people)) or (source,),
        source_id=source,
        split="test" if key in listed else "",
    )


def _listed(path: Path) -> dict[str, str]:
    """Id -> path in the published layout, for each video of the list of test videos."""
    listed: dict[str, str] = {}
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            file = _line(line.strip(), f"{path}:{number}")
            listed[os.path.splitext(file)[0]] = file
    if not listed:
        raise DatasetError(f"{path}: lists no video. Take it from the data set again.")
    return listed


def _line(line: str, place: str) -> str:
    """The path in a line, with the folder's name as published, once the label is checked."""
    label, file = (*line.split(maxsplit=1), "")[:2]
    folder, _, name = file.partition("/")
    part = next((part for part in PARTS if part.lower() == folder.lower()), None)
    if label not in LIST_LABELS or part is None or not name:
        raise DatasetError(
            f"{place}: {line!r}; expected `<label> <folder>/<file>` with label 1 (real) or 0 and "
            f"folder {', '.join(PARTS)}. Take the list from the data set again."
        )
    if LIST_LABELS[label] != PARTS[part][0]:
        truth = "fakes" if PARTS[part][0] == FAKE else "real videos"
        raise DatasetError(
            f"{place}: label {label} for {file}, but {part} holds {truth}; in this list 1 is real "
            "and 0 is fake. Take the list from the data set again."
        )
    return f"{part}/{os.path.basename(name)}"
