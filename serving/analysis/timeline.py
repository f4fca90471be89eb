"""Timeline of a report: P(fake) of each face over the video's seconds, and what was looked at.

The page draws it with uPlot, the report on its own as SVG; both from the same values.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Point = tuple[float, float]  # seconds, P(fake)

# A longer step than this many usual ones is a part of the video that was not sampled.
BREAK_STEPS = 2.5
TICK_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
MAX_TICKS = 6
# A chart is about 900 px wide, so that more frames lie on one pixel.
MAX_FRAMES = 3000
NARROW = 0.01  # share of the axis under which a run is no line that can be seen: about 8 px
# Marks of the faces, SVG paths around (0, 0): disc, square, diamond, triangles, hourglass, bow tie,
# cross; filled, then hollow. With eight colours (style.css) each face that is listed looks unlike
# all others by its mark, and by the dashes of its line.
SHAPES = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "M-3.6-3.6h7.2v7.2h-7.2z",
    "M0-5 5 0 0 5-5 0z",
    "M0-4.6 4.6 3.6H-4.6z",
    "M0 4.6 4.6-3.6H-4.6z",
    "M-4-4.5h8l-8 9h8z",
    "M-4.5-4l9 8v-8l-9 8z",
    "M-1.5-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
)
DASHES: tuple[tuple[int, ...], ...] = (
    (), (8, 4), (2, 3), (12, 3, 2, 3), (16, 6), (5, 2), (12, 3, 2, 3, 2, 3), (2, 7),
    (20, 3), (8, 3, 8, 9), (1, 2), (14, 4, 5, 4), (3, 6), (8, 3, 2, 3, 2, 3, 2, 3), (24, 8),
    (3, 3, 3, 9),
)  # fmt: skip
STYLES = len(DASHES)


def style_of(number: int) -> int:
    """Which of STYLES, from 1, the face of a number has."""
    return (number - 1) % STYLES + 1


def dash_of(number: int) -> str:
    """The dashes of a face's line, px, as SVG and canvas have them; "" for a whole one."""
    return " ".join(map(str, DASHES[style_of(number) - 1]))


@dataclasses.dataclass(frozen=True)
class Line:
    """P(fake) of one face. number: as people count the faces, from 1. runs: frames that follow
    each other, each with the face in it. marks: the middle and the mean of each moment of those
    runs that are too narrow to be seen as a line."""

    number: int
    runs: tuple[tuple[Point, ...], ...]
    marks: tuple[Point, ...]


@dataclasses.dataclass(frozen=True)
class Band:
    """A part of the video in which a face scores FAKE; seconds."""

    number: int
    start_s: float
    end_s: float
    probability: float


@dataclasses.dataclass(frozen=True)
class Timeline:
    """duration_s: length of the axis. sampled: seconds of the frames that were looked at; of two
    that follow each other, at most longest_step_s apart. no_face: (start, end) in seconds of
    sampled parts in which no face was found; gaps: of those that were not looked at. bands: in
    the order of the faces, then of time. fake_above: where FAKE begins; None of a demo model,
    for which it begins nowhere. ticks: seconds."""

    duration_s: float
    sampled: tuple[float, ...]
    longest_step_s: float
    fake_above: float | None
    lines: tuple[Line, ...]
    no_face: tuple[tuple[float, float], ...]
    gaps: tuple[tuple[float, float], ...]
    bands: tuple[Band, ...]
    ticks: tuple[float, ...]

    def at(self, seconds: float) -> float:
        """The place on the axis, in percent of its length."""
        return round(100 * seconds / self.duration_s, 3) if self.duration_s else 0.0

    @property
    def lanes(self) -> list[tuple[int, list[Band]]]:
        """(number of a face, its bands), of the faces that have any."""
        grouped = itertools.groupby(self.bands, key=lambda band: band.number)
        return [(number, list(own)) for number, own in grouped]

    def data(self) -> dict[str, Any]:
        """For the page's script. lines: values at `times`, null where there is none; `times` are
        the sampled ones, and one between two that do not follow each other."""
        times = list(_with_breaks(self.sampled, self.longest_step_s))
        return {
            "duration": self.duration_s,
            "sampled": self.sampled,
            "step": self.longest_step_s,
            "fakeAbove": self.fake_above,
            "noFace": self.no_face,
            "gaps": self.gaps,
            "bands": [(band.start_s, band.end_s) for band in self.bands],
            "shapes": SHAPES,
            "dashes": DASHES,
            "times": times,
            "lines": [
                {
                    "number": line.number,
                    "style": style_of(line.number),
                    "values": _column(line.runs, times),
                    "marks": line.marks,
                }
                for line in self.lines
            ],
        }


