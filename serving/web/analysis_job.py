"""Analysis job: one video on its way, its state, progress and result."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
import threading
import time
from collections.abc import AsyncIterator
from typing import Any, Literal

from serving.web.problems import Problem
from serving.web.receive import Upload

State = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED = ("done", "failed", "cancelled")


@dataclasses.dataclass(frozen=True)
class JobProgress:
    """How far a job is. position: 1 for the next one in the queue. done: 0 to 1, of the stage.
    stopping: the server ends once the job has."""

    stage: str  # queued, decode, faces, model or report
    position: int | None = None
    done: float | None = None
    detail: str = ""
    stopping: bool = False

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


class AnalysisJob:
    """Changed by the event loop's thread only; other threads read `wanted`.

    owner: the name of its sender. created_at, ended_at: s since 1970.
    """

    def __init__(self, upload: Upload, owner: str):
        self.id = secrets.token_urlsafe(24)
        self.upload, self.owner = upload, owner
        self.created_at = time.time()
        self.ended_at: float | None = None
        self.state: State = "queued"
        self.progress = JobProgress("queued")
        self.problem: Problem | None = None
        self.started_s: float | None = None  # on the monotonic clock, as is the next
        self.ended_s: float | None = None
        self._stopping = False
        self._unwanted = threading.Event()
        self._changed = asyncio.Event()

    @property
    def name(self) -> str:
        """What the client calls the file."""
        return self.upload.name

    @property
    def sha256(self) -> str:
        return self.upload.sha256

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def wanted(self) -> bool:
        return not self._unwanted.is_set()

    def report(self, progress: JobProgress) -> None:
        progress = dataclasses.replace(progress, stopping=self._stopping)
        if not self.ended and progress != self.progress:
            self.progress = progress
            self._notify()

    def start(self) -> None:
        self.state, self.started_s = "running", time.monotonic()
        self.report(JobProgress("decode"))

    def announce_stop(self) -> None:
        """Tells who follows that the server ends once the job has."""
        self._stopping = True
        self.report(self.progress)

    def end(self, state: State, problem: Problem | None = None) -> None:
        """The first end counts: a job that was cancelled stays so."""
        if self.ended:
            return
        self.state, self.problem = state, problem
        self.ended_s, self.ended_at = time.monotonic(), time.time()
        self._unwanted.set()
        self._notify()

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def follow(self) -> AsyncIterator[JobProgress]:
        """The progress now and whenever it changes, until the job has ended.

        Who is slow misses some of it, and holds up nobody.
        """
        reported = None
        while not self.ended:
            changed = self._changed
            if self.progress != reported:
                reported = self.progress
                yield reported
            if self._changed is changed:
                await changed.wait()
