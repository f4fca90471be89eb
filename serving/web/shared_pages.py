"""Pages of a shared result: what a link shows, to whoever has it, and nothing that changes it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from serving.analysis.report_document import without_location
from serving.analysis.report_html import environment, page_style, render, render_part
from serving.web import shares
from serving.web.api import utc
from serving.web.job_queue import JobQueue, not_stored
from serving.web.problems import Problem
from serving.web.refusals import refuse, wants_page
from serving.web.results_store import StoredResult

HEADERS = {
    "Referrer-Policy": "no-referrer",  # the address is the secret
    "X-Robots-Tag": "noindex, nofollow, noarchive",
    "Vary": "Accept",
}
# Of the style's text; there is no script, and nothing is loaded, sent or framed.
CSP = (
    "default-src 'none'; style-src 'sha256-{}'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


def router(jobs: JobQueue) -> APIRouter:
    """GET /shared/{token}, its report.html and its report.json; for all, without a token or key."""
    routes = APIRouter(prefix="/shared", include_in_schema=False)

    def opened(token: str) -> tuple[StoredResult, float]:
        """The result, without where it was recorded; until when it is shown. Raises Problem."""
        try:
            with jobs.store.reading() as database:
                share = shares.opened(database, jobs.store.now(), token)
            result = jobs.store.result(share[0]) if share else None
        except OSError as error:
            raise not_stored(error) from error
        if share is None or result is None:
            raise _closed()
        document = without_location(result.document)
        return StoredResult(document, result.crops, result.heat_maps, result.strip), share[1]

    async def answer(
        request: Request, token: str, show: Callable[[StoredResult, float], Response]
    ) -> Response:
        try:
            response = await asyncio.to_thread(lambda: show(*opened(token)))
        except Problem as problem:
            response = _refused(problem, request)
        response.headers.update(HEADERS)
        return response

    @routes.get("/{token}")
    async def page(request: Request, token: str) -> Response:
        def show(result: StoredResult, until: float) -> Response:
            given = result.document, result.crops, result.heat_maps, result.strip
            return _page(
                page_style(result.document),
                name=result.document["file"]["name"],
                result=render_part(*given, None),
                until=(utc(until) or "").replace("T", " ").replace("Z", " UTC"),
                at=f"/shared/{token}",
            )

        return await answer(request, token, show)

    @routes.get("/{token}/report.html")
    async def report_html(request: Request, token: str) -> Response:
        def show(result: StoredResult, until: float) -> Response:
            html = render(result.document, result.crops, result.heat_maps, result.strip)
            return _html(html, page_style(result.document), _file("html"))

        return await answer(request, token, show)

    @routes.get("/{token}/report.json")
    async def report_json(request: Request, token: str) -> Response:
        return await answer(
            request,
            token,
            lambda result, until: JSONResponse(result.document, headers=_file("json")),
        )

    return routes


def _closed() -> Problem:
    """The same whether a link never was, has expired or was revoked."""
    return Problem(
        "not-found", "This link opens nothing: it has expired, it was revoked, or it never was."
    )


def _refused(problem: Problem, request: Request) -> Response:
    """As `refuse`, but the page loads no style, for which a browser would be asked for a token."""
    if not wants_page(",".join(request.headers.getlist("accept"))):
        return refuse(problem, request.scope)
    response = _page(page_style(), problem=problem.to_dict())
    response.status_code = problem.status
    return response


def _page(style: str, **given: Any) -> HTMLResponse:
    html = environment().get_template("shared.html").render(style=style, **given)
    return _html(html, style, {})


def _html(html: str, style: str, headers: dict[str, str]) -> HTMLResponse:
    """style: the text of the page's own, which is all that its policy allows."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return HTMLResponse(html, headers={"Content-Security-Policy": CSP.format(digest), **headers})


def _file(kind: str) -> dict[str, str]:
    return {"Content-Disposition": f'inline; filename="dfdetect-report.{kind}"'}