def timeline(document: Mapping[str, Any]) -> Timeline:
    """The timeline of a report document (`dfdetect-report/1`) that has a track."""
    tracks, coverage = document["tracks"], document["coverage"]
    demo = document["model"]["sample_data"]
    seen = [
        {
            time: value
            for time, value in zip(track["times_s"], track["frame_probability"], strict=True)
            if value is not None
        }
        for track in tracks
    ]
    sampled = sorted({time for track in tracks for time in track["times_s"]})
    duration = max(
        document["file"]["duration_s"] or 0.0,
        coverage["duration_s"] if coverage else 0.0,
        sampled[-1],
    )
    sampled, seen = _thinned(sampled, seen)
    longest = _longest_step(sampled)
    # Moments are of equally many frames.
    per_moment = max(1, round(len(sampled) / (coverage["moments"] if coverage else 1)))
    moment_of = {time: i // per_moment for i, time in enumerate(sampled)}
    return Timeline(
        duration_s=duration,
        sampled=tuple(sampled),
        longest_step_s=longest,
        fake_above=None if demo else document["thresholds"]["fake_above"],
        lines=tuple(
            _line(number, tuple(_runs(sampled, own, longest)), duration, moment_of)
            for number, own in enumerate(seen, 1)
        ),
        no_face=tuple(_without_face(seen, sampled, longest)),
        gaps=tuple((start, end) for start, end in coverage["gaps"]) if coverage else (),
        bands=tuple(
            Band(number, part["start_s"], part["end_s"], part["probability_fake"])
            for number, track in enumerate(tracks, 1)
            for part in track["segments"]
        ),
        ticks=tuple(_ticks(duration)),
    )


def _thinned(
    sampled: Sequence[float], seen: Sequence[Mapping[float, float]]
) -> tuple[list[float], list[dict[float, float]]]:
    """At most MAX_FRAMES times; each stands for those up to the next, by their highest value."""
    step = math.ceil(len(sampled) / MAX_FRAMES)
    kept = {time: sampled[i - i % step] for i, time in enumerate(sampled)}
    lines: list[dict[float, float]] = []
    for own in seen:
        line: dict[float, float] = {}
        for time, value in own.items():
            line[kept[time]] = max(value, line.get(kept[time], 0.0))
        lines.append(line)
    return list(sampled[::step]), lines


def _longest_step(times_s: Sequence[float]) -> float:
    """Seconds between two frames that still count as following each other."""
    steps = [after - before for before, after in itertools.pairwise(times_s)]
    return BREAK_STEPS * statistics.median(steps) if steps else 0.0


def _line(
    number: int,
    runs: tuple[tuple[Point, ...], ...],
    duration_s: float,
    moment_of: Mapping[float, int],
) -> Line:
    """moment_of: time of a frame -> what is the same for frames of one moment."""
    marks = []
    for run in runs:
        if run[-1][0] - run[0][0] > NARROW * duration_s:
            continue
        for _, frames in itertools.groupby(run, key=lambda point: moment_of[point[0]]):
            times, values = zip(*frames, strict=True)
            middle = (times[0] + times[-1]) / 2
            marks.append((round(middle, 3), round(statistics.fmean(values), 4)))
    return Line(number, runs, tuple(marks))


def _runs(
    sampled: Sequence[float], seen: Mapping[float, float], longest_s: float
) -> Iterator[tuple[Point, ...]]:
    """Cuts a face's line where the face is missing and where nothing was sampled."""
    run: list[Point] = []
    for time in sampled:
        if run and (time not in seen or time - run[-1][0] > longest_s):
            yield tuple(run)
            run = []
        if time in seen:
            run.append((time, seen[time]))
    if run:
        yield tuple(run)


def _without_face(
    seen: Sequence[Mapping[float, float]], times: Sequence[float], longest_s: float
) -> list[tuple[float, float]]:
    """Sampled parts without any face, each up to the frames around it."""
    with_face = {time for own in seen for time in own}
    parts: list[tuple[float, float]] = []
    befores, afters = [times[0], *times[:-1]], [*times[1:], times[-1]]
    for before, time, after in zip(befores, times, afters, strict=True):
        if time in with_face:
            continue
        start = before if time - before <= longest_s else time
        end = after if after - time <= longest_s else time
        if parts and start <= parts[-1][1]:
            start = parts.pop()[0]
        parts.append((start, end))
    return parts


def _with_breaks(sampled: Sequence[float], longest_s: float) -> Iterator[float]:
    """The times, and one between two that do not follow each other."""
    for before, time in itertools.pairwise([sampled[0], *sampled]):
        if time - before > longest_s:
            yield (before + time) / 2
        yield time


def _column(runs: Sequence[Sequence[Point]], times: Sequence[float]) -> list[float | None]:
    values = dict(point for run in runs for point in run)
    return [values.get(time) for time in times]


def _ticks(duration_s: float) -> list[float]:
    step = next((s for s in TICK_STEPS_S if duration_s / s <= MAX_TICKS), TICK_STEPS_S[-1])
    return [round(i * step, 3) for i in range(int(duration_s / step) + 1)]
