"""SQLite database of results: tables, settings, and a file that one server has to itself."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from serving.web import shares, usage
from serving.web.private_folder import private_folder

FILE = "results.sqlite3"
VERSION = 2  # of the tables
BUSY_S = 5.0  # for who looks into the file with a tool of their own

TABLES = (
    """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,        -- the client, or key, that sent it
    history TEXT,               -- whose it is in (`clients.history_of`); NULL: nobody finds it
    name TEXT NOT NULL,         -- what the client calls the file
    sha256 TEXT NOT NULL,       -- of the file
    created REAL NOT NULL,      -- s since 1970, when it came
    state TEXT NOT NULL,        -- waiting (in the queue or at work), done, failed or cancelled
    ended REAL,                 -- s since 1970
    expires REAL,               -- s since 1970
    stage TEXT NOT NULL DEFAULT 'queued',  -- how far it came
    problem TEXT,               -- name and detail, JSON
    model TEXT,                 -- name/version
    judged_by TEXT,             -- model and settings (`history.JudgedBy`)
    verdict TEXT,
    score REAL,                 -- P(fake); NULL without a face
    disagree INTEGER,           -- whether several models did; NULL unless it is done
    bytes INTEGER NOT NULL DEFAULT 0,      -- of document and pictures
    result TEXT,                -- the VideoResult without its path, and its seconds, JSON
    document TEXT               -- the report, JSON
);
CREATE INDEX jobs_by_state ON jobs (state, owner, ended, bytes);
CREATE INDEX jobs_by_history ON jobs (history, created, id);
CREATE INDEX jobs_by_file ON jobs (sha256, history, judged_by);
CREATE TABLE pictures (
    job TEXT NOT NULL REFERENCES jobs ON DELETE CASCADE,
    kind TEXT NOT NULL,         -- face (JPEG), heat (npy: float32 (h, w)) or strip (JPEG)
    n INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (job, kind, n)
) WITHOUT ROWID;
"""
    + shares.TABLE
)
# From a version to the next. A name that a key may have is a key's; whose a client's jobs are is
# not known any more.
UPGRADES = {
    1: """
ALTER TABLE jobs ADD COLUMN history TEXT;
ALTER TABLE jobs ADD COLUMN judged_by TEXT;
ALTER TABLE jobs ADD COLUMN score REAL;
ALTER TABLE jobs ADD COLUMN disagree INTEGER;
ALTER TABLE jobs ADD COLUMN result TEXT;
CREATE INDEX jobs_by_history ON jobs (history, created, id);
CREATE INDEX jobs_by_file ON jobs (sha256, history, judged_by);
UPDATE jobs SET score = json_extract(document, '$.probability_fake'), disagree = 0
    WHERE state = 'done';
UPDATE jobs SET history = 'key ' || owner
    WHERE owner GLOB '[A-Za-z]*' AND owner NOT LIKE '%:%' AND owner != 'unknown';
"""
    + shares.TABLE
}
PRAGMAS = (
    "auto_vacuum = FULL",  # what is deleted gives its space back; comes before the tables
    "journal_mode = WAL",
    "synchronous = FULL",  # what was answered outlives a power cut
    "secure_delete = ON",  # what is deleted is overwritten with zeros
    "temp_store = MEMORY",
    "foreign_keys = ON",
)


@contextlib.contextmanager
def own_file(folder: Path) -> Iterator[str]:
    """The path of the file in a folder that nobody else has meanwhile. Raises OSError."""
    with _locked(private_folder(folder, "--results-dir")):
        path = folder / FILE
        # SQLite gives its other files the rights of this one.
        os.close(os.open(path, os.O_CREAT, 0o600))
        path.chmod(0o600)
        yield str(path)


def connected(path: str) -> sqlite3.Connection:
    """The database, its tables made if need be. Raises OSError."""
    database = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        with as_os_error(path):
            for pragma in PRAGMAS:
                database.execute(f"PRAGMA {pragma}")
            database.create_function("folded", 1, folded, deterministic=True)
            _bring_up(database, path)
            database.execute(usage.TABLE)
    except BaseException:
        database.close()
        raise
    return database


def _bring_up(database: sqlite3.Connection, path: str) -> None:
    """Makes the tables, or makes those of earlier versions such as these are, or nothing at all."""
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise OSError(
            f"{path}: its tables are of version {version}, this server's of {VERSION}. "
            "Give another --results-dir."
        )
    steps = [UPGRADES[step] for step in range(version, VERSION)] if version else [TABLES]
    if version != VERSION:
        script = "".join(steps)
        database.executescript(f"BEGIN; {script} PRAGMA user_version = {VERSION}; COMMIT")


def folded(text: str) -> str:
    """As `text` is compared without regard to case: "Ä" composed or not is "ä"."""
    return unicodedata.normalize("NFC", text.casefold())


@contextlib.contextmanager
def as_os_error(path: str) -> Iterator[None]:
    """An error of SQLite is one of the file at `path`."""
    try:
        yield
    except sqlite3.Error as error:
        raise OSError(
            f"{path}: results cannot be kept there ({error}). Make room, move the file away, or "
            "give another --results-dir."
        ) from error


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Nobody else has the folder meanwhile. Raises OSError where somebody has."""
    with open(folder / "lock", "w", opener=_private) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(
                f"{folder}: another server keeps its results here. Give each server a "
                "--results-dir of its own."
            ) from error
        yield


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
