"""Retries of a request: exponential backoff with jitter, under one deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import tenacity

from serving.client.errors import Overloaded, Unreachable

T = TypeVar("T")

TIMEOUT_S = 60.0  # for a request with all its retries
RETRIES = 5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 10.0

# At random from 0 up to a bound that doubles: callers that failed together do not return together.
_backoff = tenacity.wait_random_exponential(multiplier=FIRST_PAUSE_S, max=LONGEST_PAUSE_S)


def persist(ask: Callable[[float], T], timeout_s: float, retries: int) -> T:
    """What `ask`, given the seconds that are left, returns; it is called again when it fails.

    Only for what a server may do twice. Asks again after Unreachable and Overloaded, at most
    `retries` times, not before the server wants it, and never past the deadline: the last error
    is then raised.
    """
    end = time.monotonic() + timeout_s
    again = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type((Unreachable, Overloaded)),
        wait=_pause,
        stop=tenacity.stop_after_attempt(retries + 1) | tenacity.stop_before_delay(timeout_s),
        reraise=True,
    )
    return again(lambda: ask(max(end - time.monotonic(), 1e-3)))


def _pause(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked_for = error.retry_after_s if isinstance(error, Overloaded) else None
    return _backoff(state) + (asked_for or 0.0)
