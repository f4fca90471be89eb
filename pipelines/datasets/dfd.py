"""Adapter of DeepFakeDetection (Google and Jigsaw 2019), inside FaceForensics++ or standing alone.

<reals>/.../<actor>__<scene>.mp4, <fakes>/.../<target>_<source>__<scene>__<hash>.mp4
Every actor is swapped with many others, so no grouping of actors keeps all fakes.
"""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path

from pipelines.clip import FAKE, ORIGINAL, REAL, Reject, Video
from pipelines.datasets.base import Dataset
from pipelines.datasets.faceforensics import DFD, FAKES, compression_of, without_masks
from pipelines.datasets.scan import (
    folders_named,
    named,
    require_videos,
    stem,
    uri,
    video_files,
)

NAME = "dfd"
LAYOUT = "actors/ and DeepFakeDetection/ (DeepFakeDetection)"
# In FaceForensics++, as the same folders alone, and as a copy on Kaggle names them.
REAL_FOLDERS = (
    "original_sequences/actors",
    "actors",
    "DFD_original_sequences",
    "DFD_original sequences",
)
FAKE_FOLDERS = (
    f"{FAKES}/{DFD}",
    DFD,
    "DFD_manipulated_sequences",
    "DFD_manipulated sequences",
)
WORDS = r"[A-Za-z0-9]+(?:_[A-Za-z0-9]+)*"  # a scene; two underscores end it
REAL_NAME = re.compile(rf"(?P<target>\d+)__(?P<scene>{WORDS})\.mp4", re.IGNORECASE)
FAKE_NAME = re.compile(
    rf"(?P<target>\d+)_(?P<donor>\d+)__(?P<scene>{WORDS})__[A-Za-z0-9]+\.mp4", re.IGNORECASE
)


PARTS = {  # label -> (where its videos lie, what they are called)
    REAL: (REAL_FOLDERS, "<actor>__<scene>.mp4"),
    FAKE: (FAKE_FOLDERS, "<target>_<source>__<scene>__<hash>.mp4"),
}


def matches(root: Path) -> bool:
    """Whether the folder holds a part of DeepFakeDetection."""
    return any(folders_named(root, folder) for folder in REAL_FOLDERS + FAKE_FOLDERS)


def find(root: Path) -> Dataset:
    """All videos under `root`. Raises DatasetError where there is none."""
    videos: list[Video] = []
    rejects: list[Reject] = []
    for label, (folders, expected) in PARTS.items():
        make = functools.partial(_video, root, label)
        files, masks = without_masks(NAME, root, _files(root, folders))
        good, bad = named(NAME, root, files, make, expected)
        videos += good
        rejects += bad + masks
    require_videos(
        root, videos, f"{REAL_FOLDERS[0]}/*.mp4 and {FAKE_FOLDERS[0]}/*.mp4 (or alone)", rejects
    )
    return Dataset(NAME, tuple(sorted(videos)), deal="identity", rejects=tuple(sorted(rejects)))


def _files(root: Path, folders: tuple[str, ...]) -> list[str]:
    return [
        file
        for folder in folders
        for written in folders_named(root, folder)
        for file in video_files(root, written)
    ]


def _video(root: Path, label: int, file: str) -> Video | None:
    """None where the file's name is not of the label's pattern."""
    match = (FAKE_NAME if label == FAKE else REAL_NAME).fullmatch(os.path.basename(file))
    if match is None:
        return None
    method = DFD if label == FAKE else ORIGINAL
    compression = compression_of(root, file)
    names = match.groupdict()
    people = (names["target"], names.get("donor", names["target"]))
    return Video(
        id="/".join(part for part in (method, compression, stem(file)) if part),
        uri=uri(root, file),
        label=label,
        dataset=NAME,
        method=method,
        compression=compression,
        identities=tuple(dict.fromkeys(people)),
        source_id=f"{names['target']}__{names['scene']}",
    )
