"""P(fake) with labels, as scored and as weighted resamples: what metrics are computed from."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from functools import cached_property

import numpy as np

from pipelines.clip import FAKE, REAL
from trainer.evaluation.scored import ScoredVideo


@dataclasses.dataclass(frozen=True, eq=False)
class LabelledScores:
    """Labels (N,) int, 1 = fake, and P(fake) (N,) float; called fake at or above the threshold.

    sources: (N,) strings, the source video that each is made of. Raises ValueError where a score
    is not a number from 0 to 1.
    """

    labels: np.ndarray
    scores: np.ndarray
    threshold: float
    sources: np.ndarray

    def __post_init__(self) -> None:
        labels, scores = self.labels, self.scores
        if labels.shape != scores.shape:
            raise ValueError(f"{len(labels)} labels and {len(scores)} scores; expected as many.")
        if not np.isfinite(scores).all():
            raise ValueError("Some scores are not finite numbers: the model is broken.")
        if len(scores) and not (scores.min() >= 0 and scores.max() <= 1):
            raise ValueError(
                f"Scores run from {scores.min()} to {scores.max()}; expected probabilities, 0 to 1."
            )

    @classmethod
    def of(
        cls,
        labels: Sequence[int] | np.ndarray,
        scores: Sequence[float] | np.ndarray,
        threshold: float = 0.5,
        sources: Sequence[str] | np.ndarray | None = None,
    ) -> LabelledScores:
        """sources: each of one of its own unless given."""
        if sources is None:
            sources = np.arange(len(labels)).astype(str)
        return cls(
            np.asarray(labels, int),
            np.asarray(scores, float),
            float(threshold),
            np.asarray(sources, str),
        )

    @classmethod
    def of_videos(
        cls,
        videos: Sequence[ScoredVideo],
        threshold: float,
        scores: Sequence[float] | np.ndarray | None = None,
    ) -> LabelledScores:
        """The videos that have a score; with other scores than their own where given."""
        scored = [video for video in videos if video.score is not None]
        return cls.of(
            [video.video.label for video in scored],
            [video.score for video in scored if video.score is not None]
            if scores is None
            else scores,
            threshold,
            [video.video.source_key for video in scored],
        )

    @property
    def source_count(self) -> int:
        return len(set(self.sources))

    @cached_property
    def called(self) -> np.ndarray:
        """(N,) int, 1 where called fake."""
        return (self.scores >= self.threshold).astype(int)

    def count(self, label: int) -> int:
        return int((self.labels == label).sum())

    def has(self, classes: Collection[int]) -> bool:
        """Whether there is a score at all, and one of each of the classes."""
        return len(self.labels) > 0 and all(self.count(label) for label in classes)

    def confusion_matrix(self) -> np.ndarray:
        """(2, 2) int; rows: truth real, fake; columns: not called, called fake."""
        matrix = np.zeros((2, 2), int)
        np.add.at(matrix, (self.labels, self.called), 1)
        return matrix


@dataclasses.dataclass(frozen=True, eq=False)
class WeightedScores:
    """Labelled scores for R weightings at once: labels and scores (N,), weights (R, N), float.

    What a weight of 2 gives is what the row twice would give. Sorting once and summing up makes
    1000 resamples of 5000 videos a matter of a second. A rate of a class that has no weight is
    NaN.
    """

    labels: np.ndarray
    scores: np.ndarray
    weights: np.ndarray
    threshold: float

    @cached_property
    def _order(self) -> np.ndarray:
        """Rows from the highest score down, (N,)."""
        return np.argsort(-self.scores, kind="stable")

    @cached_property
    def _last(self) -> np.ndarray:
        """Of each of G groups of equal scores in that order, the last row, (G,)."""
        ranked = self.scores[self._order]
        return np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)

    @cached_property
    def _curves(self) -> tuple[np.ndarray, np.ndarray]:
        sorted_weights = self.weights[:, self._order]
        called = np.cumsum(sorted_weights, axis=1)[:, self._last]
        sorted_weights *= self.labels[self._order]
        true = np.cumsum(sorted_weights, axis=1)[:, self._last]
        start = np.zeros((len(self.weights), 1))
        return np.hstack([start, true]), np.hstack([start, called - true])

    @property
    def true_positives(self) -> np.ndarray:
        """Weight of the fakes called fake at each of G distinct scores from the highest down:
        (R, G + 1), beginning with 0."""
        return self._curves[0]

    @property
    def false_positives(self) -> np.ndarray:
        """The same of the real ones."""
        return self._curves[1]

    @cached_property
    def true_positive_rates(self) -> np.ndarray:
        """(R, G + 1)."""
        return self.true_positives / self.true_positives[:, -1:]

    @cached_property
    def false_positive_rates(self) -> np.ndarray:
        """(R, G + 1)."""
        return self.false_positives / self.false_positives[:, -1:]

    @cached_property
    def _at_threshold(self) -> int:
        """Which point of the curves is the threshold's."""
        return int((self.scores[self._order][self._last] >= self.threshold).sum())

    @property
    def tp(self) -> np.ndarray:
        """Weight of the fakes called fake at the threshold, (R,)."""
        return self.true_positives[:, self._at_threshold]

    @property
    def fp(self) -> np.ndarray:
        """Weight of the real ones called fake at the threshold, (R,)."""
        return self.false_positives[:, self._at_threshold]

    @property
    def fakes(self) -> np.ndarray:
        """(R,)."""
        return self.true_positives[:, -1]

    @property
    def reals(self) -> np.ndarray:
        """(R,)."""
        return self.false_positives[:, -1]

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Weighted means (R,) of the rows' values (N,)."""
        return self.weights @ values / self.weights.sum(axis=1)

    def has(self, classes: Collection[int]) -> np.ndarray:
        """In which weightings each of the classes has weight, (R,) bool."""
        weights = {FAKE: self.fakes, REAL: self.reals}
        return np.logical_and.reduce(
            [self.fakes + self.reals > 0, *(weights[label] > 0 for label in classes)]
        )
