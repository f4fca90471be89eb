"""The scoring rule: clips -> face tracks -> evidence -> verdict on a video, one for all users."""

from __future__ import annotations

import dataclasses
import enum
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pipelines.coverage import Coverage, ScanSettings

# A track with fewer frames, or with a smaller face, is not enough for FAKE or REAL. Of a face of
# 32 px the traces of an edit are a few px at most, and compression works on blocks of 8 and 16.
MIN_FRAMES = 4
MIN_FACE_PX = 32.0


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
        if not 0 <= self.search_cost < math.inf:
            raise ValueError(f"search_cost={self.search_cost}: expected 0 or more.")
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
    corrected. segments: where it is FAKE, in order of time; none of a face that is not."""

    track: int
    score: float
    verdict: Verdict
    evidence: Evidence
    segments: tuple[Segment, ...] = ()


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


def corrected(mean: float, places: float, search_cost: float) -> float:
    """P(fake) of a run of clips, from their mean, that could have lain at so many places.

    The log-odds lose search_cost * ln(places). At 1 that is Bayes' rule where one of the places
    is as likely fake as the whole video was said to be: the union bound, right for clips that are
    independent. Clips of one video are not, so `dfdetect calibrate` measures what they need.
    Rises with the mean and falls with the places.
    """
    if places <= 1 or not 0 < mean < 1:
        return mean
    odds = mean / (1 - mean) * places**-search_cost
    return odds / (1 + odds)


def judge_tracks(
    clips: Iterable[ClipEvidence],
    thresholds: Thresholds,
    coverage: Coverage | None = None,
    settings: ScanSettings | None = None,
) -> VideoVerdict:
    """The verdict on a video, from all of its clips in any order; no clips: NO_FACE.

    A face scores as its highest run of clips does: their mean P(fake), `corrected` for the runs
    of that length that all faces together have. A run is the whole of the face's clips, or two
    and more in a row which look at `settings.min_fake_s` seconds at least. coverage: what was
    looked at; too little makes REAL INCONCLUSIVE. None where that is not known.

    tracks of the result: in the order of their first clips.
    """
    settings = settings or ScanSettings()
    # A float sum depends on its order; the same clips must give the same verdict to the last bit.
    ordered = sorted(clips, key=lambda c: (c.clip, c.track, c.probability_fake))
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
        verdict = Verdict.INCONCLUSIVE if reasons else verdict
    return VideoVerdict(deciding.score, verdict, deciding, tracks, tuple(reasons))


def _judge_track(
    clips: Sequence[ClipEvidence], all_clips: int, thresholds: Thresholds, min_fake_s: float
) -> TrackVerdict:
    """all_clips: of all faces."""
    runs = _Runs(clips, all_clips, thresholds.search_cost, min_fake_s)
    score = runs.best(0, len(clips)).score
    evidence = Evidence.of([c.frames for c in clips], [c.face_px for c in clips])
    verdict = decide(score, thresholds, evidence)
    segments = runs.segments(thresholds.fake_above) if verdict == Verdict.FAKE else ()
    return TrackVerdict(clips[0].track, score, verdict, evidence, tuple(segments))


class _Run(NamedTuple):
    """clips[start:end] of a track."""

    score: float
    start: int
    end: int


class _Runs:
    """The runs of a track's clips, and how they score."""

    def __init__(
        self,
        clips: Sequence[ClipEvidence],
        all_clips: int,
        search_cost: float,
        min_fake_s: float,
    ):
        self._clips, self._places, self._cost = clips, all_clips, search_cost
        self._min_fake_s = min_fake_s
        self._values = np.array([c.probability_fake for c in clips])
        self._sums = np.concatenate([[0.0], np.cumsum(self._values)])
        self._seconds = np.concatenate([[0.0], np.cumsum([c.end_s - c.start_s for c in clips])])

    def best(self, start: int, end: int) -> _Run:
        """The highest-scoring run within clips[start:end], of equals the longest, then the first;
        of score -1 where none is long enough."""
        best = _Run(-1.0, start, end)
        for length in range(end - start, 0, -1):
            if length == len(self._clips):
                mean = math.fsum(self._values) / length
                best = _Run(corrected(mean, self._places / length, self._cost), 0, length)
                continue
            if length < 2:
                break
            at = slice(start, end - length + 1), slice(start + length, end + 1)
            long_enough = self._seconds[at[1]] - self._seconds[at[0]] >= self._min_fake_s - 1e-6
            if not long_enough.any():
                break
            sums = np.where(long_enough, self._sums[at[1]] - self._sums[at[0]], -1.0)
            first = int(sums.argmax())
            mean = min(max(float(sums[first]) / length, 0.0), 1.0)
            score = corrected(mean, self._places / length, self._cost)
            # Sums of floats differ in their last bits by where they begin.
            if score > best.score + 1e-12:
                best = _Run(score, start + first, start + first + length)
        return best

    def segments(self, fake_above: float) -> list[Segment]:
        """The parts that score FAKE: the highest-scoring run with the clips beside it that reach
        the threshold themselves, and so on in what is left."""
        found: list[tuple[int, int, float]] = []
        left = [(0, len(self._clips))]
        while left:
            start, end = left.pop()
            run = self.best(start, end) if end > start else _Run(-1.0, start, end)
            if run.score < fake_above:
                continue
            first, last = run.start, run.end
            while last - first > 2 and self._values[first] < fake_above:
                first += 1  # a run has a least length; its ends need not be fake
            while last - first > 2 and self._values[last - 1] < fake_above:
                last -= 1
            while first > start and self._values[first - 1] >= fake_above:
                first -= 1
            while last < end and self._values[last] >= fake_above:
                last += 1
            found.append((first, last, run.score))
            left += [(start, first), (last, end)]
        return [
            Segment(self._clips[first].start_s, self._clips[last - 1].end_s, score, last - first)
            for first, last, score in sorted(found)
        ]
