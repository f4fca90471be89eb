"""Token comparison of the web application, which slows guessing, client by client."""

from __future__ import annotations

import collections
import hmac
import math
import time
from collections.abc import Callable

from serving.web.problems import Problem

# A client may send so many wrong tokens at once, then one each time that the pause is over.
TRIES, PAUSE_S = 30, 10.0
MOST_CLIENTS = 10_000  # that are remembered


class TokenGuard:
    """Compares tokens; a client that sent too many wrong ones is not even compared with.

    Of each client only the time is kept at which its wrong tokens are forgotten, and of no more
    than MOST_CLIENTS: those that guessed last.
    """

    def __init__(self, token: str, now: Callable[[], float] = time.monotonic):
        self._token, self._now = token.encode(), now
        self._forgotten_at: collections.OrderedDict[str, float] = collections.OrderedDict()

    def __len__(self) -> int:
        """The clients that are remembered."""
        return len(self._forgotten_at)

    def check(self, given: bytes, client: str) -> bool:
        """Whether it is the token. Raises Problem where the client has to wait first."""
        now = self._now()
        forgotten_at = max(now, self._forgotten_at.get(client, now))
        wait_s = forgotten_at + PAUSE_S - now - TRIES * PAUSE_S
        if wait_s > 0:
            raise _too_many(math.ceil(wait_s))
        if hmac.compare_digest(given, self._token):
            return True
        self._forgotten_at[client] = forgotten_at + PAUSE_S
        self._forgotten_at.move_to_end(client)
        if len(self._forgotten_at) > MOST_CLIENTS:
            self._forgotten_at.popitem(last=False)
        return False


def _too_many(wait_s: int) -> Problem:
    detail = f"This client has sent too many wrong tokens. Try again in {wait_s} s."
    return Problem("too-many-tries", detail, {"Retry-After": str(wait_s)})
