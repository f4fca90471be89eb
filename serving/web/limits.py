"""Limits on an untrusted video, by its metadata."""

from __future__ import annotations

import dataclasses

from pipelines.clip import VideoError
from pipelines.video.probe import VideoMetadata


@dataclasses.dataclass(frozen=True)
class VideoLimits:
    """What a video may be at most, by its metadata."""

    max_seconds: float
    max_pixels: int
    max_frames: int

    def check(self, metadata: VideoMetadata) -> None:
        """Raises VideoError."""
        pixels = metadata.width * metadata.height
        if pixels > self.max_pixels:
            size = f"{metadata.width}x{metadata.height} px, {pixels} in all"
            raise _beyond("too_many_pixels", f"a frame is {size}; {self.max_pixels} are allowed")
        if metadata.duration_s > self.max_seconds:
            long = f"it lasts {metadata.duration_s:.1f} s; {self.max_seconds:g} s are allowed"
            raise _beyond("too_long", long)
        if metadata.frames > self.max_frames:
            many = f"it has {metadata.frames} frames; {self.max_frames} are allowed"
            raise _beyond("too_long", many)


def _beyond(reason: str, what: str) -> VideoError:
    return VideoError(reason, "decode", what + ".")
