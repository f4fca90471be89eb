"""HTTP API of the web application: videos in, reports out; described at /api/v1/openapi.json."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field
from sse_starlette import EventSourceResponse, ServerSentEvent

from serving.analysis.report_document import without_location
from serving.analysis.report_html import heat_png, render
from serving.client import ModelServerError
from serving.web.analysis_job import AnalysisJob, State
from serving.web.arrivals import Arrivals
from serving.web.clients import sender_of
from serving.web.examples import JOB
from serving.web.job_queue import JobQueue
from serving.web.problems import Problem, not_found, refusals, stopping
from serving.web.prometheus import Metrics
from serving.web.receive import Body, receive
from serving.web.report_body import ReportBody
from serving.web.settings import Settings
from serving.web.stored_job import StoredJob

PREFIX = "/api/v1"
TOKEN = ("unauthorized", "too-many-tries")  # where one is needed
# report.html is a file of its own: its style and its pictures are inside.
REPORT_CSP = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)

EVENT = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"type": "string", "enum": ["progress", "end"]},
        "data": {"type": "string", "description": "JSON"},
    },
}

Id = Annotated[str, Path(description="The job's id.", examples=[JOB["id"]])]
Location = Annotated[
    bool, Query(description="Also where the video was recorded, if the file says so.")
]
Again = Annotated[
    bool, Query(description="Analyse it, also where the history has a result of the same file.")
]
Number = Annotated[int, Path(description="The picture's `n` in the report.", ge=0, examples=[0])]


class ProgressBody(BaseModel):
    stage: Literal["queued", "decode", "faces", "model", "report"]
    position: int | None = Field(description="place in the queue, 1 for the next one")
    done: float | None = Field(description="share of the stage that is done, 0 to 1")
    detail: str
    stopping: bool = Field(description="the server takes no more videos, and ends after this one")


class ProblemBody(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str


class JobBody(BaseModel):
    model_config = {"json_schema_extra": {"examples": [JOB]}}

    id: str
    state: State
    name: str = Field(description="what the client calls the file")
    progress: ProgressBody
    problem: ProblemBody | None = Field(description="why it failed")
    sha256: str = Field(description="of the file")
    created: str = Field(description="when it came; date and time, UTC")
    ended: str | None
    expires: str | None = Field(description="until when it is kept, at most; of an ended job")
    model: str | None = Field(description="name and version; of a job that is done, as the next")
    verdict: str | None = Field(description="DEMO: of a demo model, which gives none")
    probability_fake: float | None
    models_disagree: bool | None = Field(description="whether several models gave several verdicts")
    from_history: bool = Field(description="whether it answers for a file that was sent again")
    links: dict[str, str]


def body_of(job: AnalysisJob | StoredJob, from_history: bool = False) -> dict[str, Any]:
    """A job as the API shows it."""
    self = f"{PREFIX}/jobs/{job.id}"
    stored = job if isinstance(job, StoredJob) else None
    return {
        "id": job.id,
        "state": job.state,
        "name": job.name,
        "progress": job.progress.to_dict(),
        "problem": job.problem.to_dict() if job.problem else None,
        "sha256": job.sha256,
        "created": utc(job.created_at),
        "ended": utc(job.ended_at),
        "expires": utc(stored.expires_at) if stored else None,
        "model": stored.model if stored else None,
        "verdict": stored.verdict if stored else None,
        "probability_fake": stored.probability_fake if stored else None,
        "models_disagree": stored.models_disagree if stored else None,
        "from_history": from_history,
        "links": {
            "self": self,
            "events": f"{self}/events",
            "report_json": f"{self}/report.json",
            "report_html": f"{self}/report.html",
            "page": f"/jobs/{job.id}",
            "share": f"{self}/shares",
        },
    }


def utc(seconds: float | None) -> str | None:
    """s since 1970 as date and time, to the second."""
    if seconds is None:
        return None
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def _events(job: AnalysisJob | StoredJob) -> AsyncIterator[ServerSentEvent]:
    if isinstance(job, AnalysisJob):
        async for progress in job.follow():
            yield ServerSentEvent(json.dumps(progress.to_dict()), event="progress")
    yield ServerSentEvent(json.dumps({"state": job.state}), event="end")


async def take_video(
    request: Request, jobs: JobQueue, arrivals: Arrivals, settings: Settings, again: bool = False
) -> AnalysisJob | StoredJob:
    """A job for the video that a request brings as the field `video`; unless `again`, an earlier
    one of the same sender that says the same of the same file. Raises Problem."""
    body, sender = Body(request), sender_of(request, settings)
    async with body.refusing():
        jobs.check_place()
        await jobs.check_quota(sender)
        async with arrivals.under_way(sender.name) as pace:
            upload = await receive(request, body, jobs.folder, settings.max_bytes, pace)
        return await jobs.add(upload, sender, again)


def router(jobs: JobQueue, arrivals: Arrivals, settings: Settings) -> APIRouter:
    """Everything under /api/v1."""
    api = APIRouter(prefix=PREFIX + "/jobs", tags=["jobs"])
    answers = refusals(*TOKEN, "not-found")
    results = refusals(
        *TOKEN, "not-found", "not-done", "cancelled", "too-long", "too-many-pixels",
        "picture", "unsupported", "unreadable", "no-video-stream", "took-too-long",
        "too-much-to-decode", "decoder-failed", "model-server-down", "interrupted", "not-stored",
        "internal",
    )  # fmt: skip
    video = {
        "type": "object",
        "required": ["video"],
        "properties": {"video": {"type": "string", "format": "binary"}},
    }

    def told(document: dict[str, Any], location: bool) -> dict[str, Any]:
        shown = location or settings.provenance.show_location
        return document if shown else without_location(document)

    @api.post(
        "",
        status_code=202,
        response_model=JobBody,
        responses={
            200: {"model": JobBody, "description": "An earlier job has a result of this file."},
            **refusals(
                "bad-upload",
                *TOKEN,
                "cross-site",
                "unknown-host",
                "upload-timeout",
                "too-large",
                "busy",
                "quota-exceeded",
                "stopping",
                "not-stored",
            ),  # fmt: skip
        },
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"multipart/form-data": {"schema": video}},
            }
        },
    )
    async def send_video(request: Request, again: Again = False) -> Any:
        """Sends a video as the field `video`. Its analysis goes on after the answer.

        Where the sender's history has a result of the same file by the same model and settings,
        that is the answer, with 200.
        """
        job = await take_video(request, jobs, arrivals, settings, again)
        earlier = isinstance(job, StoredJob)
        body_json = body_of(job, from_history=earlier)
        headers = {"Location": body_json["links"]["self"]}
        return JSONResponse(body_json, 200 if earlier else 202, headers)

    @api.get("/{id}", response_model=JobBody, responses=answers)
    async def job_state(id: Id) -> Any:
        """How far a job is; why, if it failed."""
        return body_of(await jobs.get(id))

    @api.delete(
        "/{id}",
        status_code=204,
        responses={
            202: {"model": JobBody, "description": "It was cancelled."},
            **answers,
            **refusals("cross-site", "unknown-host"),
        },
    )
    async def delete_job(id: Id) -> Response:
        """Cancels a job at work (202: its state stays to be asked for); deletes an ended one."""
        cancelled = await jobs.delete(id)
        return JSONResponse(body_of(cancelled), 202) if cancelled else Response(status_code=204)

    @api.get(
        "/{id}/events",
        response_class=EventSourceResponse,
        responses={
            200: {
                "description": "`progress` events with the job's progress, and an `end` event with "
                "its state.",
                "content": {"text/event-stream": {"schema": EVENT}},
            },
            **answers,
        },
    )
    async def job_events(id: Id) -> EventSourceResponse:
        """The job's progress as server-sent events, until it ends."""
        return EventSourceResponse(_events(await jobs.get(id)))

    @api.get(
        "/{id}/report.json",
        responses={200: {"model": ReportBody, "description": "The report."}, **results},
    )
    async def report_json(id: Id, location: Location = False) -> JSONResponse:
        """The report document, `dfdetect-report/1`."""
        name, result = f"report-{id[:8]}.json", await jobs.result(id)
        return JSONResponse(told(result.document, location), headers=_named(name))

    @api.get("/{id}/report.html", response_class=HTMLResponse, responses=results)
    async def report_html(id: Id, location: Location = False) -> HTMLResponse:
        """The report as one file that loads nothing else."""
        result = await jobs.result(id)
        document = told(result.document, location)
        html = await asyncio.to_thread(
            render, document, result.crops, result.heat_maps, result.strip
        )
        headers = {"Content-Security-Policy": REPORT_CSP, **_named(f"report-{id[:8]}.html")}
        return HTMLResponse(html, headers=headers)

    @api.get("/{id}/faces/{n}.jpg", response_class=Response, responses=_image("jpeg", results))
    async def face(id: Id, n: Number) -> Response:
        """The crop of a face of the report."""
        return Response(_nth((await jobs.result(id)).crops, n), media_type="image/jpeg")

    @api.get("/{id}/faces/{n}/heat.png", response_class=Response, responses=_image("png", results))
    async def heat(id: Id, n: Number) -> Response:
        """Where the model looked in a face: to be laid over its crop, whose size it has."""
        result = await jobs.result(id)
        heat_map = _nth(result.heat_maps, n)
        if heat_map is None:
            raise not_found()
        png = await asyncio.to_thread(heat_png, heat_map, result.crops[n])
        return Response(png, media_type="image/png")

    @api.get("/{id}/strip/{n}.jpg", response_class=Response, responses=_image("jpeg", results))
    async def strip(id: Id, n: Number) -> Response:
        """A thumbnail of the report's strip, a frame of the video."""
        return Response(_nth((await jobs.result(id)).strip, n), media_type="image/jpeg")

    return api


