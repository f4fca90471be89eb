"""HTML pages of the web application, for people; programs use the API."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles

from pipelines.datasets.base import VIDEO_SUFFIXES
from serving.analysis.report_html import WORDS, PageOf, environment, render_part
from serving.web import history_page
from serving.web.api import PREFIX, take_video, utc
from serving.web.arrivals import Arrivals
from serving.web.clients import sender_of
from serving.web.job_queue import JobQueue
from serving.web.reviews import Reviews
from serving.web.settings import Settings
from serving.web.stored_job import StoredJob

STATIC = Path(__file__).parent / "static"
# What the page without JavaScript says of a job, which loads itself again every so often.
STAGES = {
    "queued": "It waits in the queue",
    "decode": "The video is being read",
    "faces": "Faces are being found",
    "model": "The model is being asked",
    "report": "The report is being written",
}
EVERY_S = 4


def router(
    jobs: JobQueue, arrivals: Arrivals, settings: Settings, reviews: Reviews | None
) -> APIRouter:
    """GET / , /jobs/{id}, /jobs/{id}/result and /static/; without JavaScript also POST /jobs,
    GET /jobs/{id}/plain and POST /jobs/{id}/delete.

    The first two are the same page, which holds nothing of any job: its script asks for that.
    """
    routes = APIRouter(include_in_schema=False)
    templates = environment()
    page, without_script = templates.get_template("page.html"), templates.get_template("plain.html")
    files = StaticFiles(directory=STATIC)
    kept = f"after {duration(settings.ttl)} at the latest"
    accept = ",".join(("video/*", *VIDEO_SUFFIXES))
    routes.include_router(history_page.router(jobs, kept))

    def has_history(request: Request) -> bool:
        return sender_of(request, settings).history is not None

    def shell(request: Request, job: str) -> HTMLResponse:
        html = page.render(
            job=job,
            accept=accept,
            max_bytes=settings.max_bytes,
            max_length=duration(settings.max_seconds),
            at_a_time=min(settings.processes + 1, settings.places),
            words=WORDS,
            history=has_history(request),
            kept=kept,
        )
        return HTMLResponse(html)

    @routes.get("/")
    async def start(request: Request) -> HTMLResponse:
        return shell(request, "")

    @routes.get("/jobs/{id}")
    async def job(request: Request, id: str) -> HTMLResponse:
        await jobs.get(id)
        return shell(request, id)

    @routes.post("/jobs")
    async def send_video(request: Request, again: bool = False) -> Response:
        sent = await take_video(request, jobs, arrivals, settings, again)
        mark = "?earlier=true" if isinstance(sent, StoredJob) else ""
        return RedirectResponse(f"/jobs/{sent.id}/plain{mark}", 303)

    @routes.get("/jobs/{id}/plain")
    async def plain(request: Request, id: str, earlier: bool = False) -> HTMLResponse:
        job, result = await jobs.get(id), ""
        if job.problem:
            raise job.problem
        if job.state == "done":
            stored = await jobs.result(id)
            given = stored.document, stored.crops, stored.heat_maps, stored.strip
            result = await asyncio.to_thread(render_part, *given, None)
        html = without_script.render(
            deleted=False,
            result=result,
            earlier=(utc(job.ended_at) or "") if earlier and result else "",
            history=has_history(request),
            accept=accept,
            name=job.name,
            stage=STAGES[job.progress.stage],
            progress=job.progress,
            every_s=EVERY_S,
            job_api=f"{PREFIX}/jobs/{id}",
            here=f"/jobs/{id}",
            kept=kept,
        )
        return HTMLResponse(html)

    @routes.post("/jobs/{id}/delete")
    async def delete(id: str) -> HTMLResponse:
        if await jobs.delete(id):  # it is cancelled, and its name kept for who asks
            await jobs.delete(id)
        return HTMLResponse(without_script.render(deleted=True, result=""))

    @routes.get("/jobs/{id}/result")
    async def result_part(id: str) -> HTMLResponse:
        result = await jobs.result(id)
        review = None
        if reviews:
            review = await asyncio.to_thread(reviews.sentence, result.document)
        of = PageOf(f"{PREFIX}/jobs/{id}", kept, review)
        html = await asyncio.to_thread(
            render_part, result.document, result.crops, result.heat_maps, result.strip, of
        )
        return HTMLResponse(html)

    @routes.get("/static/{path:path}")
    async def static(request: Request, path: str) -> Response:
        response = await files.get_response(path, request.scope)
        response.headers["Cache-Control"] = "no-cache"  # kept, and asked for again by its ETag
        return response

    return routes


def duration(seconds: float) -> str:
    """A limit in the largest unit that says it exactly: 600 -> "10 minutes"."""
    units = (("hour", 3600.0), ("minute", 60.0))
    fitting = (unit for unit in units if seconds % unit[1] == 0)
    name, length = next(fitting, ("second", 1.0))
    count = seconds / length
    return f"{count:g} {name}{'' if count == 1 else 's'}"
