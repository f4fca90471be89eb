"""From scores of clips to the verdict on a video: one rule for every user of the system."""

from __future__ import annotations

import dataclasses
import enum
import statistics
from collections.abc import Mapping, Sequence
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
        known = [size for size in face_px if size is not None]
        return cls(sum(frames), statistics.median(known) if known else None)

    def lacks(self) -> list[str]:
        """Sentences that say why this is too little; none where it is enough."""
        found = []
        if self.frames < MIN_FRAMES:
            frames = f"{self.frames} frame{'' if self.frames == 1 else 's'}"
            found.append(f"Only {frames} with a usable face; a verdict needs {MIN_FRAMES}.")
        if self.face_px is not None and self.face_px < MIN_FACE_PX:
            found.append(
                f"The face is {self.face_px:.0f} px wide; a verdict needs {MIN_FACE_PX:.0f} px."
            )
        return found


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
