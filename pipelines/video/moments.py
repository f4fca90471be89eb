"""Moments of a video: at which of them it is looked at, first and then more closely.

A moment is a clip's worth of consecutive samples, the geometry that a model was trained on; a
video is a row of them. A first pass looks at one moment in each of equal slices of the video's
length, at a place that follows from the file's content: nobody can hide an edit at known places,
and the same file gives the same result. Later passes look where the model is suspicious, and into
the largest gaps.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import heapq
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from pipelines.config import PreprocessConfig
from pipelines.coverage import Coverage, ScanSettings
from pipelines.verdict import Thresholds
from pipelines.video.sampling import sample_clips

# A video of so few moments is looked at completely: about 20 s at 25 frames a second.
WHOLE_MOMENTS = 16
FIRST_SHARE = 0.75  # of the moments that may be looked at, those of the first pass at most
MAX_PASSES = 4  # over a video, the first among them
SUSPECTS = 4  # the highest-scoring places whose neighbourhood a pass looks at
# What lies between two samples of a moment counts as looked at, unless it is longer than this: of
# a file whose frames are shown for various times, every second one may be shown for minutes.
LONG_FRAMES_S = 2.0
# Models that were trained on frames spread evenly over a share of each video ("uniform") see
# those of so many seconds at once: half of a video of 10 s, the usual length of data sets.
UNIFORM_S = 5.0


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """All moments of a video, in order. samples: indices of the frames of each. times_s: (N,) of
    all frames, seconds from the first."""

    times_s: np.ndarray
    samples: Sequence[np.ndarray]

    @classmethod
    def of(cls, times_s: np.ndarray, config: PreprocessConfig) -> Moments:
        """Those of a video whose frames lie at `times_s`, for crops made by `config`."""
        if config.sampling != "uniform":
            return cls(
                times_s,
                sample_clips(times_s, 1, config.frames_per_clip, config.frame_stride, "all"),
            )
        number = max(config.clips_per_video, round(float(times_s[-1]) / UNIFORM_S))
        return cls(
            times_s,
            sample_clips(times_s, number, config.frames_per_clip, config.frame_stride, "uniform"),
        )

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def duration_s(self) -> float:
        """To the end of the last frame."""
        return float(self.times_s[-1]) * len(self.times_s) / max(1, len(self.times_s) - 1)

    @functools.cached_property
    def edges_s(self) -> np.ndarray:
        """(N + 1,) float64: where each moment begins, which is where the one before ends."""
        starts = [self.times_s[sampled[0]] for sampled in self.samples[1:]]
        return np.array([0.0, *starts, self.duration_s])

    def coverage(self, looked_at: Mapping[int, bool]) -> Coverage:
        """looked_at: moment -> whether it has a usable face."""
        seen = sorted(looked_at)
        gaps = self._gaps(seen)
        return Coverage(
            duration_s=self.duration_s,
            seconds=self.duration_s - sum(end - start for start, end in gaps),
            moments=len(seen),
            moments_with_face=sum(looked_at.values()),
            largest_gap_s=max((end - start for start, end in gaps), default=0.0),
            frames=sum(len(self.samples[moment]) for moment in seen),
            frames_total=len(self.times_s),
            gaps=tuple(gaps),
        )

    def _gaps(self, seen: Sequence[int]) -> list[tuple[float, float]]:
        """(start, end) in seconds, in order, of what `seen` moments leave out: the moments
        between, and the frames between two samples where these are shown for long."""
        edges_s = self.edges_s.tolist()
        ends_s = np.append(self.times_s[1:], self.duration_s)  # when each frame gives way
        gaps, seen_to = [], 0.0
        for moment in seen:
            sampled = self.samples[moment]
            shown_to = ends_s[sampled].tolist()
            starts = [seen_to, edges_s[moment], *shown_to[:-1]]
            stops = [edges_s[moment], *self.times_s[sampled].tolist()]
            allowed = [0.0, *[LONG_FRAMES_S] * len(sampled)]
            gaps += [
                (start, stop)
                for start, stop, most in zip(starts, stops, allowed, strict=True)
                if stop - start > most
            ]
            end = edges_s[moment + 1]
            seen_to = shown_to[-1] if end - shown_to[-1] > LONG_FRAMES_S else end
        return gaps + [(seen_to, self.duration_s)] * (self.duration_s > seen_to)


def first_pass(moments: Moments, settings: ScanSettings, content: str) -> list[int]:
    """The moments to look at first, ascending: one in each equal slice of the video's length.

    content: what identifies the file's content, such as its SHA-256. Of each slice that moment is
    taken whose rank, a hash of content and number, is the lowest: any is as likely, and of finer
    slices most of the moments that coarser ones gave are taken again. Videos of few moments are
    looked at completely.
    """
    number = len(moments)
    slices = max(1, math.ceil(moments.duration_s / settings.every))
    if settings.max_clips:
        slices = min(slices, math.ceil(FIRST_SHARE * settings.max_clips))
    if slices >= number or number <= min(settings.max_clips or number, WHOLE_MOMENTS):
        return list(range(number))
    middles_s = (moments.edges_s[:-1] + moments.edges_s[1:]) / 2
    slice_of = (middles_s / moments.duration_s * slices).astype(int).tolist()
    lowest: dict[int, tuple[bytes, int]] = {}
    for moment, place in enumerate(slice_of):
        rank = hashlib.sha256(f"{content}/{moment}".encode()).digest(), moment
        lowest[place] = min(rank, lowest.get(place, rank))
    return sorted(moment for _, moment in lowest.values())


def passes(
    moments: Moments,
    scores: Callable[[], Mapping[int, float | None]],
    thresholds: Thresholds,
    settings: ScanSettings,
    content: str,
    at_most: int = MAX_PASSES,
) -> Iterator[list[int]]:
    """The moments to look at, pass by pass: the first, and what `next_pass` gives while it gives
    any. scores: asked for after each pass, as in `next_pass`. content: as in `first_pass`."""
    yield first_pass(moments, settings, content)
    for number in range(2, at_most + 1):
        wanted = next_pass(moments, scores(), thresholds, settings, last=number == at_most)
        if not wanted:
            return
        yield wanted


def next_pass(
    moments: Moments,
    scores: Mapping[int, float | None],
    thresholds: Thresholds,
    settings: ScanSettings,
    last: bool = False,
) -> list[int]:
    """The moments to look at next, ascending; none where what is asked is answered or the budget
    is spent.

    What is asked is whether a part of `settings.min_fake_s` seconds scores FAKE, and from where to
    where. So the neighbours of the highest-scoring moments come first, and the middles between
    those that reach the threshold and those that do not; then the largest gaps, of what is left
    half, or all of it in the last pass.

    scores: moment that was looked at -> highest P(fake) of a face there, None without a face.
    """
    left = (settings.max_clips or len(moments)) - len(scores)
    picked: dict[int, None] = {}  # in the order of their worth
    for moment in (
        *_beside_suspects(moments, scores, thresholds, settings),
        *_edges(scores, thresholds),
    ):
        if len(picked) < left:
            picked.setdefault(moment)
    seen = sorted({*scores, *picked})
    share = left - len(picked)
    picked |= dict.fromkeys(
        _in_gaps(moments, seen, settings.min_fake_s, share if last else math.ceil(share / 2))
    )
    return sorted(picked)


def _beside_suspects(
    moments: Moments,
    scores: Mapping[int, float | None],
    thresholds: Thresholds,
    settings: ScanSettings,
) -> Iterator[int]:
    """Nearest first, of the most suspicious moments first, as far as the shortest fake reaches."""
    moments_of_fake = settings.min_fake_s * len(moments) / max(moments.duration_s, 1e-9)
    reach = max(1, math.ceil(min(moments_of_fake, len(moments))) - 1)
    ranked = sorted((-score, moment) for moment, score in scores.items() if score is not None)
    suspects = 0
    for negative, moment in ranked:
        if -negative <= thresholds.real_below or suspects == SUSPECTS:
            return
        near = [moment + step for away in range(1, reach + 1) for step in (-away, away)]
        new = [m for m in near if 0 <= m < len(moments) and m not in scores]
        suspects += bool(new)
        yield from new


def _edges(scores: Mapping[int, float | None], thresholds: Thresholds) -> Iterator[int]:
    """Half way between two moments of which one reaches the threshold."""
    seen = sorted(scores)
    high = [(scores[m] or 0.0) >= thresholds.fake_above for m in seen]
    for i in range(len(seen) - 1):
        if high[i] != high[i + 1] and seen[i + 1] - seen[i] > 1:
            yield (seen[i] + seen[i + 1]) // 2


def _in_gaps(moments: Moments, seen: Sequence[int], longest_s: float, number: int) -> Iterator[int]:
    """The middles of the largest gaps, as long as one is larger than `longest_s` seconds."""
    edges = moments.edges_s
    gaps: list[tuple[float, int, int]] = []  # (-seconds, first moment, end)

    def add(first: int, end: int) -> None:
        if end > first and edges[end] - edges[first] > longest_s:
            heapq.heappush(gaps, (-float(edges[end] - edges[first]), first, end))

    for before, after in itertools.pairwise([-1, *seen, len(moments)]):
        add(before + 1, after)
    for _ in range(number):
        if not gaps:
            return
        _, first, end = heapq.heappop(gaps)
        middle = (first + end) // 2
        yield middle
        add(first, middle)
        add(middle + 1, end)
