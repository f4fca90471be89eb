"""How far a job on this machine is, seen from the files that it has finished."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Set

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipelines.output import REJECT_MARK

EVERY_S = 1.0
LINE_EVERY_S = 30.0  # where the output is no terminal


def count_parts(folder: str, parts: Set[str]) -> tuple[int, int]:
    """(videos with clips, videos rejected) so far, of those whose parts are named so."""
    there = set(os.listdir(folder))
    return len(parts & there), sum(part + REJECT_MARK in there for part in parts)


@contextlib.contextmanager
def shown(folder: str, parts: Set[str], kept: int, console: Console) -> Iterator[None]:
    """Shows videos done, rejects, videos per second and time left, while it is open.

    folder: where the parts appear; what is there at first is done but was no work. kept: videos
    that are done and have no part.
    """
    ended = threading.Event()
    started = time.monotonic()
    total, done = len(parts) + kept, sum(count_parts(folder, parts)) + kept
    if done:
        console.print(f"going on: {done} of {total} videos are done already", highlight=False)

    def rate(found: int) -> float:
        return (found - done) / max(time.monotonic() - started, 1e-3)

    def show_bar() -> None:
        columns = (
            TextColumn("videos"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rejects]} rejected"),
            TextColumn("{task.fields[rate]:.2f} videos/s"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("", total=total, completed=done, rejects=0, rate=0.0)
            while not ended.wait(EVERY_S):
                good, bad = count_parts(folder, parts)
                good += kept
                bar.update(task, completed=good + bad, rejects=bad, rate=rate(good + bad))

    def show_lines() -> None:
        while not ended.wait(LINE_EVERY_S):
            good, bad = count_parts(folder, parts)
            good += kept
            pace = rate(good + bad)
            left = f"{(total - good - bad) / pace:.0f} s left" if pace > 0 else "time left unknown"
            console.print(
                f"{good + bad} of {total} videos, {bad} rejected, {pace:.2f} videos/s, {left}",
                highlight=False,
            )

    thread = threading.Thread(target=show_bar if console.is_terminal else show_lines, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
