"""A job that has ended, as a row of the database of results."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any, Literal

from serving.web.analysis_job import JobProgress
from serving.web.problems import Problem

EndState = Literal["done", "failed", "cancelled"]

# Of the table `jobs`, in the order in which `StoredJob.of` takes them.
COLUMNS = (
    "id, name, state, stage, problem, sha256, created, ended, expires, model, verdict, score, "
    "disagree"
)


@dataclasses.dataclass(frozen=True)
class StoredJob:
    """A job that has ended. stage: how far it came. created_at, ended_at, expires_at: s since 1970.

    model, verdict, probability_fake, models_disagree: of one that is done; the third is None
    without a face.
    """

    id: str
    name: str
    state: EndState
    stage: str
    problem: Problem | None
    sha256: str
    created_at: float
    ended_at: float
    expires_at: float
    model: str | None
    verdict: str | None
    probability_fake: float | None
    models_disagree: bool | None

    @classmethod
    def of(cls, row: Sequence[Any]) -> StoredJob:
        """row: the COLUMNS."""
        id, name, state, stage, problem, *rest = row
        said = Problem(**json.loads(problem)) if problem else None
        rest[-1] = None if rest[-1] is None else bool(rest[-1])
        return cls(id, name, state, stage, said, *rest)

    @property
    def progress(self) -> JobProgress:
        return JobProgress(self.stage)
