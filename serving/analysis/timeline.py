"""Timeline of a report: P(fake) of each tracked face over the video's seconds.

The page draws it with uPlot, the report on its own as SVG; both from the same values.
"""

from __future__ import annotations

import dataclasses
import itertools
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Point = tuple[float, float]  # seconds, P(fake)

# A longer step than this many usual ones is a part of the video that was not sampled.
BREAK_STEPS = 2.5
TICK_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
MAX_TICKS = 6


@dataclasses.dataclass(frozen=True)
class Line:
    """P(fake) of one face. number: as people count the faces, from 1. runs: frames that follow
    each other, each with the face in it."""

    number: int
    runs: tuple[tuple[Point, ...], ...]


@dataclasses.dataclass(frozen=True)
class Timeline:
    """duration_s: length of the axis. sampled: seconds of the frames that were looked at; of two
    that follow each other, at most longest_step_s apart. no_face: (start, end) in seconds of
    sampled parts in which no face was found. ticks: seconds."""

    duration_s: float
    sampled: tuple[float, ...]
    longest_step_s: float
    real_below: float
    fake_above: float
    lines: tuple[Line, ...]
    no_face: tuple[tuple[float, float], ...]
    ticks: tuple[float, ...]

    def at(self, seconds: float) -> float:
        """The place on the axis, in percent of its length."""
        return round(100 * seconds / self.duration_s, 3) if self.duration_s else 0.0

    def data(self) -> dict[str, Any]:
        """For the page's script: lines as columns, with null between two runs."""
        return {
            "duration": self.duration_s,
            "sampled": self.sampled,
            "step": self.longest_step_s,
            "realBelow": self.real_below,
            "fakeAbove": self.fake_above,
            "noFace": self.no_face,
            "lines": [{"number": line.number, **_columns(line.runs)} for line in self.lines],
        }


def timeline(document: Mapping[str, Any]) -> Timeline:
    """The timeline of a report document (`dfdetect-report/1`) that has a track."""
    tracks = document["tracks"]
    sampled = tuple(sorted({time for track in tracks for time in track["times_s"]}))
    duration = max(document["file"]["duration_s"] or 0.0, sampled[-1])
    return Timeline(
        duration_s=duration,
        sampled=sampled,
        longest_step_s=_longest_step(sampled),
        real_below=document["thresholds"]["real_below"],
        fake_above=document["thresholds"]["fake_above"],
        lines=tuple(
            Line(number, tuple(_runs(track["times_s"], track["frame_probability"])))
            for number, track in enumerate(tracks, 1)
        ),
        no_face=tuple(_without_face(tracks, sampled)),
        ticks=tuple(_ticks(duration)),
    )


def _longest_step(times_s: Sequence[float]) -> float:
    """Seconds between two frames that still count as following each other."""
    steps = [after - before for before, after in itertools.pairwise(times_s)]
    return BREAK_STEPS * statistics.median(steps) if steps else 0.0


def _runs(
    times_s: Sequence[float], probabilities: Sequence[float | None]
) -> Iterator[tuple[Point, ...]]:
    """Cuts a track where the face is missing and where nothing was sampled."""
    longest = _longest_step(times_s)
    run: list[Point] = []
    for time, probability in zip(times_s, probabilities, strict=True):
        if run and (probability is None or time - run[-1][0] > longest):
            yield tuple(run)
            run = []
        if probability is not None:
            run.append((time, probability))
    if run:
        yield tuple(run)


def _without_face(
    tracks: Sequence[Mapping[str, Any]], times: Sequence[float]
) -> list[tuple[float, float]]:
    """Sampled parts without a face of any track, each up to the frames around it."""
    with_face = {
        time
        for track in tracks
        for time, probability in zip(track["times_s"], track["frame_probability"], strict=True)
        if probability is not None
    }
    longest = _longest_step(times)
    parts: list[tuple[float, float]] = []
    befores, afters = [times[0], *times[:-1]], [*times[1:], times[-1]]
    for before, time, after in zip(befores, times, afters, strict=True):
        if time in with_face:
            continue
        start = before if time - before <= longest else time
        end = after if after - time <= longest else time
        if parts and start <= parts[-1][1]:
            start = parts.pop()[0]
        parts.append((start, end))
    return parts


def _columns(runs: Sequence[Sequence[Point]]) -> dict[str, Sequence[float | None]]:
    times: list[float] = []
    values: list[float | None] = []
    for run in runs:
        if times:  # a moment between the runs, at which there is nothing
            times.append((times[-1] + run[0][0]) / 2)
            values.append(None)
        times += [time for time, _ in run]
        values += [value for _, value in run]
    return {"times": times, "values": values}


def _ticks(duration_s: float) -> list[float]:
    step = next((s for s in TICK_STEPS_S if duration_s / s <= MAX_TICKS), TICK_STEPS_S[-1])
    return [round(i * step, 3) for i in range(int(duration_s / step) + 1)]
