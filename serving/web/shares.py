"""Links to one result, for readers without a key, in the database of results.

A link's token is 256 random bits, which nobody finds by trying: one SHA-256 keeps it secret from
who reads the file, and the time of the look-up of a hash says nothing of tokens.
"""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
import sqlite3

from serving.web.problems import Problem, not_found

MOST = 20  # live links to a result
MAX_HOURS = 8760  # a year
BYTES = 32

TABLE = """
CREATE TABLE shares (
    id TEXT PRIMARY KEY,        -- by which it is revoked; opens nothing
    job TEXT NOT NULL REFERENCES jobs ON DELETE CASCADE,
    token TEXT NOT NULL UNIQUE, -- the SHA-256 of it, hexadecimal
    created REAL NOT NULL,      -- s since 1970
    expires REAL NOT NULL       -- s since 1970; never after the result
) WITHOUT ROWID;
CREATE INDEX shares_by_job ON shares (job, created);
"""
_LIVE = "shares.expires > :now AND jobs.expires > :now AND jobs.state = 'done'"
_TABLES = "shares JOIN jobs ON jobs.id = shares.job"


@dataclasses.dataclass(frozen=True)
class Share:
    """A link that opens a result. created_at, expires_at: s since 1970."""

    id: str
    created_at: float
    expires_at: float


def add(database: sqlite3.Connection, now: float, job: str, hours: int) -> tuple[Share, str]:
    """(a new link to a job that is done, its token, which is nowhere else).

    Raises Problem where the job has no result, or as many links as it may have.
    """
    row = database.execute(
        "SELECT expires FROM jobs WHERE id = ? AND state = 'done' AND expires > ?", (job, now)
    ).fetchone()
    if row is None:
        raise not_found()
    if len(of(database, now, job)) >= MOST:
        raise Problem(
            "too-many-shares",
            f"{MOST} links open this result, as many as there may be. Revoke one of them first.",
        )
    share = Share(secrets.token_hex(8), now, min(row[0], now + 3600 * hours))
    token = secrets.token_urlsafe(BYTES)
    database.execute(
        "INSERT INTO shares (id, job, token, created, expires) VALUES (?, ?, ?, ?, ?)",
        (share.id, job, _digest(token), share.created_at, share.expires_at),
    )
    return share, token


def of(database: sqlite3.Connection, now: float, job: str) -> list[Share]:
    """The links that open a job's result, in the order in which they were made."""
    rows = database.execute(
        "SELECT shares.id, shares.created, min(shares.expires, jobs.expires) "
        f"FROM {_TABLES} WHERE job = :job AND {_LIVE} ORDER BY shares.created, shares.id",
        {"job": job, "now": now},
    )
    return [Share(*row) for row in rows]


def revoke(database: sqlite3.Connection, job: str, id: str) -> bool:
    """Whether there was such a link of the job, which opens nothing any more."""
    return database.execute("DELETE FROM shares WHERE id = ? AND job = ?", (id, job)).rowcount > 0


def opened(database: sqlite3.Connection, now: float, token: str) -> tuple[str, float] | None:
    """(the job, until when, s since 1970) that a token opens; None for one that opens nothing."""
    return database.execute(
        f"SELECT job, min(shares.expires, jobs.expires) FROM {_TABLES} "
        f"WHERE token = :token AND {_LIVE}",
        {"token": _digest(token), "now": now},
    ).fetchone()


def forget_old(database: sqlite3.Connection, now: float) -> None:
    """Deletes what opens nothing any more."""
    database.execute("DELETE FROM shares WHERE expires <= ?", (now,))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
