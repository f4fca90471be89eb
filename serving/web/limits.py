"""Limits on an untrusted video, and on the memory of the process that decodes it."""

from __future__ import annotations

import dataclasses
import errno
import os
import resource

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


def too_much_memory(budget_bytes: int) -> VideoError:
    """The one outcome of a video beyond the budget, whoever notices first: the server, which looks
    on, or the process itself, which gets no more."""
    what = f"it takes more than {budget_bytes} bytes of memory."
    return VideoError("decoder_failed", "decode", what)


def resident_bytes(pid: int | None) -> int:
    """Memory that a process holds; 0 of one that has ended."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


class MemoryBudget:
    """What this process may take for a video, on top of what it holds now."""

    def __init__(self, budget_bytes: int):
        self.budget_bytes = budget_bytes
        self._allowed_bytes = resident_bytes(os.getpid()) + budget_bytes

    def enforce(self) -> None:
        """A limit for what the server may be too late for; no file, no core dump.

        It is twice the budget: FFmpeg takes a frame for damaged for which it gets no memory. Of
        the limits that Linux has, RLIMIT_DATA is the one that counts memory which can be written
        to; TensorFlow maps far more addresses than it uses.
        """
        with open("/proc/self/status") as status:
            sizes = dict(line.split(":", 1) for line in status)
        limit = int(sizes["VmData"].split()[0]) * 1024 + 2 * self.budget_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def explains(self, error: Exception, peak_before: int) -> bool:
        """Whether an error came of too little memory: it says so, or the budget was spent since
        the peak was `peak_before` bytes. Of a thread that gets no stack the system says EAGAIN."""
        for one in (error, error.__cause__):
            if isinstance(one, MemoryError) or (
                isinstance(one, OSError) and one.errno in (errno.ENOMEM, errno.EAGAIN)
            ):
                return True
        return peak_resident_bytes() > max(peak_before, self._allowed_bytes)


def peak_resident_bytes() -> int:
    """The most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
