"""Coverage of a video: how closely it is looked at, and what of it was."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from pipelines.flags import check_fields, option

MIN_USABLE_SHARE = 0.5  # of the moments, those with a usable face that a REAL needs


@dataclasses.dataclass(frozen=True)
class ScanSettings:
    """How closely videos are looked at. Raises ValueError for a value that cannot work."""

    every: float = option(2.0, "look at a moment of each so many seconds")
    max_clips: int = option(64, "moments to look at in a video, at most; 0 for no limit")
    min_fake_s: float = option(3.0, "shortest fake part to look for, seconds")
    max_gap_s: float = option(30.0, "longest part not looked at that a REAL allows, seconds")
    max_gigapixels: float = option(
        250.0, "frames to decode in a video, at most, frames x 10^9 px; 0 for no limit"
    )

    BOUNDS: ClassVar[Mapping[str, tuple[float, float]]] = {
        "every": (0.01, 86_400.0),
        "max_clips": (0, 1_000_000),
        "min_fake_s": (0.0, 86_400.0),
        "max_gap_s": (0.0, 86_400.0),
        "max_gigapixels": (0.0, 1e9),
    }

    def __post_init__(self) -> None:
        check_fields(self)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Coverage:
    """What of a video was looked at.

    seconds: in all, of the moments, each to where the next begins. moments_with_face: those with
    a usable one. gaps: (start, end) in seconds of the parts between, and the longest's length.
    frames: that were looked at, of frames_total in the video.
    """

    duration_s: float
    seconds: float
    moments: int
    moments_with_face: int
    largest_gap_s: float
    frames: int
    frames_total: int
    gaps: tuple[tuple[float, float], ...] = ()

    @property
    def share(self) -> float:
        """Of the video's length, 0 to 1."""
        return min(1.0, self.seconds / self.duration_s) if self.duration_s else 1.0

    @property
    def usable_share(self) -> float:
        """Of the moments, those with a usable face."""
        return self.moments_with_face / self.moments if self.moments else 0.0

    def lacks(self, max_gap_s: float) -> list[str]:
        """Sentences that say why this is too little for REAL; none where it is enough."""
        reasons = []
        if self.largest_gap_s > max_gap_s:
            reasons.append(
                f"{self.largest_gap_s:.0f} s in a row were not looked at; REAL allows "
                f"{max_gap_s:g} s."
            )
        if self.usable_share < MIN_USABLE_SHARE:
            reasons.append(
                f"A usable face was found in {self.moments_with_face} of {self.moments} moments; "
                "REAL needs half of them."
            )
        return reasons

    def to_dict(self) -> dict[str, Any]:
        """JSON, rounded for people: seconds to ms, shares to 4 digits."""
        return {
            "duration_s": round(self.duration_s, 3),
            "seconds": round(self.seconds, 3),
            "share": round(self.share, 4),
            "moments": self.moments,
            "moments_with_face": self.moments_with_face,
            "usable_share": round(self.usable_share, 4),
            "largest_gap_s": round(self.largest_gap_s, 3),
            "frames": self.frames,
            "frames_total": self.frames_total,
            "gaps": [[round(start, 3), round(end, 3)] for start, end in self.gaps],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Coverage:
        """The inverse of `to_dict`."""
        names = {field.name for field in dataclasses.fields(cls)}
        fields = {name: value for name, value in values.items() if name in names}
        return cls(**{**fields, "gaps": tuple((a, b) for a, b in values["gaps"])})
