"""Data of the pipeline: videos, face clips, and rejects, its dead letters."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping
from typing import Any

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


@dataclasses.dataclass(frozen=True, eq=False)
class Sighting:
    """What tells a face again in another moment of its video (`pipelines.faces.people`).

    size: (W, H) px of the picture. first_box, last_box: (4,) float32, x1 y1 x2 y2 in px of it,
      where the face was seen first and last.
    appearance: (D,) float32 of length 1, from the aligned face; values that float16 holds.
    first_picture, last_picture: (h, w, 3) uint8 RGB, the whole pictures of those two frames, tiny:
      they show whether there was a cut between two moments.
    """

    size: tuple[int, int]
    first_box: np.ndarray
    last_box: np.ndarray
    appearance: np.ndarray
    first_picture: np.ndarray
    last_picture: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """JSON, about 2 kB; `from_dict` gives the same numbers."""
        return {
            "size": list(self.size),
            "first_box": self.first_box.tolist(),
            "last_box": self.last_box.tolist(),
            "appearance": _base64(self.appearance.astype("<f2")),
            "pictures": _base64(np.stack([self.first_picture, self.last_picture])),
            "picture_size": list(self.first_picture.shape[:2]),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Sighting:
        """The inverse of `to_dict`. Raises ValueError for what it does not make."""
        try:
            width, height = map(int, values["size"])
            rows, columns = map(int, values["picture_size"])
            first_box, last_box = (
                np.array(values[name], np.float32).reshape(4) for name in ("first_box", "last_box")
            )
            appearance = np.frombuffer(base64.b64decode(values["appearance"]), "<f2")
            pictures = np.frombuffer(base64.b64decode(values["pictures"]), np.uint8)
            first, last = pictures.reshape(2, rows, columns, 3)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a sighting of a face ({error!r})") from error
        return cls((width, height), first_box, last_box, appearance.astype(np.float32), first, last)


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()


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
    sighting: what tells the face again in other clips; None of a clip that was read from shards.
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
    sighting: Sighting | None = None

    @property
    def has_crop(self) -> np.ndarray:
        """(T,) bool: frames that hold a crop."""
        return np.array([bool(image) for image in self.images])


@dataclasses.dataclass(frozen=True)
class Look:
    """A moment of a video that was looked at.

    clips: one for each face, with `index` the moment and `track` the face's number within it,
      from 0, the most prominent first.
    frames: how many were looked at; 0 where most do not decode.
    thumbnail: JPEG, 160 px wide, of the middle one; b"" without any.
    damaged: a sentence on why nothing could be seen of a moment that does not decode; "" of others.
    """

    moment: int
    clips: tuple[Clip, ...]
    frames: int
    thumbnail: bytes
    damaged: str = ""
