"""Log lines bounded in their rate, so that whoever sends requests does not fill a disk."""

from __future__ import annotations

import dataclasses
import logging
import time

BURST = 200
PER_S = 5.0


@dataclasses.dataclass
class _Bucket:
    """Lines that one place in the code may still write."""

    left: float
    at_s: float
    dropped: int = 0


class LogLimit(logging.Filter):
    """For a handler: of each place in the code that logs, `burst` lines, and `per_s` a second.

    The next line after some that were left out says how many.
    """

    def __init__(self, burst: int = BURST, per_s: float = PER_S):
        super().__init__()
        self._burst, self._per_s = burst, per_s
        self._buckets: dict[tuple[str, int, str], _Bucket] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now_s = time.monotonic()
        place = record.pathname, record.lineno, record.name
        bucket = self._buckets.setdefault(place, _Bucket(self._burst, now_s))
        earned = (now_s - bucket.at_s) * self._per_s
        bucket.left, bucket.at_s = min(self._burst, bucket.left + earned), now_s
        if bucket.left < 1:
            bucket.dropped += 1
            return False
        bucket.left -= 1
        if bucket.dropped:
            record.msg = f"{record.msg} ({bucket.dropped} lines like this were left out before it)"
            bucket.dropped = 0
        return True
