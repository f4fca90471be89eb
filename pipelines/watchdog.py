"""A time limit on work that nothing can interrupt."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


def watched(items: Iterator[T], limit_s: float) -> Generator[T]:
    """The items, made by a thread of their own, one ahead of what is asked for.

    Raises TimeoutError where they keep the caller waiting for more than `limit_s` seconds in all.
    A decoder that hangs in native code cannot be stopped; its thread is left behind, a daemon
    that ends with the process, and the caller goes on.
    """
    made: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=1)
    stopped = threading.Event()

    def make() -> None:
        try:
            for item in items:
                made.put(("item", item))
                if stopped.is_set():
                    return
            made.put(("end", None))
        except BaseException as error:  # handed on to whom it concerns
            made.put(("error", error))

    thread = threading.Thread(target=make, name="watched", daemon=True)
    thread.start()
    waited_s = 0.0
    try:
        while True:
            asked = time.monotonic()
            try:
                kind, value = made.get(timeout=max(0.0, limit_s - waited_s))
            except queue.Empty:
                raise TimeoutError(f"took longer than {limit_s:g} s") from None
            waited_s += time.monotonic() - asked
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        stopped.set()
        while not made.empty():  # so that a thread waiting to hand over its item ends
            made.get_nowait()
