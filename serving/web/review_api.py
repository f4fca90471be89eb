"""HTTP API of reviews: a reviewer says what a video is, and may leave it to train on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from pipelines.clip import LABEL_NAMES
from pipelines.datasets.base import DatasetError
from pipelines.datasets.lists import LABELS
from pipelines.datasets.manifest import parse_identities
from serving.web.api import PREFIX, Id
from serving.web.arrivals import Arrivals
from serving.web.clients import sender_of
from serving.web.job_queue import JobQueue
from serving.web.problems import Problem, not_found, refusals
from serving.web.receive import Body, Upload, receive_form
from serving.web.reviews import NoRoomError, Review, Reviews
from serving.web.settings import Settings

FORM = {
    "type": "object",
    "required": ["label"],
    "properties": {
        "label": {"type": "string", "enum": ["real", "fake"]},
        "identities": {
            "type": "string",
            "description": "who is seen, separated by ';': of a fake the target, then the donor",
        },
        "video": {
            "type": "string",
            "format": "binary",
            "description": "the file once more, to keep it for training",
        },
    },
}

T = TypeVar("T")
log = logging.getLogger("dfdetect.web")


class ReviewBody(BaseModel):
    label: str = Field(description="real or fake")
    identities: list[str]
    kept: bool = Field(description="whether the video is kept for training")
    agrees: bool | None = Field(description="with the verdict; null where that is neither")
    earlier: str | None = Field(description="what the review said that this one replaces")
    detail: str = Field(description="the same in sentences")


def router(jobs: JobQueue, arrivals: Arrivals, reviews: Reviews, settings: Settings) -> APIRouter:
    """Reviews under /api/v1/jobs/{id}/review."""
    api = APIRouter(prefix=PREFIX + "/jobs", tags=["reviews"])
    answers = refusals(
        "unauthorized", "cross-site", "unknown-host", "not-found", "not-stored", "internal"
    )

    @api.post(
        "/{id}/review",
        response_model=ReviewBody,
        responses={
            **answers,
            **refusals("bad-upload", "upload-timeout", "too-large", "busy"),
            **refusals("not-done", "another-file", "cancelled", "interrupted"),
        },
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"multipart/form-data": {"schema": FORM}},
            }
        },
    )
    async def review(id: Id, request: Request) -> Any:
        """Says what the video of a job that is done is. The newest review of a file counts.

        Of the video nothing is kept, unless it is sent once more as the field `video`.
        """
        body = Body(request)
        async with body.refusing():
            document = (await jobs.result(id)).document
            sha256 = document["file"]["sha256"]
            async with arrivals.under_way(sender_of(request, settings).name) as pace:
                upload, texts = await receive_form(
                    request, body, reviews.arriving, settings.max_bytes, pace,
                    ("label", "identities"),
                )  # fmt: skip
        try:
            given = _review_of(texts)
            if upload and upload.sha256 != sha256:
                raise _another_file(upload, sha256)
            earlier = await _stored(lambda: reviews.add(sha256, given, upload))
            now = await _stored(lambda: reviews.of(sha256))
        finally:
            if upload:
                upload.discard()
        if now is None:  # withdrawn meanwhile
            raise not_found()
        return _body(now, earlier, document["verdict"])

    @api.delete("/{id}/review", status_code=204, responses=answers)
    async def withdraw(id: Id) -> Response:
        """Takes the review of the job's video back, and deletes the video if it was kept."""
        sha256 = (await jobs.result(id)).document["file"]["sha256"]
        if not await _stored(lambda: reviews.withdraw(sha256)):
            raise not_found()
        return Response(status_code=204)

    return api


def _review_of(texts: dict[str, str]) -> Review:
    """Raises Problem."""
    label = LABELS.get(texts.get("label", "").strip().lower())
    if label is None:
        found = repr(texts["label"]) if "label" in texts else "not there"
        raise Problem("bad-upload", f"The field 'label' is {found}; expected real or fake.")
    try:
        return Review(label, parse_identities(texts.get("identities", "").strip()))
    except ValueError as error:
        raise Problem("bad-upload", f"The field 'identities': {error}") from error


def _another_file(upload: Upload, sha256: str) -> Problem:
    return Problem(
        "another-file",
        f"The file has the SHA-256 {upload.sha256}, the video of this job had {sha256}. Send the "
        "file that was analysed, or the review without a file.",
    )


async def _stored(work: Callable[[], T]) -> T:
    """Runs it in a thread. Raises Problem."""
    try:
        return await asyncio.to_thread(work)
    except NoRoomError as error:
        raise Problem("not-stored", str(error)) from error
    except (OSError, DatasetError) as error:
        log.error("a review could not be stored: %s", error)
        what = "The review could not be stored; why is in the server's log. Try again later."
        raise Problem("not-stored", what) from error
    except ValueError as error:
        raise Problem("bad-upload", f"The field 'identities': {error}") from error


def _body(review: Review, earlier: Review | None, verdict: str) -> dict[str, Any]:
    label, replaced = LABEL_NAMES[review.label], earlier and LABEL_NAMES[earlier.label]
    detail = review.sentence(verdict)
    if replaced not in (None, label):
        detail += f" An earlier review called it {replaced}; this one replaces it."
    return {
        "label": label,
        "identities": list(review.identities),
        "kept": review.kept,
        "agrees": review.agrees(verdict),
        "earlier": replaced,
        "detail": detail,
    }
