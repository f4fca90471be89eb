"""Results store: ended jobs in SQLite, in memory or in a file that outlives the server."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from serving.analysis.analyse import Analysis
from serving.web import shares, usage
from serving.web.problems import Problem, interrupted
from serving.web.results_database import as_os_error, connected, own_file
from serving.web.stored_job import COLUMNS, EndState, StoredJob

WITHOUT_RESULT = 100  # failed and cancelled jobs that are kept, to tell who asks

Kind = Literal["face", "heat", "strip"]


@dataclasses.dataclass(frozen=True, eq=False)
class StoredResult:
    """What is kept of an Analysis."""

    document: dict[str, Any]
    crops: list[bytes]
    heat_maps: list[np.ndarray | None]
    strip: list[bytes]


@dataclasses.dataclass(frozen=True)
class Bounds:
    """How long results are kept, how many, and how many bytes in all.

    Where there are too many, the client that holds the most loses its oldest: one that holds no
    more than an equal share loses nothing before its time.
    """

    ttl_s: float
    results: int
    bytes: int


class ResultsStore:
    """Jobs by id: those that wait, so that none is lost without a word, and those that have ended.

    folder: where the file lies; None: in memory, until the server ends. Threads may share it.
    Raises OSError where the folder cannot be used, another server has it, or the file is none of
    this version's. Other methods raise OSError where the file cannot be read or written.
    """

    def __init__(
        self, folder: Path | None, bounds: Bounds, now: Callable[[], float] = time.time
    ) -> None:
        self._bounds, self.now = bounds, now  # s since 1970
        self._mutex = threading.Lock()
        self._deleted = False  # since the log was emptied last
        with contextlib.ExitStack() as opened:
            self._path = opened.enter_context(own_file(folder)) if folder else ":memory:"
            self._database = opened.enter_context(contextlib.closing(connected(self._path)))
            self._take_over()
            self._opened = opened.pop_all()

    def close(self) -> None:
        with self._mutex:
            self._opened.close()

    def _take_over(self) -> None:
        """What another server left: jobs that waited when it ended, results whose time is over.

        A result stays no longer than was promised when it was made, nor than is promised now.
        """
        now, ttl_s = self.now(), self._bounds.ttl_s
        with self.writing() as database:
            database.execute(
                "UPDATE jobs SET state = 'failed', problem = ?, ended = ?, expires = ? "
                "WHERE state = 'waiting'",
                (_problem_json(interrupted()), now, now + ttl_s),
            )
            database.execute(
                "UPDATE jobs SET expires = min(expires, ended + ?, ?)", (ttl_s, now + ttl_s)
            )
            self._drop_beyond_bounds(database)
        self._deleted = True  # what was deleted may still be in the log of who was killed
        self.forget_old()

    # Writing.

    def add(
        self,
        id: str,
        owner: str,
        name: str,
        sha256: str,
        size: int = 0,
        quota: usage.Quota | None = None,
        history: str | None = None,
    ) -> float:
        """A job that waits; its size, in bytes, counts where there is a quota. history: whose it
        goes into. Returns when it came, s since 1970.

        Raises Problem where the quota is used up.
        """
        now = self.now()
        with self.writing() as database:
            if quota:
                usage.count(database, owner, quota, now, size)
            database.execute(
                "INSERT INTO jobs (id, owner, name, sha256, created, history, state) "
                "VALUES (?, ?, ?, ?, ?, ?, 'waiting')",
                (id, owner, name, sha256, now, history),
            )
        return now

    def end(self, id: str, state: EndState, stage: str, problem: Problem) -> None:
        """The job ended without a result."""
        with self.writing() as database:
            self._set_ended(database, id, state=state, stage=stage, problem=_problem_json(problem))
            self._drop_beyond_bounds(database, id)

    def keep(self, id: str, analysis: Analysis, judged_by: str | None = None) -> None:
        """The job is done, and this is its result. judged_by: see `history.JudgedBy`."""
        document, model = json.dumps(analysis.document), analysis.document["model"]
        result, pictures = _result_json(analysis), list(_pictures_of(analysis))
        with self.writing() as database:
            database.executemany(
                "INSERT INTO pictures VALUES (?, ?, ?, ?)", [(id, *one) for one in pictures]
            )
            self._set_ended(
                database,
                id,
                state="done",
                stage="report",
                model=f"{model['name']}/{model['version']}",
                judged_by=judged_by,
                verdict=analysis.document["verdict"],
                score=analysis.document["probability_fake"],
                disagree=analysis.result.models_disagree,
                bytes=len(document) + len(result) + sum(len(data) for _, _, data in pictures),
                result=result,
                document=document,
            )
            self._drop_beyond_bounds(database, id)

    def delete(self, id: str) -> None:
        """Nothing of the job is in any file after that."""
        with self.writing() as database:
            self._delete(database, "id = ?", id)

    def forget_old(self) -> None:
        """Deletes what has expired."""
        with self.writing() as database:
            self._delete(database, "expires <= ?", self.now())
            shares.forget_old(database, self.now())
            usage.forget_old(database, self.now())

    # Reading.

    def check_quota(self, owner: str, quota: usage.Quota) -> None:
        """Raises Problem where it is used up."""
        with self.reading() as database:
            usage.check(database, owner, quota, self.now())

    def job(self, id: str) -> StoredJob | None:
        """One that has ended; None where there is none, or its time is over."""
        with self.reading() as database:
            row = database.execute(
                f"SELECT {COLUMNS} FROM jobs WHERE id = ? AND expires > ?", (id, self.now())
            ).fetchone()
        return StoredJob.of(row) if row else None

    def jobs(self, ids: Sequence[str]) -> dict[str, StoredJob]:
        """Those of them that `job` gives, in any order; at most some hundred."""
        places = ", ".join("?" * len(ids))
        with self.reading() as database:
            rows = database.execute(
                f"SELECT {COLUMNS} FROM jobs WHERE id IN ({places}) AND expires > ?",
                (*ids, self.now()),
            ).fetchall()
        return {job.id: job for job in map(StoredJob.of, rows)}

    def result(self, id: str) -> StoredResult | None:
        """Of a job that is done; None where there is none, or its time is over."""
        with self.reading() as database:
            row = database.execute(
                "SELECT document FROM jobs WHERE id = ? AND state = 'done' AND expires > ?",
                (id, self.now()),
            ).fetchone()
            pictures = database.execute(
                "SELECT kind, n, data FROM pictures WHERE job = ? ORDER BY n", (id,)
            ).fetchall()
        if row is None:
            return None
        heat_maps = {n: _heat_map(data) for kind, n, data in pictures if kind == "heat"}
        crops = [data for kind, _, data in pictures if kind == "face"]
        return StoredResult(
            json.loads(row[0]),
            crops,
            [heat_maps.get(n) for n in range(len(crops))],
            [data for kind, _, data in pictures if kind == "strip"],
        )

    # Within transactions.

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Raises OSError, as `writing` does."""
        with self._mutex, as_os_error(self._path):
            yield self._database

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it is done, or nothing."""
        with self._mutex, as_os_error(self._path):
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
            if self._deleted:
                # Older versions of the pages are in SQLite's log until it is emptied.
                busy, *_ = self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                self._deleted = bool(busy)

    def _set_ended(self, database: sqlite3.Connection, id: str, **columns: Any) -> None:
        now = self.now()
        values = {**columns, "ended": now, "expires": now + self._bounds.ttl_s}
        names = ", ".join(f"{name} = ?" for name in values)
        database.execute(f"UPDATE jobs SET {names} WHERE id = ?", (*values.values(), id))

    def _delete(self, database: sqlite3.Connection, which: str, *values: Any) -> None:
        self._deleted |= database.execute(f"DELETE FROM jobs WHERE {which}", values).rowcount > 0

    def _drop_beyond_bounds(self, database: sqlite3.Connection, newest: str = "") -> None:
        bounds = self._bounds
        self._drop_beyond(database, "state = 'done'", bounds.results, bounds.bytes, newest)
        without = "state IN ('failed', 'cancelled')"
        self._drop_beyond(database, without, WITHOUT_RESULT, None, newest)

    def _drop_beyond(
        self,
        database: sqlite3.Connection,
        which: str,
        number: int,
        limit_bytes: int | None,
        newest: str,
    ) -> None:
        """Makes room among such jobs, of which the newest stays."""
        while True:
            rows = database.execute(
                "SELECT owner, COUNT(*), SUM(bytes), MAX(id = ?1), "
                f"MIN(CASE WHEN id != ?1 THEN ended END) FROM jobs WHERE {which} GROUP BY owner",
                (newest,),
            ).fetchall()
            held = [Holding(*row) for row in rows]
            if sum(one.jobs for one in held) > number:
                loser = who_makes_room(held, lambda one: one.jobs)
            elif limit_bytes is not None and sum(one.bytes for one in held) > limit_bytes:
                loser = who_makes_room(held, lambda one: one.bytes)
            else:
                return
            if loser is None:
                return
            self._delete(
                database,
                f"id = (SELECT id FROM jobs WHERE {which} AND owner = ? AND id != ? "
                "ORDER BY ended, rowid LIMIT 1)",
                loser,
                newest,
            )


@dataclasses.dataclass(frozen=True)
class Holding:
    """What a client has in the store. adds: the newest is its own. oldest: when the oldest of its
    jobs ended, the newest not counted; None where there is no other."""

    owner: str
    jobs: int
    bytes: int
    adds: bool
    oldest: float | None


def who_makes_room(held: Sequence[Holding], amount: Callable[[Holding], int]) -> str | None:
    """The client that loses its oldest job: who holds most; of several who adds one, else whose
    job is the oldest. None where there is nothing but the newest."""
    losing = [
        (amount(one), one.adds, -one.oldest, one.owner) for one in held if one.oldest is not None
    ]
    return max(losing)[-1] if losing else None


def _problem_json(problem: Problem) -> str:
    return json.dumps({"name": problem.name, "detail": problem.detail})


def _result_json(analysis: Analysis) -> str:
    """As `predict --json` has it, so that tables need not read the documents."""
    seconds = analysis.document["processing_s"]["total"]
    result = {**analysis.result.to_dict(), "seconds": seconds}
    del result["path"]  # in our own folder
    return json.dumps(result)


def _pictures_of(analysis: Analysis) -> Iterator[tuple[Kind, int, bytes]]:
    yield from (("face", n, data) for n, data in enumerate(analysis.crops))
    yield from (("strip", n, data) for n, data in enumerate(analysis.strip))
    for n, heat_map in enumerate(analysis.heat_maps):
        if heat_map is not None:
            file = io.BytesIO()
            np.save(file, heat_map, allow_pickle=False)
            yield "heat", n, file.getvalue()


def _heat_map(data: bytes) -> np.ndarray:
    return np.load(io.BytesIO(data), allow_pickle=False)
