"""What every dataset adapter gives: its videos, official splits, and what is amiss."""

from __future__ import annotations

import dataclasses

from pipelines.clip import Video

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")


class DatasetError(ValueError):
    """A root folder that is not what the adapter reads: what was found, expected, and to do."""


@dataclasses.dataclass(frozen=True)
class Dataset:
    """The videos found under a root folder.

    official: split by identity where the dataset publishes one, else empty.
    problems: what is missing or unlisted, a sentence each; never silent.
    """

    name: str
    videos: tuple[Video, ...]
    official: dict[str, str] = dataclasses.field(default_factory=dict)
    problems: tuple[str, ...] = ()
