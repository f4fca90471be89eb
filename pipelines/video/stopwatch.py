"""Stage timings and counts of the work on one video."""

from __future__ import annotations

import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import Iterator


class Stopwatch:
    """Seconds by stage and counts by thing.

    Stages may run in several threads, each stage in one at a time.
    """

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.counts: Counter[str] = Counter()

    @contextlib.contextmanager
    def running(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - started

    def count(self, thing: str, number: int = 1) -> None:
        self.counts[thing] += number
