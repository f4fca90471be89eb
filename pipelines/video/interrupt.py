"""Co-operative cancel of decoding: asked for by one thread, looked at by those that work."""

from __future__ import annotations

import threading

_requested = threading.Event()


class Interrupted(Exception):
    """Nobody wants what is being made any more."""


def request() -> None:
    """Asks whatever this process decodes to come to an end."""
    _requested.set()


def clear() -> None:
    """For the next piece of work."""
    _requested.clear()


def check() -> None:
    """Raises Interrupted where an end was asked for: to be called between packets and moments."""
    if _requested.is_set():
        raise Interrupted
