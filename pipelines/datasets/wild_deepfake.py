"""Adapter of WildDeepfake (Zi et al. 2020), once its face images are videos.

Published are archives of face images, a folder for each face sequence:
deepfake_in_the_wild/{real,fake} {train,test}/<N>.tar.gz, or with real_train and the like. Unpacked
and made into videos in place (examples/images_to_videos.py), each sequence is a video.
What its archive is called ties sequences together: they may be of one video from the internet.

Layout: github.com/OpenTAI/wild-deepfake, README.md (2024).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from pipelines.clip import FAKE, ORIGINAL, REAL, SPLITS, Video
from pipelines.datasets.base import Dataset
from pipelines.datasets.face_images import instead_of_videos
from pipelines.datasets.scan import folders_named, require_videos, subfolders, uri, video_files

NAME = "wild_deepfake"
LAYOUT = "real_train/, real_test/, fake_train/ and fake_test/ (WildDeepfake)"
HOME = "deepfake_in_the_wild"
PART = re.compile(r"(real|fake)[ _](train|test)", re.IGNORECASE)


def matches(root: Path) -> bool:
    """Whether the folder holds a part of WildDeepfake."""
    return any(True for _ in _parts(root))


def find(root: Path) -> Dataset:
    """All videos under `root`. Raises DatasetError where there is none."""
    parts = list(_parts(root))
    videos = [
        _video(root, folder, label, split, file)
        for folder, label, split in parts
        for file in video_files(root, folder)
    ]
    require_videos(root, videos, "a video file of each face sequence in real_train/ and the like")
    images = instead_of_videos(root, [folder for folder, _, _ in parts])
    return Dataset(
        NAME,
        tuple(sorted(videos)),
        open_splits=("train", "val") if any(video.split for video in videos) else SPLITS,
        notes=(f"{root}: {images}.",) if images else (),
    )


def _parts(root: Path) -> Iterator[tuple[str, int, str]]:
    """(folder below the root, label, split) of each part."""
    for home in ["", *folders_named(root, HOME)]:
        for name in subfolders(root / home):
            if match := PART.fullmatch(name):
                label = REAL if match[1].lower() == "real" else FAKE
                split = "test" if match[2].lower() == "test" else ""
                yield (f"{home}/{name}" if home else name), label, split


def _video(root: Path, folder: str, label: int, split: str, file: str) -> Video:
    inner = os.path.splitext(file.removeprefix(f"{folder}/"))[0]
    part = os.path.basename(folder).lower().replace(" ", "_")
    archive = f"{part}/{inner.split('/')[0]}"
    return Video(
        id=f"{part}/{inner}",
        uri=uri(root, file),
        label=label,
        dataset=NAME,
        method=ORIGINAL if label == REAL else NAME,
        identities=(archive,),
        source_id=archive,
        split=split,
    )
