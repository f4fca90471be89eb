"""The scoring rule: clips -> face tracks -> evidence -> verdict on a video, one for all users."""

from __future__ import annotations

import dataclasses
import enum
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

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

    calibrated: whether they, and P(fake), were fitted to a validation split.
    """

    real_below: float = 0.4
    fake_above: float = 0.6
    calibrated: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.real_below < self.fake_above <= 1:
            raise ValueError(
                f"real_below={self.real_below}, fake_above={self.fake_above}: expected "
                "0 <= real_below < fake_above <= 1."
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Thresholds:
        """From a model's verdict.json; what else it holds is not read."""
        calibrated = values.get("calibration") is not None
        return cls(float(values["real_below"]), float(values["fake_above"]), calibrated)


def track_scores(track_ids: Sequence[int], probabilities: Sequence[float]) -> dict[int, float]:
    """P(fake) of each face track: the mean over its clips.

    Raises ValueError where the two lengths differ.
    """
    tracks: dict[int, list[float]] = {}
    for track, probability in zip(track_ids, probabilities, strict=True):
        tracks.setdefault(track, []).append(float(probability))
    return {track: sum(scores) / len(scores) for track, scores in tracks.items()}


def deciding_track(scores: Mapping[int, float], verdicts: Mapping[int, Verdict]) -> int:
    """The track whose score and verdict are the video's, for one faked face makes a fake: that
    with the highest score, of equals the first.

    A face that is FAKE goes before one that scores higher and is too small to be called so, or
    any speck in the background would make it INCONCLUSIVE.
    """
    return max(scores, key=lambda track: (verdicts[track] == Verdict.FAKE, scores[track], -track))


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

    clip: its index in the video. probability_fake: calibrated, 0 to 1. frames: those with the
    face. face_px: as in Evidence, of this clip.
    """

    clip: int
    track: int
    probability_fake: float
    frames: int
    face_px: float | None = None


@dataclasses.dataclass(frozen=True)
class TrackVerdict:
    """The verdict on one face track. score: P(fake), the mean over its clips."""

    track: int
    score: float
    verdict: Verdict
    evidence: Evidence


@dataclasses.dataclass(frozen=True)
class VideoVerdict:
    """The verdict on a video. deciding: the track whose score and verdict are the video's.

    Without a track the verdict is NO_FACE, and score and deciding are None.
    """

    score: float | None
    verdict: Verdict
    deciding: TrackVerdict | None
    tracks: tuple[TrackVerdict, ...]


def judge_tracks(clips: Iterable[ClipEvidence], thresholds: Thresholds) -> VideoVerdict:
    """The verdict on a video, from all of its clips in any order; no clips: NO_FACE.

    tracks of the result: in the order of their first clips.
    """
    # A float sum depends on its order; the same clips must give the same verdict to the last bit.
    ordered = sorted(clips, key=lambda c: (c.clip, c.track, c.probability_fake))
    by_track: dict[int, list[ClipEvidence]] = {}
    for clip in ordered:
        by_track.setdefault(clip.track, []).append(clip)
    scores = track_scores([c.track for c in ordered], [c.probability_fake for c in ordered])
    tracks = {}
    for track, own in by_track.items():
        evidence = Evidence.of([c.frames for c in own], [c.face_px for c in own])
        verdict = decide(scores[track], thresholds, evidence)
        tracks[track] = TrackVerdict(track, scores[track], verdict, evidence)
    if not tracks:
        return VideoVerdict(None, decide(None, thresholds), None, ())
    deciding = tracks[deciding_track(scores, {n: t.verdict for n, t in tracks.items()})]
    return VideoVerdict(deciding.score, deciding.verdict, deciding, tuple(tracks.values()))
