"""Time limit on decoding, which nothing can interrupt once it hangs in native code."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


def watched(items: Iterator[T], limit_s: float) -> Generator[T]:
    """The items, made by a thread of their own, at most one ahead of the caller.

    Raises TimeoutError where they keep the caller waiting for more than `limit_s` seconds in all,
    and whatever they raise themselves. A decoder that hangs in native code cannot be stopped: its
    thread is left behind, a daemon that ends with the process, and the caller is free.
    """
    made: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    taken = threading.Semaphore(0)  # one for each item that the caller has
    left = threading.Event()

    def make() -> None:
        try:
            for item in items:
                made.put(("item", item))
                taken.acquire()
                if left.is_set():
                    return
            made.put(("end", None))
        except BaseException as error:  # handed on to whom it concerns
            made.put(("error", error))

    threading.Thread(target=make, name="watched", daemon=True).start()
    waited_s = 0.0
    try:
        while True:
            asked_s = time.monotonic()
            try:
                kind, value = made.get(timeout=max(0.0, limit_s - waited_s))
            except queue.Empty:
                raise TimeoutError(f"took longer than {limit_s:g} s") from None
            waited_s += time.monotonic() - asked_s
            if waited_s > limit_s:  # the item came as the time ran out, or was there at once
                raise TimeoutError(f"took longer than {limit_s:g} s")
            if kind == "end":
                return
            if kind == "error":
                raise value
            taken.release()
            yield value
    finally:
        left.set()
        taken.release()
