"""HTTP API of exports: many jobs as one file."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field, StringConstraints

from serving.web.analysis_job import AnalysisJob
from serving.web.api import PREFIX, TOKEN
from serving.web.exports import Exports
from serving.web.job_queue import JobQueue, not_stored
from serving.web.problems import Problem, refusals
from serving.web.settings import Settings
from serving.web.stored_job import StoredJob

MOST = 500  # jobs in a file
MEDIA_TYPES = {"csv": "text/csv", "json": "application/json", "zip": "application/zip"}
_SCHEMAS = {
    "csv": {"type": "string"},
    "json": {"type": "array", "items": {"type": "object", "required": ["path"]}},
    "zip": {"type": "string", "format": "binary"},
}

JobId = Annotated[str, StringConstraints(max_length=100)]


class ExportRequest(BaseModel):
    ids: list[JobId] = Field(min_length=1, max_length=MOST, description="of jobs that have ended")
    format: Literal["csv", "json", "zip"] = Field(
        description="the table of `predict --csv`, the list of `predict --json`, or an archive of "
        "reports with the table"
    )


def router(jobs: JobQueue, settings: Settings) -> APIRouter:
    """POST /api/v1/jobs/export."""
    api = APIRouter(prefix=PREFIX + "/jobs", tags=["jobs"])
    exports = Exports(jobs.store, settings.provenance.show_location)
    content = {MEDIA_TYPES[kind]: {"schema": schema} for kind, schema in _SCHEMAS.items()}

    @api.post(
        "/export",
        response_class=StreamingResponse,
        responses={
            200: {"content": content, "description": "The file."},
            **refusals(*TOKEN, "cross-site", "unknown-host", "not-found", "not-done", "not-stored"),
        },
    )
    async def export(wanted: ExportRequest) -> StreamingResponse:
        """These jobs as one file, in this order, each once. Those that failed say why."""
        chosen = await _ended(jobs, list(dict.fromkeys(wanted.ids)))
        made = {"csv": exports.csv, "json": exports.json, "zip": exports.zip}[wanted.format]
        name = f'attachment; filename="dfdetect-results.{wanted.format}"'
        return StreamingResponse(
            made(chosen),
            media_type=MEDIA_TYPES[wanted.format],
            headers={"Content-Disposition": name},
        )

    return api


async def _ended(jobs: JobQueue, ids: list[str]) -> list[AnalysisJob | StoredJob]:
    """The jobs. Raises Problem where some are not there, or have not ended."""
    at_work = {id: jobs.at_work(id) for id in ids}
    try:
        stored = await asyncio.to_thread(jobs.store.jobs, ids)
    except OSError as error:
        raise not_stored(error) from error
    chosen = [stored.get(id) or at_work[id] for id in ids]
    missing = sum(job is None for job in chosen)
    if missing:
        raise Problem(
            "not-found",
            f"{missing} of these {len(ids)} jobs are not there: deleted, expired, or never made. "
            "Leave them out.",
        )
    there = [job for job in chosen if job is not None]
    waiting = sum(isinstance(job, AnalysisJob) and not job.ended for job in there)
    if waiting:
        raise Problem(
            "not-done",
            f"{waiting} of these {len(ids)} jobs have not ended. Leave them out, or ask later.",
        )
    return there
