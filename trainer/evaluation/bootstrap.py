"""Bootstrap confidence intervals of metrics over source videos, and paired differences.

A source video and all fakes made of it are drawn together (Efron & Tibshirani 1993, ch. 8), for
they share a scene, a person and a camera, and so do their frames and clips: drawing those one by
one would give intervals that are too narrow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping

import numpy as np

from trainer.evaluation.labelled_scores import LabelledScores, WeightedScores
from trainer.evaluation.metrics import METRICS, Metric

RESAMPLES = 1000
LEVEL = 0.95
BLOCK = 2_000_000  # weights held at a time

Interval = tuple[float, float]  # its bounds


@dataclasses.dataclass(frozen=True)
class Bootstrap:
    """How resamples are drawn. The same seed and sources give the same ones, whatever is scored."""

    resamples: int = RESAMPLES
    seed: int = 0

    def draw(
        self,
        scores: LabelledScores,
        metrics: Collection[Metric] | None = None,
    ) -> dict[str, np.ndarray]:
        """Each metric, of METRICS unless given, in each resample, (resamples,)."""
        units, unit_of = np.unique(scores.sources, return_inverse=True)
        if not len(units):
            return {}
        blocks = [
            weighted_metrics(scores, counts[:, unit_of], metrics)
            for counts in self._counts(len(units), len(unit_of))
        ]
        return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}

    def _counts(self, units: int, rows: int) -> Iterator[np.ndarray]:
        """How often each unit is drawn: (resamples of a block, units)."""
        rng = np.random.default_rng(self.seed)
        at_once = max(1, BLOCK // rows)
        for start in range(0, self.resamples, at_once):
            count = min(at_once, self.resamples - start)
            drawn = rng.integers(units, size=(count, units))
            drawn += np.arange(count)[:, None] * units
            yield np.bincount(drawn.ravel(), minlength=count * units).reshape(count, units)

    def intervals(
        self,
        scores: LabelledScores,
        metrics: Collection[Metric] | None = None,
    ) -> dict[str, Interval | None]:
        """The interval of each metric; None where it is not defined, and none at all of a single
        source."""
        if scores.source_count < 2:  # every resample would be the same
            return {}
        drawn = self.draw(scores, metrics)
        return {name: percentile_interval(values) for name, values in drawn.items()}


def percentile_interval(values: np.ndarray) -> Interval | None:
    """The middle 95 % of a metric over its resamples (R,), of which NaN were not defined.

    None where it is not defined in most of them.
    """
    defined = values[np.isfinite(values)]
    if not len(defined) or 2 * len(defined) < len(values):
        return None
    outside = (1 - LEVEL) / 2 * 100
    low, high = np.percentile(defined, [outside, 100 - outside]).tolist()
    return low, high


def weighted_metrics(
    scores: LabelledScores, weights: np.ndarray, metrics: Collection[Metric] | None = None
) -> dict[str, np.ndarray]:
    """Metrics, of METRICS unless given, for R weightings (R, N) of N scores at once: (R,) for
    each; NaN where one is not defined."""
    table = WeightedScores(
        scores.labels.astype(float), scores.scores, np.asarray(weights, float), scores.threshold
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            metric.name: np.where(table.has(metric.needs), metric.resample(table), np.nan)
            for metric in (METRICS.values() if metrics is None else metrics)
        }


def paired_difference(
    first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Second less first in each resample; both must come from one Bootstrap and one set of
    sources, so that a resample is the same videos for both."""
    return {name: second[name] - first[name] for name in first}
