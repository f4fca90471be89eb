"""HTTP API of the history: the sender's ended jobs, the newest first."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from serving.web.api import PREFIX, TOKEN, JobBody, body_of
from serving.web.history import MOST, Search
from serving.web.job_queue import JobQueue, not_stored
from serving.web.problems import refusals

Verdict = Literal["", "FAKE", "REAL", "INCONCLUSIVE", "NO_FACE", "DEMO"]

Name = Annotated[str, Query(description="a part of the file's name, in any case", max_length=200)]
Sha256 = Annotated[
    str,
    Query(
        description="how the file's SHA-256 begins, at least 4 hexadecimal digits",
        pattern="^([0-9a-fA-F]{4,64})?$",
    ),
]
OfVerdict = Annotated[Verdict, Query(description="the verdict, or DEMO of a demo model")]
Limit = Annotated[int, Query(description="jobs to give at most", ge=1, le=MOST)]
Before = Annotated[str, Query(description="the `next` of the answer before", max_length=200)]


class JobsBody(BaseModel):
    jobs: list[JobBody]
    next: str | None = Field(description="what to give as `before` for older ones, if there are")


def router(jobs: JobQueue) -> APIRouter:
    """GET /api/v1/jobs."""
    api = APIRouter(prefix=PREFIX + "/jobs", tags=["jobs"])

    @api.get(
        "",
        response_model=JobsBody,
        responses=refusals(*TOKEN, "no-history", "unknown-host", "not-stored"),
    )
    async def history(
        request: Request,
        name: Name = "",
        sha256: Sha256 = "",
        verdict: OfVerdict = "",
        limit: Limit = 50,
        before: Before = "",
    ) -> Any:
        """The sender's ended jobs that are still kept, the newest first.

        With `--results-dir` only, and where it is known who asks: of the key, of all who have the
        server's token, or of this machine's users where nobody else reaches the server.
        """
        whose = jobs.history.of(request)
        search = Search(name, sha256, verdict)
        try:
            page = await asyncio.to_thread(jobs.history.page, whose, search, limit, before)
        except OSError as error:
            raise not_stored(error) from error
        return {"jobs": [body_of(job) for job in page.jobs], "next": page.next}

    return api
