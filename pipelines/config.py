"""Crop configuration and its fingerprint: how face clips are sampled, cropped and encoded."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar

from pipelines.flags import check_fields, option

# Raise when the same config would make different crops than before, so that a model
# never meets crops made in another way than those it was trained on.
CROP_ALGORITHM = "mtcnn-similarity/6"

DECODE_LIMIT_S = 600.0  # how long decoding may take for one video, unless told otherwise

# The layout of a record (pipelines/shards/schema.py); raise when readers of the old one would fail.
RECORD_VERSION = 1


@dataclasses.dataclass(frozen=True)
class PreprocessConfig:
    """Everything that decides what a crop looks like.

    The same value is used by the Beam job and by serving; it travels with the shards and
    with the exported model. Raises ValueError for a value that cannot work.
    """

    clips_per_video: int = option(2, "clips taken from each video, spread over its length")
    frames_per_clip: int = option(16, "frames in a clip")
    frame_stride: int = option(2, "source frames from one clip frame to the next")
    sampling: str = option(
        "consecutive",
        "frames of a clip: --frame-stride apart, evenly over the clip's share of the video, or "
        "every --frame-stride'th frame of the whole video",
        choices=("consecutive", "uniform", "all"),
    )
    crop_size: int = option(224, "side of a face crop, px")
    margin: float = option(0.3, "room around the face, as a share of its size")
    faces: str = option("largest", "which tracked faces to keep", choices=("largest", "all"))
    detect_side: int = option(640, "long side at which faces are searched, px")
    min_face: int = option(24, "smallest face to search for, px at --detect-side")
    min_confidence: float = option(0.9, "mean detector score a face track needs, 0 to 1")
    min_face_share: float = option(0.5, "share of a clip's frames in which the face must be found")
    image_format: str = option("jpeg", "encoding of crops", choices=("jpeg", "png"))
    jpeg_quality: int = option(95, "JPEG quality of crops, 1 to 100")

    # Bounds of the numeric fields: both ends allowed.
    BOUNDS: ClassVar[Mapping[str, tuple[float, float]]] = {
        "clips_per_video": (1, 1000),
        "frames_per_clip": (1, 1000),
        "frame_stride": (1, 1000),
        "crop_size": (32, 1024),
        "margin": (0.0, 2.0),
        "detect_side": (64, 8192),
        "min_face": (12, 1024),
        "min_confidence": (0.0, 1.0),
        "min_face_share": (0.0, 1.0),
        "jpeg_quality": (1, 100),
    }

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change when the crops of a clip would.

        Not with what decides which faces and which moments of a video are kept: `faces` and
        `clips_per_video`, and whether the moments are a few ("consecutive") or all of them, for
        the same face in the same frames gives the same crops.
        """
        made_by = self.to_dict()
        del made_by["faces"], made_by["clips_per_video"]
        if self.sampling == "all":
            made_by["sampling"] = "consecutive"
        text = json.dumps([CROP_ALGORITHM, made_by], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PreprocessConfig:
        """The config from `to_dict`. Raises ValueError on unknown fields."""
        unknown = sorted(set(values) - {f.name for f in dataclasses.fields(cls)})
        if unknown:
            raise ValueError(
                f"Unknown preprocessing settings {unknown}. "
                "Were they written by a newer version of this package?"
            )
        return cls(**values)
