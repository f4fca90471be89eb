"""Answers to requests that are refused: problem details for programs, a page for people.

A browser that opens an address prefers text/html; scripts, also those of our page, do not ask for
it (RFC 9110, section 12.5.1).
"""

from __future__ import annotations

import functools

import jinja2
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Match
from starlette.types import Scope

from serving.analysis.report_html import environment
from serving.web.problems import MEDIA_TYPE, Problem, not_found

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def refuse(problem: Problem, scope: Scope) -> Response:
    """The answer to a request."""
    headers = {**problem.headers, "Vary": "Accept"}
    if not wants_page(",".join(Headers(scope=scope).getlist("accept"))):
        return JSONResponse(problem.to_dict(), problem.status, headers, MEDIA_TYPE)
    return HTMLResponse(_page().render(problem=problem.to_dict()), problem.status, headers)


def wants_page(accept: str) -> bool:
    """Whether an Accept header names text/html, and no JSON before it."""
    weights = dict(_weight(part) for part in accept.split(","))
    json = max(weights.get("application/json", 0.0), weights.get(MEDIA_TYPE, 0.0))
    html = weights.get("text/html", 0.0)
    return html > 0 and html >= json


def _weight(part: str) -> tuple[str, float]:
    """ "text/html;q=0.8" -> ("text/html", 0.8); 0 for a weight that is none."""
    name, *parameters = (word.strip().lower() for word in part.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return name, float(parameter[2:])
            except ValueError:
                return name, 0.0
    return name, 1.0


@functools.cache
def _page() -> jinja2.Template:
    return environment().get_template("problem.html")


def install(app: FastAPI) -> None:
    """Makes every refusal of the application a problem."""

    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> Response:
        return refuse(error, request.scope)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        sentences = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return refuse(Problem("http", sentences, code=422), request.scope)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404:
            return refuse(not_found(), request.scope)
        if error.status_code == 400:  # FastAPI's, of a body that is not even text
            return refuse(Problem("http", "body: no JSON in UTF-8", code=422), request.scope)
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = _allowed(request)
        refused = Problem("http", f"{error.detail}.", headers, error.status_code)
        return refuse(refused, request.scope)


def _allowed(request: Request) -> str:
    """The methods of an address (RFC 9110, section 10.2.1): a route knows its own only."""
    methods = [
        method
        for method in METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in request.app.routes
        )
    ]
    return ", ".join(methods).replace("GET", "GET, HEAD")