def _named(name: str) -> dict[str, str]:
    """What a browser calls the file when it is saved."""
    return {"Content-Disposition": f'inline; filename="{name}"'}


def _image(kind: str, results: dict[int | str, dict[str, Any]]) -> dict[int | str, dict[str, Any]]:
    content = {f"image/{kind}": {"schema": {"type": "string", "format": "binary"}}}
    return {200: {"content": content, "description": "The picture."}, **results}


def _nth(items: list, n: int) -> Any:
    if n >= len(items):
        raise not_found()
    return items[n]


def operations(jobs: JobQueue, metrics: Metrics) -> tuple[APIRouter, APIRouter]:
    """What whoever runs the server looks at: (health, which needs no token; metrics)."""
    health, inner = APIRouter(tags=["operations"]), APIRouter(tags=["operations"])

    @health.get("/healthz", response_class=PlainTextResponse)
    async def alive() -> str:
        """Answers as long as the server does."""
        return "ok\n"

    @health.get(
        "/readyz",
        response_class=PlainTextResponse,
        responses=refusals("model-server-down", "stopping"),
    )
    async def ready() -> str:
        """Whether a video that comes now would be analysed at once."""
        if jobs.draining:
            raise stopping()
        if not jobs.ready:
            raise Problem("model-server-down", "No process that decodes is ready yet.")
        try:
            await asyncio.to_thread(jobs.ask_version)
        except ModelServerError as error:
            why = f"The model server does not answer ({type(error).__name__})."
            raise Problem("model-server-down", why) from error
        return "ready\n"

    @inner.get("/metrics", response_class=PlainTextResponse, responses=refusals(*TOKEN))
    async def prometheus() -> Response:
        """In Prometheus' text format."""
        metrics.waiting.set(jobs.waiting)
        metrics.running.set(jobs.running)
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return health, inner
