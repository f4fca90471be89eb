"""HTTP API of links to a result: made, listed and revoked by whoever may read it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from serving.web import shares
from serving.web.api import PREFIX, TOKEN, Id, utc
from serving.web.clients import sender_of
from serving.web.job_queue import JobQueue, not_stored
from serving.web.problems import not_found, refusals
from serving.web.settings import Settings
from serving.web.shares import Share

T = TypeVar("T")

ShareId = Annotated[str, Path(description="The link's `id`.", examples=["9f86d081884c7d65"])]


class ShareRequest(BaseModel):
    hours: int = Field(
        strict=True, ge=1, le=shares.MAX_HOURS, description="that the link opens the result"
    )


class ShareBody(BaseModel):
    id: str = Field(description="by which it is revoked")
    created: str = Field(description="date and time, UTC")
    expires: str = Field(description="date and time, UTC; never after the result's own time")


class NewShareBody(ShareBody):
    url: str = Field(description="the link, to be put behind this server's name; told this once")


class SharesBody(BaseModel):
    shares: list[ShareBody]


def router(jobs: JobQueue, settings: Settings) -> APIRouter:
    """Links under /api/v1/jobs/{id}/shares."""
    api = APIRouter(prefix=PREFIX + "/jobs", tags=["shares"])
    answers = refusals(*TOKEN, "not-found", "not-stored")
    changing = refusals(*TOKEN, "not-found", "not-stored", "cross-site", "unknown-host")
    not_shared = ("not-done", "too-many-shares", "cancelled", "interrupted", "internal")
    failed = (
        "too-long", "too-many-pixels", "picture", "unsupported", "unreadable", "no-video-stream",
        "took-too-long", "too-much-to-decode", "decoder-failed", "model-server-down",
    )  # fmt: skip

    async def in_store(work: Callable[[sqlite3.Connection, float], T]) -> T:
        """What it gives of the database and the time, in a transaction. Raises Problem."""

        def transaction() -> T:
            with jobs.store.writing() as database:
                return work(database, jobs.store.now())

        try:
            return await asyncio.to_thread(transaction)
        except OSError as error:
            raise not_stored(error) from error

    @api.post(
        "/{id}/shares",
        status_code=201,
        response_model=NewShareBody,
        responses={**changing, **refusals(*not_shared, *failed, "not-found", "not-stored")},
    )
    async def share(id: Id, wanted: ShareRequest, request: Request) -> Any:
        """Makes a link that opens this result, and nothing else, to whoever has it: without a token
        or key, until it expires or is revoked."""
        await jobs.done(id)
        made, token = await in_store(lambda db, now: shares.add(db, now, id, wanted.hours))
        if jobs.audit:
            client = sender_of(request, settings).name
            await asyncio.to_thread(jobs.audit.shared, client, id, made)
        body = {**_body(made), "url": f"/shared/{token}"}
        return JSONResponse(body, 201, {"Location": f"{PREFIX}/jobs/{id}/shares/{made.id}"})

    @api.get("/{id}/shares", response_model=SharesBody, responses=answers)
    async def live_shares(id: Id) -> Any:
        """The links that open this result now, without their addresses."""
        await jobs.get(id)
        return {
            "shares": [_body(s) for s in await in_store(lambda db, now: shares.of(db, now, id))]
        }

    @api.delete("/{id}/shares/{share}", status_code=204, responses=changing)
    async def revoke(id: Id, share: ShareId, request: Request) -> Response:
        """The link opens nothing any more."""
        await jobs.get(id)
        if not await in_store(lambda db, now: shares.revoke(db, id, share)):
            raise not_found()
        if jobs.audit:
            client = sender_of(request, settings).name
            await asyncio.to_thread(jobs.audit.share_revoked, client, id, share)
        return Response(status_code=204)

    return api


def _body(share: Share) -> dict[str, Any]:
    times = {"created": utc(share.created_at), "expires": utc(share.expires_at)}
    return {"id": share.id, **times}
