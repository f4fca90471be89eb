"""Adapter of videos of one's own: a `real/` and a `fake/` folder, each searched to any depth.

Who they show is not given, so each real video is an identity of its own, and a fake that is named
after real videos, `<target>_<donor>...`, joins theirs.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from pipelines.clip import FAKE, LABEL_NAMES, ORIGINAL, REAL, Video
from pipelines.datasets.base import VIDEO_SUFFIXES, Dataset
from pipelines.datasets.scan import folders_named, require_videos, stem, uri, video_files

NAME = "folder"
LAYOUT = "real/ and fake/"


def matches(root: Path) -> bool:
    """Whether the folder has a real/ or a fake/ folder, in any letter case."""
    return any(folders_named(root, name) for name in LABEL_NAMES.values())


def find(root: Path) -> Dataset:
    """All videos under `root`. Raises DatasetError where there is none."""
    files = {
        label: [file for folder in folders_named(root, name) for file in video_files(root, folder)]
        for label, name in LABEL_NAMES.items()
    }
    reals = _own_names(files[REAL])
    # Of fakes that are named alike after two people, the people may be the same.
    fakes = _own_names(files[FAKE]) | {f: stem(f) for f in files[FAKE] if "_" in stem(f)}
    by_stem: dict[str, list[str]] = defaultdict(list)
    for file in files[REAL]:
        by_stem[stem(file)].append(file)
    videos = [_video(root, file, REAL, [name]) for file, name in reals.items()]
    for file, own in fakes.items():
        after = _named_after(file, by_stem)
        videos.append(_video(root, file, FAKE, [reals[real] for real in after] or [own]))
    require_videos(root, videos, f"real/ and fake/ folders with {', '.join(VIDEO_SUFFIXES)} files")
    return Dataset(NAME, tuple(sorted(videos)))


def _own_names(files: Iterable[str]) -> dict[str, str]:
    """File -> its name without suffix or, where another one is named so too, its whole path."""
    files = list(files)
    times = Counter(map(stem, files))
    return {file: stem(file) if times[stem(file)] == 1 else file for file in files}


def _named_after(file: str, by_stem: dict[str, list[str]]) -> list[str]:
    """The real videos that a fake is named after: `<target>_<donor>...`, or as one of them.

    Of several that are named alike those in folders like the fake's are meant. Where that tells
    nothing it may be any of them, and it goes with all: none may be in another split.
    """
    parts = [part for part in stem(file).split("_")[:2] if part in by_stem] or [stem(file)]
    return [real for part in parts for real in _nearest(file, by_stem.get(part, []))]


def _nearest(file: str, reals: list[str]) -> list[str]:
    """Those of the real videos that share most folders with the fake, below real/ and fake/."""

    def shared(real: str) -> int:
        folders = (os.path.dirname(path).split("/")[1:] for path in (file, real))
        return len(set.intersection(*map(set, folders)))

    most = max(map(shared, reals), default=0)
    return [real for real in reals if shared(real) == most]


def _video(root: Path, file: str, label: int, people: list[str]) -> Video:
    return Video(
        id=file,
        uri=uri(root, file),
        label=label,
        dataset=NAME,
        method=ORIGINAL if label == REAL else "fake",
        identities=tuple(dict.fromkeys(people)),
        source_id=people[0],
    )
