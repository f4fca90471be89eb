"""The page of the history: earlier results by name, hash and verdict, without JavaScript too."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from serving.analysis.report_html import WORDS, environment
from serving.web.api import body_of
from serving.web.history import Search
from serving.web.history_api import Before, Name, OfVerdict
from serving.web.job_queue import JobQueue, not_stored

PATH = "/history"
BAD_HASH = "A SHA-256 is looked for by its first 4 to 64 hexadecimal digits, 0 to 9 and a to f."

Typed = Annotated[str, Query(max_length=200)]


def router(jobs: JobQueue, kept: str) -> APIRouter:
    """GET /history. kept: when a result goes, in words."""
    routes = APIRouter(include_in_schema=False)
    page = environment().get_template("history.html")

    @routes.get(PATH)
    async def history(
        request: Request,
        name: Name = "",
        sha256: Typed = "",
        verdict: OfVerdict = "",
        before: Before = "",
    ) -> HTMLResponse:
        whose = jobs.history.of(request)
        search = Search(name.strip(), sha256.strip(), verdict)
        refused, found, older = "", [], ""
        if search.sha256 and not re.fullmatch("[0-9a-fA-F]{4,64}", search.sha256):
            refused = BAD_HASH
        else:
            try:
                given = await asyncio.to_thread(jobs.history.page, whose, search, before=before)
            except OSError as error:
                raise not_stored(error) from error
            found = [body_of(job) for job in given.jobs]
            older = _address(search, given.next) if given.next else ""
        html = page.render(
            history=True,
            search=search,
            searched=search != Search() or bool(before),
            refused=refused,
            jobs=found,
            older=older,
            words=WORDS,
            kept=kept,
        )
        return HTMLResponse(html)

    return routes


def _address(search: Search, before: str) -> str:
    """Of the page with the results before these."""
    asked = {
        "name": search.name,
        "sha256": search.sha256,
        "verdict": search.verdict,
        "before": before,
    }
    return f"{PATH}?{urlencode({name: value for name, value in asked.items() if value})}"
