"""The scoring rule: clips -> face tracks -> evidence -> verdict on a video, one for all users."""

from __future__ import annotations

import dataclasses
import enum
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from pipelines.coverage import Coverage, ScanSettings

# A track with fewer frames, or with a smaller face, is not enough for FAKE or REAL. Of a face of
# 32 px the traces of an edit are a few px at most, and compression works on blocks of 8 and 16.
MIN_FRAMES = 4
MIN_FACE_PX = 32.0

MAX_SEARCH_COST = 10.0  # beyond it no place but a whole video could ever be FAKE
# Runs of up to so many clips are all tried; of longer ones, lengths a tenth apart: a fake part
# scores nearly as the nine tenths of it that are tried do, and a day of video takes seconds.
EVERY_LENGTH = 64


class Verdict(enum.StrEnum):
    FAKE = "FAKE"
    REAL = "REAL"
    INCONCLUSIVE = "INCONCLUSIVE"  # a score between the two thresholds, or too little evidence
    NO_FACE = "NO_FACE"  # there was nothing to judge


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What the score of a track rests on.

    frames: those in which the face was found. face_px: the median over its clips of the face
    box's shorter side, px of the video; None where no box is known.
    """

    frames: int
    face_px: float | None

    @classmethod
    def of(cls, frames: Sequence[int], face_px: Sequence[float | None]) -> Evidence:
        """That of a track, from the frames and the face size of each of its clips."""
        measured = [size for size in face_px if size is not None]
        return cls(sum(frames), statistics.median(measured) if measured else None)

    def lacks(self) -> list[str]:
        """Sentences that say why this is too little; none where it is enough."""
        reasons = []
        if self.frames < MIN_FRAMES:
            frames = f"{self.frames} frame{'' if self.frames == 1 else 's'}"
            reasons.append(f"Only {frames} with a usable face; a verdict needs {MIN_FRAMES}.")
        if self.face_px is not None and self.face_px < MIN_FACE_PX:
            reasons.append(
                f"The face is {self.face_px:.0f} px wide; a verdict needs {MIN_FACE_PX:.0f} px."
            )
        return reasons


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """REAL at or below `real_below`, FAKE at or above `fake_above`; stored with the model.

    calibrated: whether they, and P(fake), were fitted to a validation split. search_cost: what a
    score loses, in log-odds, for each e-fold of places at which the fake could have been found
    (`corrected`); at 0 looking more often makes more false alarms.
    """

    real_below: float = 0.4
    fake_above: float = 0.6
    calibrated: bool = False
    search_cost: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.search_cost <= MAX_SEARCH_COST:
            raise ValueError(
                f"search_cost={self.search_cost}: expected from 0 to {MAX_SEARCH_COST:g}."
            )
        if not 0 <= self.real_below < self.fake_above <= 1:
            raise ValueError(
                f"real_below={self.real_below}, fake_above={self.fake_above}: expected "
                "0 <= real_below < fake_above <= 1."
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Thresholds:
        """From a model's verdict.json; what else it holds is not read."""
        calibrated = values.get("calibration") is not None
        cost = values.get("search_cost", cls.search_cost)
        return cls(
            float(values["real_below"]), float(values["fake_above"]), calibrated, float(cost)
        )


def decide(
    score: float | None, thresholds: Thresholds, evidence: Evidence | None = None
) -> Verdict:
    """The verdict on P(fake); None means that no face was found.

    evidence: what the score of the deciding track rests on; too little makes any score
    INCONCLUSIVE. Without it the score alone decides.
    """
    if score is None:
        return Verdict.NO_FACE
    if evidence is not None and evidence.lacks():
        return Verdict.INCONCLUSIVE
    if score >= thresholds.fake_above:
        return Verdict.FAKE
    return Verdict.REAL if score <= thresholds.real_below else Verdict.INCONCLUSIVE


@dataclasses.dataclass(frozen=True)
class ClipEvidence:
    """What a clip, which holds a face, adds to the verdict on its video.

    clip: the number of its moment in the video. probability_fake: calibrated, 0 to 1. frames:
    those with the face. face_px: as in Evidence, of this clip. start_s, end_s: of those frames,
    seconds from the video's start.
    """

    clip: int
    track: int
    probability_fake: float
    frames: int
    face_px: float | None = None
    start_s: float = 0.0
    end_s: float = 0.0


