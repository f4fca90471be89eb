"""HTML pages of the web application, for people; programs use the API."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles

from pipelines.datasets.base import VIDEO_SUFFIXES
from serving.analysis.report_html import PageOf, environment, render_part
from serving.web.api import PREFIX
from serving.web.job_queue import JobQueue
from serving.web.settings import Settings

STATIC = Path(__file__).parent / "static"


def router(jobs: JobQueue, settings: Settings) -> APIRouter:
    """GET / , /jobs/{id}, /jobs/{id}/result and /static/.

    The first two are the same page, which holds nothing of any job: its script asks for that.
    """
    routes = APIRouter(include_in_schema=False)
    page = environment().get_template("page.html")
    files = StaticFiles(directory=STATIC)
    kept = f"after {duration(settings.ttl)} at the latest"

    def shell(job: str) -> HTMLResponse:
        html = page.render(
            job=job,
            accept=",".join(("video/*", *VIDEO_SUFFIXES)),
            max_bytes=settings.max_bytes,
            max_length=duration(settings.max_seconds),
            kept=kept,
        )
        return HTMLResponse(html)

    @routes.get("/")
    async def start() -> HTMLResponse:
        return shell("")

    @routes.get("/jobs/{id}")
    async def job(id: str) -> HTMLResponse:
        return shell(id)

    @routes.get("/jobs/{id}/result")
    async def result_part(id: str) -> HTMLResponse:
        result = await jobs.result(id)
        of = PageOf(f"{PREFIX}/jobs/{id}", kept)
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
