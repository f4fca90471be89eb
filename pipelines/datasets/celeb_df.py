"""Adapter of Celeb-DF, versions 1 and 2 (Li et al. 2020) and 3 (Celeb-DF++, Li et al. 2025).

Celeb-real/id0_0000.mp4, Celeb-synthesis/id0_id1_0000.mp4 (id0's recording 0000 with the face of
id1), YouTube-real/00170.mp4; each also with a videos/ level, in any letter case.
Version 3 has a folder for each of its 22 methods, which name their videos alike:
Celeb-synthesis/{FaceSwap,FaceReenact,TalkingFace}/<Method>/id0_id1_0000.mp4; a talking face,
id0_0000 and what may follow, has no donor.
List_of_testing_videos.txt: `<label> <folder/file>` a line, where 1 is real: not as here.

Layouts: github.com/yuezunli/celeb-deepfakeforensics and github.com/OUC-VAS/Celeb-DF-PP, README.md
and DeepfakeBench/preprocessing/rearrange.py (2025). They do not say how talking faces are named:
that is as public code for the data set reads them.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from pipelines.clip import FAKE, ORIGINAL, REAL, SPLITS, Reject, Video
from pipelines.datasets.base import Dataset, DatasetError
from pipelines.datasets.lists import compare, missing_note, read_text
from pipelines.datasets.scan import (
    folders_named,
    named,
    require_videos,
    stem,
    uri,
    video_files,
)

NAME = "celeb_df"
LAYOUT = "Celeb-real/, Celeb-synthesis/ and YouTube-real/ (Celeb-DF)"
SYNTHESIS = "Celeb-synthesis"
# Folder -> (label, what its files are called, such a name).
PARTS = {
    "Celeb-real": (REAL, re.compile(r"(id\d+)_(\d+)\.mp4", re.I), "id0_0000.mp4"),
    SYNTHESIS: (FAKE, re.compile(r"(id\d+)_(id\d+)_(\d+)\.mp4", re.I), "id0_id1_0000.mp4"),
    "YouTube-real": (REAL, re.compile(r"(\d+)\.mp4", re.I), "00170.mp4"),
}
TALKING_FACE = re.compile(r"(id\d+)_(\d+)(?:_\w+)?\.mp4", re.I)  # in a method's folder only
VIDEOS = "videos"  # a level that says nothing
LIST = "List_of_testing_videos.txt"
LIST_LABELS = {"1": REAL, "0": FAKE}


def matches(root: Path) -> bool:
    """Whether the folder holds a part of Celeb-DF."""
    return any(True for _ in _folders(root))


def find(root: Path) -> Dataset:
    """All videos under `root`. Raises DatasetError where there is none or the list is damaged."""
    path = root / LIST
    listed = _listed(path) if path.is_file() else {}
    tests = {_folded(key) for key in listed}
    videos: list[Video] = []
    rejects: list[Reject] = []
    present: set[str] = set()
    homes: dict[str, str] = {}  # part, and method if any -> the folder that holds its files
    for part, folder in _folders(root):
        homes.setdefault(part, folder)
        files = video_files(root, folder)
        keys = {file: _key(part, file.removeprefix(f"{folder}/")) for file in files}
        present |= {_folded(key) for key in keys.values()}
        homes |= {os.path.dirname(_folded(keys[file])): os.path.dirname(file) for file in files}
        make = functools.partial(_video, root, part, tests, keys)
        good, bad = named(NAME, root, files, make, f"a name such as {PARTS[part][2]}")
        videos += good
        rejects += bad
    absent = set(compare(tests, present)[0])
    missing = sorted(_place(listed[key], homes) for key in listed if _folded(key) in absent)
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


def _folders(root: Path) -> Iterator[tuple[str, str]]:
    """(part, the folder's name as it is written here)."""
    for part in PARTS:
        for folder in folders_named(root, part):
            yield part, folder


def _key(part: str, file: str) -> str:
    """What a video is called, from its path within the part: "Celeb-real/id0_0000",
    "Celeb-synthesis/FaceSwap/GHOST/id0_id1_0000". Methods name their videos alike."""
    levels = [name for name in file.split("/")[:-1] if name.lower() != VIDEOS]
    return "/".join([part, *(levels if PARTS[part][0] == FAKE else []), stem(file)])


def _folded(key: str) -> str:
    """The key for comparison: within version 3, version 2 is called Celeb-DF and Celeb-DF-v2."""
    return key.lower().replace("/celeb-df-v2/", "/celeb-df/")


def _place(file: str, homes: Mapping[str, str]) -> str:
    folder, name = os.path.split(file)
    part, _, method = folder.partition("/")
    home = homes.get(os.path.dirname(_folded(f"{folder}/")))
    return f"{home or '/'.join(filter(None, (homes.get(part, part), method)))}/{name}"


def _video(
    root: Path, part: str, tests: Collection[str], keys: Mapping[str, str], file: str
) -> Video | None:
    """None where the file's name is not of the part's pattern."""
    label, pattern, _ = PARTS[part]
    key = keys[file]
    name = os.path.basename(file)
    method = key.split("/")[-2]  # the part's name where there is no folder for each method
    match = pattern.fullmatch(name)
    if match is None and method != part:
        match = TALKING_FACE.fullmatch(name)
    if match is None:
        return None
    *people, recording = match.groups()
    source = f"{people[0]}_{recording}" if people else f"youtube_{recording}"
    return Video(
        id=key,
        uri=uri(root, file),
        label=label,
        dataset=NAME,
        method=method if label == FAKE else ORIGINAL,
        identities=tuple(dict.fromkeys(people)) or (source,),
        source_id=source,
        split="test" if _folded(key) in tests else "",
    )


def _listed(path: Path) -> dict[str, str]:
    """Key -> path in the published layout, for each video of the list of test videos."""
    listed: dict[str, str] = {}
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            part, file = _line(line.strip(), f"{path}:{number}")
            listed[_key(part, file)] = f"{part}/{file}"
    if not listed:
        raise DatasetError(f"{path}: lists no video. Take it from the data set again.")
    return listed


def _line(line: str, place: str) -> tuple[str, str]:
    """(the folder's name as published, the path in it), once the label is checked."""
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
    return part, name
