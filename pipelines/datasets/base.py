"""Dataset and Adapter: what is in a data set's folder, and the protocol of what reads it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from pipelines.clip import SPLITS, Reject, Video

# What FFmpeg calls a container that may be opened (CONTAINERS in pipelines/video/probe.py) -> the
# suffixes of its video files, by FFmpeg 8's tables, IANA's media types and camcorders' use. Left
# out are those that mostly name something else: .ogg (sound, RFC 5334), .ps, .tsv, .dat.
SUFFIXES = {
    "mov": ".mp4 .m4v .mp4v .mpg4 .mov .qt .3gp .3gpp .3g2 .f4v .ismv .mj2 .mjp2 .insv",
    "matroska": ".mkv .mk3d .webm",
    "avi": ".avi .divx .xvid",
    "mpegts": ".ts .mts .m2ts .m2t .mpegts .tp .trp .tod",
    "mpeg": ".mpg .mpeg .mpe .m2p .vob .vro .evo .mod",
    "mpegvideo": ".m1v .m2v .mpv .mp2v",
    "flv": ".flv",
    "asf": ".asf .wmv .wm .dvr-ms",
    "ogg": ".ogv .ogm",
    "gif": ".gif",
    "apng": ".apng",
    "mxf": ".mxf",
    "nut": ".nut",
    "ivf": ".ivf",
    "obu": ".obu",
    "av1": ".obu",
    "h264": ".h264 .264 .avc .h26l .jsv",
    "hevc": ".hevc .h265 .265",
    "vvc": ".vvc .h266 .266",
    "m4v": ".m4v",
    "mjpeg": ".mjpeg .mjpg",
    "yuv4mpegpipe": ".y4m",
    "dv": ".dv .dif",
    "rm": ".rm .rmvb",
    "wtv": ".wtv",
}
GENERATED = "sample-data.json"  # `dfdetect sample-data` leaves it beside what it made
VIDEO_SUFFIXES = tuple(dict.fromkeys(" ".join(SUFFIXES.values()).split()))
# Of the pictures in pipelines/video/still.py: videos of one frame, to train on.
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp")


def generated_mark(videos: Iterable[Video]) -> Path | None:
    """The mark of what `dfdetect sample-data` made, of the first of these videos below one."""
    folders = {os.path.dirname(video.uri) for video in videos if "://" not in video.uri}
    above = {parent for folder in folders for parent in Path(folder, "x").absolute().parents}
    return next((f / GENERATED for f in sorted(above) if (f / GENERATED).is_file()), None)


class DatasetError(ValueError):
    """A root folder that is not what the adapter reads: what was found, expected, and to do."""


class NoVideosError(DatasetError):
    """A root folder in which an adapter found no video that it can use."""


@dataclasses.dataclass(frozen=True)
class Dataset:
    """The videos found under a root folder.

    videos: those that are there; `split` is set where the data set's own lists name the video.
    official: identity -> split, where the data set splits its people instead of its videos.
    deal: how the rest is dealt to splits: "component" keeps everything that shares a person or a
      source together; "identity" deals people one by one and drops fakes across two splits, for
      data sets that swap everyone with everyone.
    open_splits: the splits to which the rest is dealt.
    missing: what the data set's lists name but is not there, by path below the root.
    rejects: files that are there but cannot be used: misnamed, unlisted, an id twice.
    notes: what a user should know, a sentence each.
    generated: whether `dfdetect sample-data` made the videos, which say nothing of real ones.
    """

    name: str
    videos: tuple[Video, ...]
    official: Mapping[str, str] = dataclasses.field(default_factory=dict)
    deal: str = "component"
    open_splits: tuple[str, ...] = SPLITS
    missing: tuple[str, ...] = ()
    rejects: tuple[Reject, ...] = ()
    notes: tuple[str, ...] = ()
    generated: bool = False


class Adapter(Protocol):
    """What reads a data set as published: a module of this package, registered in ADAPTERS.

    NAME: of the data set, and of its --dataset flag. LAYOUT: what a folder of it holds, in short.
    """

    NAME: str
    LAYOUT: str

    def matches(self, root: Path) -> bool:
        """Whether `root`, a folder or file that is there, looks like one of it. Reads no list."""

    def find(self, root: Path) -> Dataset:
        """All videos under `root`. Raises DatasetError where a list is damaged, and of these
        NoVideosError where there is no video; files elsewhere under `root` are not its affair."""