@dataclasses.dataclass(frozen=True)
class Segment:
    """A part of the video in which one face scores FAKE.

    start_s, end_s: seconds from the video's start; what was not looked at within counts as part
    of it. score: P(fake), corrected. clips: how many were looked at.
    """

    start_s: float
    end_s: float
    score: float
    clips: int


@dataclasses.dataclass(frozen=True)
class TrackVerdict:
    """The verdict on one face track. score: P(fake) of its highest-scoring run of clips,
    corrected. segments: where it is FAKE, in order of time; none of a face that is not.
    alone: the highest P(fake) of a run before the correction."""

    track: int
    score: float
    verdict: Verdict
    evidence: Evidence
    segments: tuple[Segment, ...] = ()
    alone: float = 0.0


@dataclasses.dataclass(frozen=True)
class VideoVerdict:
    """The verdict on a video. deciding: the track whose score and verdict are the video's.

    Without a track the verdict is NO_FACE, and score and deciding are None. reasons: sentences on
    why there is too little for a verdict, if so.
    """

    score: float | None
    verdict: Verdict
    deciding: TrackVerdict | None
    tracks: tuple[TrackVerdict, ...]
    reasons: tuple[str, ...] = ()


Values = TypeVar("Values", float, np.ndarray)


def corrected(mean: Values, places: float, search_cost: float) -> Values:
    """P(fake) of a run of clips, from their mean, that could have lain at so many places.

    The log-odds lose search_cost * ln(places). At 1 that is Bayes' rule where one of the places
    is as likely fake as the whole video was said to be: the union bound, right for clips that are
    independent. Clips of one video are not, so `dfdetect calibrate` measures what they need.
    Rises with the mean and falls with the places.
    """
    if places <= 1:
        return mean
    weight = places**-search_cost
    return mean * weight / (mean * weight + 1 - mean)


def judge_tracks(
    clips: Iterable[ClipEvidence],
    thresholds: Thresholds,
    coverage: Coverage | None = None,
    settings: ScanSettings | None = None,
) -> VideoVerdict:
    """The verdict on a video, from all of its clips in any order; no clips: NO_FACE.

    A face scores as its highest run of clips does: their mean P(fake), `corrected` for the runs
    of that length that all faces together have side by side. A run is the whole of the face's
    clips, or two and more in a row which look at `settings.min_fake_s` seconds at least.
    coverage: what was looked at; too little makes REAL INCONCLUSIVE. None where that is not known.

    tracks of the result: in the order of their first clips.
    """
    settings = settings or ScanSettings()
    # A float sum depends on its order; the same clips must give the same verdict to the last bit.
    ordered = sorted(clips, key=lambda c: (c.clip, c.track, c.probability_fake, c.start_s, c.end_s))
    by_track: dict[int, list[ClipEvidence]] = {}
    for clip in ordered:
        by_track.setdefault(clip.track, []).append(clip)
    tracks = tuple(
        _judge_track(own, len(ordered), thresholds, settings.min_fake_s)
        for own in by_track.values()
    )
    if not tracks:
        return VideoVerdict(None, decide(None, thresholds), None, ())
    # One faked face makes a fake. A face that is FAKE goes before one that scores higher and is
    # too small to be called so, or any speck in the background would make it INCONCLUSIVE.
    deciding = max(tracks, key=lambda t: (t.verdict == Verdict.FAKE, t.score, -t.track))
    verdict, reasons = deciding.verdict, deciding.evidence.lacks()
    if coverage and verdict != Verdict.FAKE:
        reasons += coverage.lacks(settings.max_gap_s)
    if verdict == Verdict.REAL:
        reasons += _may_be_chance(tracks, thresholds)
    if reasons:
        verdict = Verdict.INCONCLUSIVE
    return VideoVerdict(deciding.score, verdict, deciding, tracks, tuple(reasons))


