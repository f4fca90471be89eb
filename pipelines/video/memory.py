"""Memory budget of a process that decodes: how much it holds, and a limit that the system keeps."""

from __future__ import annotations

import os
import resource

from pipelines.byte_sizes import byte_size
from pipelines.clip import VideoError


def too_much_memory(budget_bytes: int) -> VideoError:
    """The one outcome of a video beyond the budget, whoever notices first: who looks on, or the
    process itself, which gets no more."""
    what = f"it takes more than {byte_size(budget_bytes)} of memory."
    return VideoError("decoder_failed", "decode", what)


def resident_bytes(pid: int | None) -> int:
    """Memory that a process holds; 0 of one that has ended."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


def peak_resident_bytes() -> int:
    """The most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class MemoryBudget:
    """What this process may take for a video, on top of what it holds now."""

    def __init__(self, budget_bytes: int):
        self.budget_bytes = budget_bytes
        self._allowed_bytes = resident_bytes(os.getpid()) + budget_bytes

    def enforce(self, slack: int = 1) -> None:
        """A limit that the system keeps, of `slack` times the budget, and no core dump.

        Of the limits that Linux has, RLIMIT_DATA is the one that counts memory which can be
        written to; TensorFlow maps far more addresses than it uses.
        """
        with open("/proc/self/status") as status:
            sizes = dict(line.split(":", 1) for line in status)
        limit = int(sizes["VmData"].split()[0]) * 1024 + slack * self.budget_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def explains(self, error: Exception, peak_before: int) -> bool:
        """Whether an error came of too little memory: it says so, or the budget was spent since
        the peak was `peak_before` bytes."""
        # FFmpeg turns a large frame into RGB by threads, whose stacks are memory as well: where
        # there is none left for them the system says EAGAIN.
        causes = MemoryError | BlockingIOError
        if isinstance(error, MemoryError) or isinstance(error.__cause__, causes):
            return True
        return peak_resident_bytes() > max(peak_before, self._allowed_bytes)
