"""Adapter of the videos of DF40 (Yan et al. 2024): fakes made of FaceForensics++ and Celeb-DF.

[DF40/][train/ or test/]<method>/ff/.../<target>_<source>.mp4, named as in FaceForensics++
[DF40/][train/ or test/]<method>/cdf/.../id0_id1_0000.mp4, named as in Celeb-DF
Its real part are the originals of the two, which may lie in the same root. So its videos belong to
those data sets: whoever is in both must be in one split. Of Celeb-DF all fakes are for testing.
The data set is mostly passed on as face images, which examples/images_to_videos.py makes videos of.

Layout: github.com/YZY-stack/DF40, README.md and DeepfakeBench_DF40/preprocessing/preprocess.py
(2024), issue 33 on the levels train/ and test/, training/config/test_config.yaml on the methods'
names. That files are named as their sources is not said there, but seen from public use.
The methods without ff/ and cdf/ (deepfacelab, heygen, those of single images) have no published
layout and are not read.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pipelines.clip import FAKE, SPLITS, Reject, Video
from pipelines.datasets import celeb_df, faceforensics
from pipelines.datasets.base import Dataset
from pipelines.datasets.face_images import instead_of_videos
from pipelines.datasets.scan import (
    folders_named,
    named,
    refused,
    require_videos,
    stem,
    subfolders,
    uri,
    video_files,
)

NAME = "df40"
LAYOUT = "<method>/ff/ and <method>/cdf/ (DF40)"
# Face swapping, then face reenactment, as the folders are called.
METHODS = frozenset(
    "fsgan faceswap simswap inswap blendface uniface mobileswap e4s facedancer "
    "fomm facevid2vid wav2lip mraa one_shot_free pirender tpsm lia danet sadtalker mcnet "
    "hyperreenact".split()
)
FF_NAME = re.compile(r"(\d+)(?:_(\d+))?\.\w+")
CDF_NAME = re.compile(r"(id\d+)(?:_(id\d+))?_(\d+)\.\w+", re.IGNORECASE)
LEVELS = ("train", "test")
DOMAINS = {"ff": "<target>_<source>", "cdf": "id0_id1_0000"}  # -> what its videos are called


def matches(root: Path) -> bool:
    """Whether the folder holds methods of DF40."""
    return any(True for _ in _parts(root))


def find(root: Path) -> Dataset:
    """All videos under `root`. Raises DatasetError where there is none or a list is damaged."""
    official, _, _ = faceforensics.official_lists(root)
    videos: list[Video] = []
    rejects: list[Reject] = []
    parts = list(_parts(root))
    for folder, method, domain, split in parts:
        make = functools.partial(_video, root, method, domain, split, official)
        good, bad = named(NAME, root, video_files(root, folder), make, DOMAINS[domain])
        for video in good:
            if domain == "ff" and official and len(_splits(video.identities, official)) != 1:
                why = "Its people are not in one split of FaceForensics++'s lists."
                place = os.path.relpath(video.uri, root)
                rejects.append(refused(NAME, root, place, "across_splits", why))
            else:
                videos.append(video)
        rejects += bad
    require_videos(root, videos, "<method>/ff/**/*.mp4 and <method>/cdf/**/*.mp4", rejects)
    images = instead_of_videos(root, [folder for folder, *_ in parts])
    return Dataset(
        NAME,
        tuple(sorted(videos)),
        open_splits=("train", "val") if any(video.split for video in videos) else SPLITS,
        rejects=tuple(sorted(rejects)),
        notes=(f"{root}: {images}.",) if images else (),
    )


def _parts(root: Path) -> Iterator[tuple[str, str, str, str]]:
    """(folder below the root, method, domain, split) of each folder of a method's videos."""
    for home in ["", *folders_named(root, NAME)]:
        for level in [
            "",
            *folders_named(root / home, "train"),
            *folders_named(root / home, "test"),
        ]:
            above = "/".join(filter(None, (home, level)))
            for method in subfolders(root / above):
                for domain in subfolders(root / above / method):
                    if method.lower() in METHODS and domain.lower() in DOMAINS:
                        folder = "/".join(filter(None, (above, method, domain)))
                        is_test = level.lower() == "test" or domain.lower() == "cdf"
                        yield folder, method.lower(), domain.lower(), "test" if is_test else ""


def _splits(people: Iterable[str], official: Mapping[str, str]) -> set[str]:
    return {official.get(name, "") for name in people}


def _video(
    root: Path, method: str, domain: str, split: str, official: Mapping[str, str], file: str
) -> Video | None:
    """None where the file's name is not of the domain's pattern."""
    match = (FF_NAME if domain == "ff" else CDF_NAME).fullmatch(os.path.basename(file))
    if match is None:
        return None
    people = tuple(dict.fromkeys(name.lower() for name in match.groups()[:2] if name))
    if domain == "ff" and official:
        split = next(iter(_splits(people, official)), "")
    return Video(
        id=f"{NAME}/{method}/{domain}/{stem(file)}",
        uri=uri(root, file),
        label=FAKE,
        dataset=faceforensics.NAME if domain == "ff" else celeb_df.NAME,
        method=f"{NAME}/{method}",
        identities=people,
        source_id=people[0] if domain == "ff" else f"{people[0]}_{match[3]}",
        split=split,
    )
