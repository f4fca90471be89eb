"""Problems of users of the web application, as RFC 9457 has them."""

from __future__ import annotations

import dataclasses
from http import HTTPStatus
from typing import Any

from pipelines.clip import VideoError

MEDIA_TYPE = "application/problem+json"
URN = "urn:dfdetect:problem:"
RESTART_S = 30  # after which whoever met a server that stops may find one that has started

# Name -> (status, title).
PROBLEMS = {
    "too-large": (413, "The file is too large"),
    "too-long": (422, "The video is too long"),
    "too-many-pixels": (422, "The frames of the video are too large"),
    "picture": (415, "This is a picture, not a video"),
    "unsupported": (415, "This is not a video of a known format"),
    "unreadable": (422, "The video cannot be read"),
    "no-video-stream": (422, "The file holds no video"),
    "took-too-long": (422, "The analysis took too long"),
    "too-much-to-decode": (422, "Decoding this video is too much work"),
    "decoder-failed": (422, "Decoding this file failed"),
    "model-server-down": (503, "The model cannot be asked"),
    "stopping": (503, "The server takes no videos at the moment"),
    "interrupted": (503, "The server was stopped before the analysis was done"),
    "cancelled": (410, "The analysis was cancelled"),
    "busy": (429, "Too many videos are waiting"),
    "quota-exceeded": (429, "The key's share of today is used up"),
    "too-many-requests": (503, "Too many requests are under way"),
    "bad-upload": (400, "The upload cannot be understood"),
    "upload-timeout": (408, "The upload took too long"),
    "not-stored": (507, "The server has no room for the file"),
    "not-found": (404, "There is nothing here"),
    "no-history": (404, "There is no history"),
    "another-file": (409, "This is another file"),
    "too-many-shares": (409, "As many links as there may be open this result"),
    "not-done": (409, "The analysis is not done yet"),
    "cross-site": (403, "The request comes from another site"),
    "unknown-host": (403, "This server has another name"),
    "too-many-tries": (429, "Too many wrong tokens"),
    "unauthorized": (401, "A token is needed"),
    "internal": (500, "An error of this server"),
    "http": (400, "The request cannot be answered"),
}
SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}
# Reasons of a VideoError; others are "unreadable".
REASONS = {
    "too_long": "too-long",
    "too_many_pixels": "too-many-pixels",
    "picture": "picture",
    "unsupported": "unsupported",
    "no_video_stream": "no-video-stream",
    "timeout": "took-too-long",
    "too_much_to_decode": "too-much-to-decode",
    "decoder_failed": "decoder-failed",
}


@dataclasses.dataclass
class Problem(Exception):
    """One of PROBLEMS; detail: what was found, what was expected and what to do."""

    name: str
    detail: str
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    code: int = 0  # where it is not that of the table

    @property
    def status(self) -> int:
        return self.code or PROBLEMS[self.name][0]

    @property
    def title(self) -> str:
        return PROBLEMS[self.name][1]

    def to_dict(self) -> dict[str, Any]:
        return {
            "type": "about:blank" if self.name == "http" else URN + self.name,
            "title": HTTPStatus(self.status).phrase if self.name == "http" else self.title,
            "status": self.status,
            "detail": self.detail,
        }


def of_video(error: VideoError, path: str) -> Problem:
    """The problem of a file that is no use. Where it lies is nothing that a user should read."""
    name = REASONS.get(error.reason, "unreadable")
    detail = error.detail.removeprefix(f"{path}: ")
    return Problem(name, detail[:1].upper() + detail[1:])


def not_found(outlives_restart: bool = True) -> Problem:
    """outlives_restart: whether what is looked for would still be there after a restart."""
    restarted = "" if outlives_restart else "the server was restarted meanwhile, "
    return Problem(
        "not-found",
        "It was deleted, it made room for newer ones, the time for which it was kept is over, "
        f"{restarted}or it never was.",
    )


def stopping() -> Problem:
    """A video comes while the server is about to end."""
    what = f"It is being restarted or stopped. Send the video again in {RESTART_S} s."
    return Problem("stopping", what, {"Retry-After": str(RESTART_S)})


def interrupted() -> Problem:
    """The server ended, or is about to, and a video was not analysed."""
    what = "It may be back in a moment. Nothing of the video is kept there: send it again."
    return Problem("interrupted", what)


def internal() -> Problem:
    return Problem("internal", "It is in the server's log; please tell its owner.")


def refusals(*names: str) -> dict[int | str, dict[str, Any]]:
    """How the API's description shows these problems, and 422 for what is no valid request."""
    by_status: dict[int | str, dict[str, Any]] = {}
    for problem in (
        Problem("http", "id: not valid", code=422),
        *(Problem(n, "...") for n in names),
    ):
        answer = by_status.setdefault(
            problem.status,
            {
                "description": HTTPStatus(problem.status).phrase,
                "content": {MEDIA_TYPE: {"schema": SCHEMA, "examples": {}}},
            },
        )
        answer["content"][MEDIA_TYPE]["examples"][problem.name] = {"value": problem.to_dict()}
    return by_status
