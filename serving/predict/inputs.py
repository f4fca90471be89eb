"""Input videos of a command line: files, folders and patterns -> video files, each once."""

from __future__ import annotations

import dataclasses
import glob
import os
import re
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path

from pipelines.datasets.same_file import file_key
from pipelines.datasets.scan import is_video, walk


@dataclasses.dataclass(frozen=True)
class Inputs:
    """videos: each once, in the order of the names; of a folder or pattern in natural order.

    skipped: how many files of folders and patterns are no videos by their suffix. nothing: names
    that stand for no video.
    """

    videos: tuple[str, ...]
    skipped: int
    nothing: tuple[str, ...]


def find_videos(names: Sequence[str]) -> Inputs:
    """The videos that files, folders and patterns name.

    A file that is named itself is taken whatever its suffix; folders are read at any depth. In a
    pattern * and ? stand for anything but a slash, [...] for one of several characters and ** for
    any folders. A file that is reached twice, under another spelling or by a link, counts once.
    Raises DatasetError (a ValueError) for a folder that cannot be read.
    """
    key = file_key()
    videos: dict[Hashable, str] = {}  # what it is -> the name it was first reached by
    skipped: set[Hashable] = set()
    nothing = []
    for name in names:
        is_file = os.path.isfile(name)
        files = [name] if is_file else sorted(_inside(name), key=natural)
        taken = 0
        for file in files:
            if is_file or is_video(file):
                videos.setdefault(key(file), file)
                taken += 1
            else:
                skipped.add(key(file))
        if not taken:
            nothing.append(name)
    return Inputs(tuple(videos.values()), len(skipped - videos.keys()), tuple(nothing))


def _inside(name: str) -> Iterator[str]:
    """The files of a folder, or of those that a pattern names."""
    for path in [name] if os.path.isdir(name) else glob.glob(name, recursive=True):
        if os.path.isdir(path):
            for below, files in walk(Path(path)):
                yield from (os.path.join(path, below, file) for file in files)
        elif os.path.isfile(path):
            yield path


def natural(text: str) -> list[tuple[str, int]]:
    """A key that sorts "take 2" before "take 10"."""
    return [(word, int(digits or 0)) for word, digits in re.findall(r"(\D*)(\d*)", text)]
