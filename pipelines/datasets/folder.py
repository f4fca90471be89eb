"""Adapter of videos and pictures of one's own: `real/` and `fake/` folders, read to any depth.

Who they show is not given, so each real recording is an identity of its own, and a fake that is
named after real ones, `<target>_<donor>...`, joins theirs. A recording is a video, a picture right
in `real/` or `fake/`, or all the pictures of a folder below: they may be frames of one video.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pipelines.clip import FAKE, LABEL_NAMES, ORIGINAL, REAL, Video
from pipelines.datasets.base import PICTURE_SUFFIXES, VIDEO_SUFFIXES, Dataset
from pipelines.datasets.scan import (
    folders_named,
    is_picture,
    picture_files,
    require_videos,
    stem,
    uri,
    video_files,
)

NAME = "folder"
LAYOUT = "real/ and fake/"


def matches(root: Path) -> bool:
    """Whether the folder has a real/ or a fake/ folder, in any letter case."""
    return any(folders_named(root, name) for name in LABEL_NAMES.values())


def find(root: Path) -> Dataset:
    """All videos and pictures under `root`. Raises DatasetError where there is none."""
    files = {
        label: [
            file
            for folder in folders_named(root, name)
            for file in (*video_files(root, folder), *picture_files(root, folder))
        ]
        for label, name in LABEL_NAMES.items()
    }
    recordings = {label: sorted(set(map(_recording, files[label]))) for label in files}
    reals = _own_names(recordings[REAL])
    # Of fakes that are named alike after two people, the people may be the same.
    after_two = {made: _stem(made) for made in recordings[FAKE] if "_" in _stem(made)}
    fakes = _own_names(recordings[FAKE]) | after_two
    by_stem: dict[str, list[str]] = defaultdict(list)
    for real in reals:
        by_stem[_stem(real)].append(real)
    people = {real: [name] for real, name in reals.items()}
    for made, own in fakes.items():
        people[made] = [reals[real] for real in _named_after(made, by_stem)] or [own]
    videos = [
        _video(root, file, label, people[_recording(file)])
        for label in files
        for file in files[label]
    ]
    suffixes = ", ".join((*VIDEO_SUFFIXES, *PICTURE_SUFFIXES))
    require_videos(root, videos, f"real/ and fake/ folders with {suffixes} files")
    return Dataset(NAME, tuple(sorted(videos)), notes=tuple(_notes(files)))


def _recording(file: str) -> str:
    """What a file is taken from: itself, or of a picture in a folder of pictures that folder."""
    folder = os.path.dirname(file)
    return f"{folder}/" if is_picture(file) and "/" in folder else file


def _stem(recording: str) -> str:
    """The name of a recording, without folders and suffix."""
    is_folder = recording.endswith("/")
    return os.path.basename(recording[:-1]) if is_folder else stem(recording)


def _notes(files: Mapping[int, Sequence[str]]) -> Iterator[str]:
    folders = Counter(r for f in files.values() for r in map(_recording, f) if r.endswith("/"))
    several = {folder: count for folder, count in sorted(folders.items()) if count > 1}
    if several:
        first, count = next(iter(several.items()))
        yield (
            f"{NAME}: {len(several)} folders of pictures, first {first} ({count}), are each taken "
            "to be of one person and go to one split. Where they are of several, put the pictures "
            "right into real/ or fake/, or name people in a CSV manifest."
        )


def _own_names(recordings: Sequence[str]) -> dict[str, str]:
    """Recording -> its name or, where another one is named so too, its whole path."""
    times = Counter(map(_stem, recordings))
    return {r: _stem(r) if times[_stem(r)] == 1 else r.rstrip("/") for r in recordings}


def _named_after(fake: str, by_stem: dict[str, list[str]]) -> list[str]:
    """The real recordings that a fake is named after: `<target>_<donor>...`, or as one of them.

    Of several that are named alike those in folders like the fake's are meant. Where that tells
    nothing it may be any of them, and it goes with all: none may be in another split.
    """
    parts = [part for part in _stem(fake).split("_")[:2] if part in by_stem] or [_stem(fake)]
    return [real for part in parts for real in _nearest(fake, by_stem.get(part, []))]


def _nearest(fake: str, reals: list[str]) -> list[str]:
    """Those of the real recordings that share most folders with the fake, below real/ and fake/."""

    def shared(real: str) -> int:
        folders = (os.path.dirname(path.rstrip("/")).split("/")[1:] for path in (fake, real))
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
