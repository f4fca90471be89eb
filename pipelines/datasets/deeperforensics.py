"""Adapter of DeeperForensics-1.0 (Jiang et al. 2020) as published.

manipulated_videos/<variant>/<target>_<source>.mp4 (000_M101: FaceForensics++'s original 000 with
the face of actor M101), in eleven variants from end_to_end to reenact_postprocess.
lists/splits/{train,val,test}.txt: the names of the fakes, a line each, for all variants.
source_videos/<actor>/...: the actors, whom the data set says not to take for its real part.

Its real part is FaceForensics++'s original_sequences/youtube/c23, which may lie in the same root.
So its videos belong to the data set faceforensics: whoever is in both must be in one split.

Layout: github.com/EndlessSora/DeeperForensics-1.0, dataset/README.md (2020-2021).
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Mapping
from pathlib import Path

from pipelines.clip import FAKE, SPLITS, Reject, Video
from pipelines.datasets import faceforensics
from pipelines.datasets.base import Dataset, DatasetError
from pipelines.datasets.lists import missing_note, read_text
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

NAME = "deeperforensics"
LAYOUT = "manipulated_videos/end_to_end/ (DeeperForensics-1.0)"
FAKES, SOURCES, LISTS = "manipulated_videos", "source_videos", "lists/splits"
VARIANT = re.compile(
    r"end_to_end(_level_[1-5]|_random_level|_mix_[2-4]_distortions)?|reenact_postprocess"
)
FAKE_NAME = re.compile(r"(\d{3})_([MW]\d{3})\.mp4", re.IGNORECASE)
METHOD = "DeeperForensics"


def matches(root: Path) -> bool:
    """Whether the folder holds manipulated videos of DeeperForensics-1.0."""
    return any(
        VARIANT.fullmatch(name)
        for folder in folders_named(root, FAKES)
        for name in subfolders(root / folder)
    )


def find(root: Path) -> Dataset:
    """All videos under `root`. Raises DatasetError where there is none or a list is damaged."""
    listed, notes = _lists(root)
    videos: list[Video] = []
    rejects: list[Reject] = []
    missing: list[str] = []
    for folder in folders_named(root, FAKES):
        for variant in ["", *subfolders(root / folder)]:
            part = f"{folder}/{variant}" if variant else folder
            files = video_files(root, part)
            if not variant:
                files = [file for file in files if os.path.dirname(file) == folder]
            make = functools.partial(_video, root, variant)
            good, bad = named(NAME, root, files, make, "<variant>/<target>_<actor>.mp4")
            videos += good
            rejects += bad
            if absent := sorted(listed.keys() - {stem(file) for file in files}):
                if VARIANT.fullmatch(variant):
                    missing += [f"{part}/{name}.mp4" for name in absent]
                    notes.append(missing_note(root / part, absent, len(listed)))
    if listed:
        why = f"It is in none of the lists in {LISTS}, which split all of the data set."
        unlisted = [video for video in videos if stem(video.uri) not in listed]
        rejects += [
            refused(NAME, root, os.path.relpath(v.uri, root), "unlisted", why) for v in unlisted
        ]
        videos = [_in_split(video, listed) for video in videos if stem(video.uri) in listed]
    why = "It shows an actor as recorded; the data set's real part is FaceForensics++'s originals."
    rejects += [
        refused(NAME, root, file, "source_video", why)
        for folder in folders_named(root, SOURCES)
        for file in video_files(root, folder)
    ]
    require_videos(root, videos, f"{FAKES}/<variant>/<target>_<actor>.mp4", rejects, missing)
    return Dataset(
        NAME,
        tuple(sorted(videos)),
        missing=tuple(sorted(missing)),
        rejects=tuple(sorted(rejects)),
        notes=tuple(notes),
    )


def _video(root: Path, variant: str, file: str) -> Video | None:
    """None where the file's name is not of the pattern, or its folder no variant."""
    match = FAKE_NAME.fullmatch(os.path.basename(file))
    if match is None or not VARIANT.fullmatch(variant):
        return None
    target, actor = match[1], match[2].upper()
    return Video(
        id=f"{METHOD}/{variant}/{stem(file)}",
        uri=uri(root, file),
        label=FAKE,
        dataset=faceforensics.NAME,
        method=f"{METHOD}/{variant}",
        identities=(target, actor),
        source_id=target,
    )


def _in_split(video: Video, listed: Mapping[str, str]) -> Video:
    return dataclasses.replace(video, split=listed[stem(video.uri)])


def _lists(root: Path) -> tuple[dict[str, str], list[str]]:
    """Name of a fake -> its split, and a note where the three lists are not there."""
    folder = root / next(iter(folders_named(root, LISTS)), LISTS)
    if absent := [f"{s}.txt" for s in SPLITS if not (folder / f"{s}.txt").is_file()]:
        note = f"{folder}: no {', '.join(absent)}; the data set's own splits need all three lists."
        return {}, [note]
    listed: dict[str, str] = {}
    for split in SPLITS:
        path = folder / f"{split}.txt"
        for number, line in enumerate(read_text(path).splitlines(), 1):
            if not (name := os.path.basename(line.strip())):
                continue
            if not FAKE_NAME.fullmatch(name):
                raise DatasetError(
                    f"{path}:{number}: {line.strip()!r}; expected a name such as 000_M101.mp4. "
                    "Take the list from the data set again."
                )
            if listed.setdefault(stem(name), split) != split:
                raise DatasetError(
                    f"{path}:{number}: {name} is in {listed[stem(name)]}.txt as well; a fake must "
                    "be in one split. Take the lists from the data set again."
                )
    return listed, []
