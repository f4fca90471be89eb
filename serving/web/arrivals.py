"""Uploads under way: bounded in number, shared between clients, each at a minimum rate.

They hold no place in the queue: a place is needed when a video is complete, so that uploads which
stand still keep out nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from prometheus_client import Gauge
from starlette.types import Message

from pipelines.byte_sizes import byte_size
from serving.web.problems import Problem
from serving.web.settings import Settings

STALLED_S = 1.0  # behind its rate for so long, an upload gives way to others
RETRY_S = 5


class Pace:
    """The time that an upload has left: waiting for its client takes it, bytes give it back.

    rate: bytes per second that hold the balance. grace_s: what it begins with, and has at most.
    """

    def __init__(self, rate: float, grace_s: float):
        self._rate, self._grace_s = rate, grace_s
        self._left_s = grace_s
        self._waiting_since: float | None = None
        self._limit: asyncio.Timeout | None = None
        self._gave_way = False

    async def next(self, receive: Callable[[], Awaitable[Message]]) -> Message:
        """What comes next. Raises Problem where the time is over."""
        started = self._waiting_since = time.monotonic()
        try:
            async with asyncio.timeout(self._left_s) as self._limit:
                message = await receive()
        except TimeoutError as error:
            raise Problem("upload-timeout", self._why()) from error
        finally:
            self._waiting_since = self._limit = None
        earned_s = len(message.get("body", b"")) / self._rate
        left_s = self._left_s - (time.monotonic() - started) + earned_s
        self._left_s = min(self._grace_s, left_s)
        return message

    @property
    def left_s(self) -> float:
        waited_s = time.monotonic() - self._waiting_since if self._waiting_since else 0.0
        return self._left_s - waited_s

    @property
    def stalled(self) -> bool:
        """Whether the client is awaited, and behind its rate for a while."""
        return self._limit is not None and self.left_s <= self._grace_s - STALLED_S

    def give_way(self) -> None:
        """Ends the upload, which is stalled."""
        self._gave_way = True
        if self._limit and not self._limit.expired():
            self._limit.reschedule(0)

    def _why(self) -> str:
        if self._gave_way:
            return "It stood still while other uploads had no room. Send it again."
        return (
            f"It was slower than {byte_size(self._rate)} a second for {self._grace_s:g} s in all. "
            "Send it again over a faster connection."
        )


class Arrivals:
    """The uploads under way, in one event loop."""

    def __init__(self, settings: Settings, gauge: Gauge):
        """gauge: is kept at their number."""
        self._settings, self._gauge = settings, gauge
        self._clients: dict[Pace, str] = {}  # in the order in which they began

    @contextlib.asynccontextmanager
    async def under_way(self, client: str) -> AsyncIterator[Pace]:
        """Around an upload. Raises Problem where there is no room, or its time is over."""
        self._make_room(client)
        pace = Pace(self._settings.upload_rate, self._settings.upload_grace)
        self._clients[pace] = client
        self._gauge.set(len(self._clients))
        timeout_s = self._settings.upload_timeout
        try:
            async with asyncio.timeout(timeout_s):
                yield pace
        except TimeoutError as error:
            what = f"It was not complete after {timeout_s:g} s."
            raise Problem("upload-timeout", what) from error
        finally:
            self._clients.pop(pace, None)
            self._gauge.set(len(self._clients))

    def _make_room(self, client: str) -> None:
        """Where there is none, ends the upload that has stalled the longest; else raises Problem.

        A client at its share only has its own ended.
        """
        most, share = self._settings.most_uploads, self._settings.uploads_of_client
        crowd = [pace for pace, of in self._clients.items() if of == client]
        whose = "from this client"
        if len(crowd) < share:
            crowd, whose = list(self._clients), "in all"
            if len(crowd) < most:
                return
        slowest = min(crowd, key=lambda pace: pace.left_s)
        if not slowest.stalled:
            raise Problem(
                "busy",
                f"{len(crowd)} uploads {whose} are under way, as many as there may be. "
                f"Try again in {RETRY_S} s.",
                {"Retry-After": str(RETRY_S)},
            )
        slowest.give_way()
        del self._clients[slowest]
