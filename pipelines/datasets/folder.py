"""Adapter of videos of one's own: a `real/` and a `fake/` folder, each searched to any depth.

Who they show is not given, so each real video is an identity of its own and a fake
named `<target>_<donor>...` after two real videos joins theirs.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from pipelines.clip import FAKE, ORIGINAL, REAL, Video
from pipelines.datasets.base import VIDEO_SUFFIXES, Dataset
from pipelines.datasets.scan import folders_named, require_videos, stem, uri, video_files

NAME = "folder"
LAYOUT = "real/ and fake/"
FOLDERS = ("real", "fake")


def matches(root: Path) -> bool:
    """Whether the folder has a real/ or a fake/ folder, in any letter case."""
    return any(folders_named(root, folder) for folder in FOLDERS)


def find(root: Path) -> Dataset:
    """All videos under `root`. Raises DatasetError where there is none."""
    reals, fakes = (
        [file for name in folders_named(root, folder) for file in video_files(root, name)]
        for folder in FOLDERS
    )
    real_names = {stem(file) for file in reals}
    videos = [_video(root, file, REAL, ()) for file in reals]
    videos += [_video(root, file, FAKE, real_names) for file in fakes]
    require_videos(root, videos, f"real/ and fake/ folders with {', '.join(VIDEO_SUFFIXES)} files")
    return Dataset(NAME, tuple(sorted(videos)))


def _video(root: Path, file: str, label: int, real_names: Collection[str]) -> Video:
    people = [part for part in stem(file).split("_")[:2] if part in real_names] or [stem(file)]
    return Video(
        id=file,
        uri=uri(root, file),
        label=label,
        dataset=NAME,
        method=ORIGINAL if label == REAL else "fake",
        identities=tuple(dict.fromkeys(people)),
        source_id=people[0],
    )
