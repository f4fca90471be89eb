"""From scores of clips to the verdict on a video: one rule for every user of the system."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import Any


class Verdict(enum.StrEnum):
    FAKE = "FAKE"
    REAL = "REAL"
    INCONCLUSIVE = "INCONCLUSIVE"  # the score lies between the two thresholds
    NO_FACE = "NO_FACE"  # there was nothing to judge


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


def video_score(track_ids: Sequence[int], probabilities: Sequence[float]) -> float:
    """P(fake) of a video: the highest track decides, for one faked face makes a fake.

    Raises ValueError where there are no clips or the two lengths differ.
    """
    scores = track_scores(track_ids, probabilities)
    if not scores:
        raise ValueError("A video without clips has no score.")
    return max(scores.values())


def decide(score: float | None, thresholds: Thresholds) -> Verdict:
    """The verdict on P(fake); None means that no face was found."""
    if score is None:
        return Verdict.NO_FACE
    if score >= thresholds.fake_above:
        return Verdict.FAKE
    return Verdict.REAL if score <= thresholds.real_below else Verdict.INCONCLUSIVE
