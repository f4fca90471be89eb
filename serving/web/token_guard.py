"""Token comparison of the web application, which slows guessing, client by client."""

from __future__ import annotations

import collections
import math
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from serving.web.problems import Problem

# A client may send so many wrong tokens at once, then one each time that the pause is over.
TRIES, PAUSE_S = 30, 10.0
MOST_CLIENTS = 10_000  # that are remembered


T = TypeVar("T")


class TokenGuard(Generic[T]):
    """Looks tokens up; those of a client that sent too many wrong ones it does not look at.

    look_up: gives something false for a wrong token.

    Of each client only the time is kept at which its wrong tokens are forgotten, and of no more
    than MOST_CLIENTS: those that guessed last.
    """

    def __init__(self, look_up: Callable[[bytes], T], now: Callable[[], float] = time.monotonic):
        self._look_up, self._now = look_up, now
        self._forgotten_at: collections.OrderedDict[str, float] = collections.OrderedDict()

    def __len__(self) -> int:
        """The clients that are remembered."""
        return len(self._forgotten_at)

    def check(self, given: bytes, client: str) -> T:
        """What is looked up. Raises Problem where the client has to wait first."""
        now = self._now()
        forgotten_at = max(now, self._forgotten_at.get(client, now))
        wait_s = forgotten_at + PAUSE_S - now - TRIES * PAUSE_S
        if wait_s > 0:
            raise _too_many(math.ceil(wait_s))
        if known := self._look_up(given):
            return known
        self._forgotten_at[client] = forgotten_at + PAUSE_S
        self._forgotten_at.move_to_end(client)
        if len(self._forgotten_at) > MOST_CLIENTS:
            self._forgotten_at.popitem(last=False)
        return known


def _too_many(wait_s: int) -> Problem:
    detail = f"This client has sent too many wrong tokens. Try again in {wait_s} s."
    return Problem("too-many-tries", detail, {"Retry-After": str(wait_s)})
