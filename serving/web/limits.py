"""Limits on an untrusted video, by its metadata."""

from __future__ import annotations

import dataclasses

from pipelines.clip import VideoError
from pipelines.video.probe import FrameTimes, VideoMetadata


@dataclasses.dataclass(frozen=True)
class VideoLimits:
    """What a video may be at most, by its metadata."""

    max_seconds: float
    max_pixels: int
    max_frames: int
    max_gigapixels: float = 0.0  # frames to decode, 10^9 px; 0 for no limit

    def check(self, metadata: VideoMetadata, frame_times: FrameTimes) -> None:
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
        # Where there is an index, what it takes follows from where the scan looks: it counts that.
        gigapixels = metadata.frames * pixels / 1e9
        if self.max_gigapixels and not frame_times.seekable and gigapixels > self.max_gigapixels:
            whole = (
                f"it has no index, so all of its {metadata.frames} frames of "
                f"{metadata.width}x{metadata.height} px must be decoded, {gigapixels:.4g} "
                f"gigapixels; {self.max_gigapixels:g} are allowed. Put it into a container with an "
                "index (MP4, Matroska), make it smaller, or send it in parts"
            )
            raise _beyond("too_much_to_decode", whole)


def _beyond(reason: str, what: str) -> VideoError:
    return VideoError(reason, "decode", what + ".")
