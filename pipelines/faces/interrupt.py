"""Co-operative cancel of a look for faces: asked for by one thread, seen by those that work."""

from __future__ import annotations

import threading
from collections.abc import Callable

_current = threading.Event()


class Interrupted(Exception):
    """Nobody wants what is being made any more."""


def renew() -> None:
    """For the next piece of work: what was asked of the one before holds for that alone."""
    global _current
    _current = threading.Event()


def request() -> None:
    """Asks the piece of work that this process is at to come to an end."""
    _current.set()


def checker() -> Callable[[], None]:
    """What raises Interrupted once an end of the work is asked for that is begun now: to be called
    often, by whatever thread does it."""
    asked = _current

    def check() -> None:
        if asked.is_set():
            raise Interrupted

    return check
