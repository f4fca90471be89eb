"""Daily usage of API keys, counted in the database of results, and the quotas that bound it."""

from __future__ import annotations

import dataclasses
import math
import sqlite3

from serving.web.problems import Problem

DAY_S = 86_400  # days are UTC's, so those of Unix time

# Beside the tables of a VERSION: a server that does not know this one leaves it alone.
TABLE = """
CREATE TABLE IF NOT EXISTS usage (
    owner TEXT NOT NULL,        -- the key's name
    day INTEGER NOT NULL,       -- since 1970-01-01, UTC
    videos INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (owner, day)
) WITHOUT ROWID
"""


@dataclasses.dataclass(frozen=True)
class Quota:
    """What may be sent in a day (UTC); None: as much as one likes."""

    videos_a_day: int | None = None
    bytes_a_day: int | None = None


def check(
    database: sqlite3.Connection, owner: str, quota: Quota, now: float, size: int = 0
) -> None:
    """Raises Problem where one more video is beyond the quota.

    now: s since 1970. size: of the video in bytes; 0 where that is to be seen.
    """
    row = database.execute(
        "SELECT videos, bytes FROM usage WHERE owner = ? AND day = ?", (owner, _day(now))
    ).fetchone()
    videos, sent = row or (0, 0)
    if quota.videos_a_day is not None and videos + 1 > quota.videos_a_day:
        raise _exceeded(f"{videos} of {quota.videos_a_day} videos were sent", now)
    if quota.bytes_a_day is not None and sent + max(size, 1) > quota.bytes_a_day:
        file = f" before this file of {size}" if size else ""
        raise _exceeded(f"{sent} of {quota.bytes_a_day} bytes were sent{file}", now)


def count(database: sqlite3.Connection, owner: str, quota: Quota, now: float, size: int) -> None:
    """Counts a video of so many bytes, or raises Problem as `check` does."""
    check(database, owner, quota, now, size)
    database.execute(
        "INSERT INTO usage VALUES (?, ?, 1, ?) ON CONFLICT DO UPDATE SET "
        "videos = videos + 1, bytes = bytes + excluded.bytes",
        (owner, _day(now), size),
    )


def forget_old(database: sqlite3.Connection, now: float) -> None:
    """Deletes what was counted before today."""
    database.execute("DELETE FROM usage WHERE day < ?", (_day(now),))


def _day(now: float) -> int:
    return int(now // DAY_S)


def _exceeded(what: str, now: float) -> Problem:
    wait_s = math.ceil(DAY_S - now % DAY_S)
    return Problem(
        "quota-exceeded",
        f"Today {what} with this key. Its next day begins in {wait_s} s, at 0:00 UTC.",
        {"Retry-After": str(wait_s)},
    )
