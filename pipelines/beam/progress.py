"""Progress of a job on this machine, from the files of its finished videos."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Set

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipelines.beam.output import REJECT_MARK

EVERY_S = 1.0
LINE_EVERY_S = 30.0  # where the output is no terminal


def key(part: str) -> str:
    """What the name of a part begins with: one for each video."""
    return part.split(".")[0]


def count_parts(folder: str, keys: Set[str], suffix: str) -> tuple[int, int]:
    """(videos done, videos rejected) so far, of those with these keys.

    suffix: of the name of a video's part, or of the last of its parts.
    """
    there = os.listdir(folder)
    done, rejected = (
        len(keys & {key(name) for name in there if name.endswith(end)})
        for end in (suffix, REJECT_MARK)
    )
    return done, rejected


@contextlib.contextmanager
def display(
    folder: str, keys: Set[str], suffix: str, kept: int, console: Console
) -> Iterator[None]:
    """Shows videos done, rejects, videos per second and time left, while it is open.

    folder: where the parts of the videos with these keys appear; what is there at first is done
    but was no work. suffix: as in `count_parts`. kept: videos that are done and have no part.
    """
    ended = threading.Event()
    started = time.monotonic()
    total, done = len(keys) + kept, sum(count_parts(folder, keys, suffix)) + kept
    if done:
        console.print(f"resuming: {done} of {total} videos are done already", highlight=False)

    def rate(finished: int) -> float:
        return (finished - done) / max(time.monotonic() - started, 1e-3)

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
                good, bad = count_parts(folder, keys, suffix)
                good += kept
                bar.update(task, completed=good + bad, rejects=bad, rate=rate(good + bad))

    def show_lines() -> None:
        while not ended.wait(LINE_EVERY_S):
            good, bad = count_parts(folder, keys, suffix)
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