def _may_be_chance(tracks: Sequence[TrackVerdict], thresholds: Thresholds) -> list[str]:
    """A sentence where a part would be FAKE as a video of its own. That chance can explain it in
    so long a video is no reason to call it FAKE, and none to call it REAL."""
    highest = max((t.alone for t in tracks if not t.evidence.lacks()), default=0.0)
    if highest < thresholds.fake_above:
        return []
    return [
        f"A part scores {highest:.0%} and would be FAKE as a video of its own; among so many "
        "places that may be chance."
    ]


def _judge_track(
    clips: Sequence[ClipEvidence], all_clips: int, thresholds: Thresholds, min_fake_s: float
) -> TrackVerdict:
    """all_clips: of all faces."""
    score, alone, runs = _score_runs(clips, all_clips, thresholds, min_fake_s)
    evidence = Evidence.of([c.frames for c in clips], [c.face_px for c in clips])
    verdict = decide(score, thresholds, evidence)
    segments = _segments(clips, runs, thresholds.fake_above) if verdict == Verdict.FAKE else []
    return TrackVerdict(clips[0].track, score, verdict, evidence, tuple(segments), alone)


class _Runs(NamedTuple):
    """Runs clips[start:end] of a track: (R,) each."""

    score: np.ndarray
    start: np.ndarray
    end: np.ndarray


def _lengths(clips: int) -> Iterator[int]:
    """In clips, of the runs that are shorter than the track, the longest first."""
    length = clips - 1
    while length > EVERY_LENGTH:
        yield length
        length = length * 9 // 10
    yield from range(length, 1, -1)


def _score_runs(
    clips: Sequence[ClipEvidence], all_clips: int, thresholds: Thresholds, min_fake_s: float
) -> tuple[float, float, _Runs]:
    """The highest score of a run, the highest mean of one, and the runs that score FAKE, the
    longest first."""
    values = np.array([c.probability_fake for c in clips])
    sums = np.concatenate([[0.0], np.cumsum(values)])
    seconds = np.concatenate([[0.0], np.cumsum([c.end_s - c.start_s for c in clips])])
    alone = math.fsum(values) / len(clips)
    whole = corrected(alone, all_clips / len(clips), thresholds.search_cost)
    tried = [_Runs(np.array([whole]), np.array([0]), np.array([len(clips)]))]
    for length in _lengths(len(clips)):
        long_enough = seconds[length:] - seconds[:-length] >= min_fake_s - 1e-6
        if not long_enough.any():
            break
        start = np.flatnonzero(long_enough)
        means = np.clip((sums[start + length] - sums[start]) / length, 0, 1)
        alone = max(alone, float(means.max()))
        scores = corrected(means, all_clips / length, thresholds.search_cost)
        tried.append(_Runs(scores, start, start + length))
    best = max(float(runs.score.max()) for runs in tried)
    fake = [runs.score >= thresholds.fake_above for runs in tried]
    kept = (
        np.concatenate([part[high] for part, high in zip(parts, fake, strict=True)])
        for parts in zip(*tried, strict=True)
    )
    return best, alone, _Runs(*kept)


def _segments(clips: Sequence[ClipEvidence], runs: _Runs, fake_above: float) -> list[Segment]:
    """The parts that score FAKE: the highest-scoring run with the clips beside it that reach the
    threshold themselves, and so on in what is left. Of equals the longest, then the first."""
    high = [c.probability_fake >= fake_above for c in clips]
    taken = np.zeros(len(clips) + 1, bool)
    found: list[tuple[int, int, float]] = []
    while len(runs.score):
        # Sums of floats differ in their last bits by where they begin.
        best = int(np.argmax(runs.score >= runs.score.max() - 1e-12))
        first, last = int(runs.start[best]), int(runs.end[best])
        while last - first > 2 and not high[first]:
            first += 1  # a run has a least length; its ends need not be fake
        while last - first > 2 and not high[last - 1]:
            last -= 1
        while first > 0 and high[first - 1] and not taken[first - 1]:
            first -= 1
        while last < len(clips) and high[last] and not taken[last]:
            last += 1
        taken[first:last] = True
        found.append((first, last, float(runs.score[best])))
        apart = (runs.end <= first) | (runs.start >= last)
        runs = _Runs(*(part[apart] for part in runs))
    return [
        Segment(clips[first].start_s, clips[last - 1].end_s, score, last - first)
        for first, last, score in sorted(found)
    ]
