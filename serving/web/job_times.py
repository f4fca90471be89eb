"""Times of jobs, of which follows how long who finds the queue full should wait."""

from __future__ import annotations

import math
from collections.abc import Sequence

FIRST_S = 10.0  # before there was a job
WEIGHT = 0.3  # of the last job in the average


class JobTimes:
    """A moving average, of the jobs that were worth their time."""

    def __init__(self) -> None:
        self._usual_s = FIRST_S

    def add(self, took_s: float, done: bool) -> None:
        """A job that has ended. Files that are refused at once say nothing of videos."""
        if done or took_s > self._usual_s:
            self._usual_s += WEIGHT * (took_s - self._usual_s)

    def wait_s(self, videos: int, running_s: Sequence[float], workers: int) -> int:
        """Seconds, at least 1, that so many videos take.

        running_s: how long each of those at work has been so. A video takes the usual time, or
        what these have taken in the mean where that is more.
        """
        so_far_s = sum(running_s) / len(running_s) if running_s else 0.0
        return max(1, math.ceil(max(self._usual_s, so_far_s) * videos / workers))
