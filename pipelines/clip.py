"""Data of the pipeline: videos, face clips, and rejects, its dead letters."""

from __future__ import annotations

import dataclasses

import numpy as np

from pipelines.names import escape

REAL, FAKE = 0, 1  # the label, everywhere
LABEL_NAMES = {REAL: "real", FAKE: "fake"}
ORIGINAL = "original"  # the method of a real video
SPLITS = ("train", "val", "test")


@dataclasses.dataclass(frozen=True, order=True)
class Video:
    """One video of a dataset and what is known of it before it is opened."""

    id: str  # unique in the dataset: "FaceSwap/000_003"
    uri: str  # local path or any Beam file system's
    label: int
    dataset: str
    method: str = ORIGINAL
    compression: str = ""
    identities: tuple[str, ...] = ()  # target first, then donor
    source_id: str = ""  # id of the original recording; a real video's own id
    split: str = ""

    @property
    def full_key(self) -> tuple[str, str, str, str]:
        """What identifies a video among several data sets, or several preprocessings of one: the
        methods and compressions of a data set may name their videos alike."""
        return (self.dataset, self.method, self.compression, self.id)

    @property
    def key(self) -> str:
        """Unique over all datasets."""
        return f"{self.dataset}/{self.id}"

    @property
    def source_key(self) -> str:
        """The original recording's, unique over all datasets; the video's own where unknown."""
        return f"{self.dataset}/{self.source_id}" if self.source_id else self.key


@dataclasses.dataclass(frozen=True, order=True)
class Reject:
    """A video that is not in the shards, as a line of rejects.jsonl.

    video: its key. reason: a word for machines. stage: "dataset", "split", "decode" or "faces".
    detail: a sentence for people.
    """

    video: str
    uri: str
    reason: str
    stage: str
    detail: str

    def to_line(self) -> dict[str, str]:
        """The line, whose address is text that can be printed (`pipelines.names`)."""
        return {**dataclasses.asdict(self), "uri": escape(self.uri)}


class VideoError(Exception):
    """A video that cannot be used. It becomes a reject, never a crash.

    Attributes:
      reason: a word for machines: unreadable, unsupported, no_video_stream, truncated, damaged,
        timeout or no_face.
      stage: "decode" or "faces".
      detail: a sentence for people.
    """

    def __init__(self, reason: str, stage: str, detail: str):
        super().__init__(reason, stage, detail)
        self.reason, self.stage, self.detail = reason, stage, escape(detail)  # it names files

    def __str__(self) -> str:
        return f"{self.reason} ({self.stage}): {self.detail}"


@dataclasses.dataclass
class Clip:
    """T consecutive samples of one tracked face of a video.

    The source frame is the one that a player shows: upright, in square pixels.

    images: T encoded RGB crops; b"" where the face was not found.
    times_s: (T,) float32, seconds from the video's start.
    boxes: (T, 4) float32, x1 y1 x2 y2 in px of the source frame; 0 where not found.
    landmarks: (T, 5, 2) float32, x y in px of the source frame: the subject's right eye (left
      in the image), left eye, nose, right and left mouth corner.
    confidence: (T,) float32, detector score 0 to 1; 0 where not found.
    transforms: (T, 2, 3) float32, maps source px to crop px.
    notes: sentences on what was done to see the face, where that was not the usual.
    """

    index: int
    track: int
    fps: float
    images: list[bytes]
    times_s: np.ndarray
    boxes: np.ndarray
    landmarks: np.ndarray
    confidence: np.ndarray
    transforms: np.ndarray
    notes: tuple[str, ...] = ()

    @property
    def has_crop(self) -> np.ndarray:
        """(T,) bool: frames that hold a crop."""
        return np.array([bool(image) for image in self.images])
