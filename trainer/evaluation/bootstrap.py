"""How sure a figure is: its 95 % interval by bootstrap over source videos.

A source video and all fakes made of it are drawn together (Efron & Tibshirani 1993, ch. 8), for
they share a scene, a person and a camera, and so do their frames and clips: drawing those one by
one would give intervals that are too narrow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from trainer.evaluation.metrics import BINS, FALSE_ALARM_RATES, ROUNDING, bin_of

RESAMPLES = 1000
LEVEL = 0.95
BLOCK = 2_000_000  # weights held at a time
SMALLEST_P = float(np.finfo(float).eps)  # as in scikit-learn: at 0 the log-loss is infinite


@dataclasses.dataclass(frozen=True)
class Bootstrap:
    """How resamples are drawn. The same seed and sources give the same ones, whatever is scored."""

    resamples: int = RESAMPLES
    seed: int = 0

    def draw(
        self,
        labels: Sequence[int] | np.ndarray,
        scores: Sequence[float] | np.ndarray,
        sources: Sequence[str] | np.ndarray,
        threshold: float,
    ) -> dict[str, np.ndarray]:
        """Each metric of `weighted_metrics` in each resample, (resamples,); all inputs (N,)."""
        units, unit_of = np.unique(np.asarray(sources), return_inverse=True)
        if not len(units):
            return {}
        blocks = [
            weighted_metrics(labels, scores, counts[:, unit_of], threshold)
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
        labels: Sequence[int] | np.ndarray,
        scores: Sequence[float] | np.ndarray,
        sources: Sequence[str] | np.ndarray,
        threshold: float,
    ) -> dict[str, list[float] | None]:
        """[low, high] of each metric; None where it is not defined. All inputs (N,)."""
        if len(set(sources)) < 2:  # every resample would be the same
            return {}
        drawn = self.draw(labels, scores, sources, threshold)
        return {name: percentile_interval(values) for name, values in drawn.items()}


def percentile_interval(values: np.ndarray) -> list[float] | None:
    """The middle 95 % of a figure over its resamples (R,), of which NaN were not defined.

    None where it is not defined in most of them.
    """
    defined = values[np.isfinite(values)]
    if not len(defined) or 2 * len(defined) < len(values):
        return None
    outside = (1 - LEVEL) / 2 * 100
    return np.percentile(defined, [outside, 100 - outside]).tolist()


def weighted_metrics(
    labels: Sequence[int] | np.ndarray,
    scores: Sequence[float] | np.ndarray,
    weights: np.ndarray,
    threshold: float,
) -> dict[str, np.ndarray]:
    """The metrics of `score_metrics` for R weightings at once: labels and scores (N,), weights
    (R, N) -> (R,) for each; NaN where one is not defined.

    What a weight of 2 gives is what the row twice would give. Sorting once and summing up makes
    1000 resamples of 5000 videos a matter of seconds.
    """
    truth, values = np.asarray(labels, float), np.asarray(scores, float)
    weights = np.asarray(weights, float)
    true, false, called = _curves(truth, values, weights, threshold)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            **_of_threshold(true, false, called),
            **_of_ranking(true, false),
            **_of_probabilities(truth, values, weights),
        }


def _curves(
    truth: np.ndarray, scores: np.ndarray, weights: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray, int]:
    """Weights of the fakes, and of the real ones, called fake at each of G distinct scores from
    the highest down: two (R, G + 1), which begin with 0; and which of them is the threshold's."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # of each group of equals
    sorted_weights = weights[:, order]
    all_called = np.cumsum(sorted_weights, axis=1)[:, last]
    sorted_weights *= truth[order]
    true = np.cumsum(sorted_weights, axis=1)[:, last]
    start = np.zeros((len(weights), 1))
    called = int((ranked[last] >= threshold).sum())
    return np.hstack([start, true]), np.hstack([start, all_called - true]), called


def _of_threshold(true: np.ndarray, false: np.ndarray, called: int) -> dict[str, np.ndarray]:
    tp, fp = true[:, called], false[:, called]
    fakes, reals = true[:, -1], false[:, -1]
    recall, alarms = tp / fakes, fp / reals
    no_fakes = np.where(fakes > 0, 0.0, np.nan)  # scikit-learn's figures of a class need it there
    return {
        "accuracy": (tp + reals - fp) / (fakes + reals),
        "balanced_accuracy": (recall + 1 - alarms) / 2,
        "precision": tp / (tp + fp) + no_fakes,
        "recall": recall,
        "f1": 2 * tp / (tp + fp + fakes) + no_fakes,
        "false_alarm_rate": alarms,
    }


def _of_ranking(true: np.ndarray, false: np.ndarray) -> dict[str, np.ndarray]:
    fakes, reals = true[:, -1:], false[:, -1:]
    both = np.where((fakes > 0) & (reals > 0), 0.0, np.nan)[:, 0]
    true_steps, false_steps = np.diff(true, axis=1), np.diff(false, axis=1)
    area = (false_steps * (true[:, 1:] + true[:, :-1]) / 2).sum(axis=1)
    called = true[:, 1:] + false[:, 1:]
    precision = np.divide(true[:, 1:], called, out=np.zeros_like(called), where=called > 0)
    found, alarms = true / fakes, false / reals
    at_rate = {
        name: np.where(alarms <= rate + ROUNDING, found, 0).max(axis=1) + both
        for name, rate in FALSE_ALARM_RATES.items()
    }
    return {
        "roc_auc": area / (fakes * reals)[:, 0],
        "average_precision": np.minimum((true_steps * precision).sum(axis=1) / fakes[:, 0], 1)
        + both,
        "eer": _equal_error_rates(found, alarms) + both,
        **at_rate,
    }


def _equal_error_rates(found: np.ndarray, alarms: np.ndarray) -> np.ndarray:
    """(R, G + 1) twice -> (R,), as `trainer.evaluation.metrics.equal_error_rate` defines it."""
    excess = found + alarms - 1
    after = np.maximum(np.argmax(excess >= 0, axis=1), 1)
    rows = np.arange(len(excess))
    low, high = excess[rows, after - 1], excess[rows, after]
    first, second = alarms[rows, after - 1], alarms[rows, after]
    return first - low / (high - low) * (second - first)


def _of_probabilities(
    truth: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    total = weights.sum(axis=1)
    clipped = np.clip(scores, SMALLEST_P, 1 - SMALLEST_P)
    losses = -np.log(np.where(truth == 1, clipped, 1 - clipped))
    gaps = np.zeros((len(scores), BINS))
    gaps[np.arange(len(scores)), bin_of(scores)] = scores - truth
    return {
        "log_loss": weights @ losses / total,
        "brier": weights @ (scores - truth) ** 2 / total,
        "ece": np.abs(weights @ gaps).sum(axis=1) / total,
    }


def paired_difference(
    first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Second less first in each resample; both must come from one Bootstrap and one set of
    sources, so that a resample is the same videos for both."""
    return {name: second[name] - first[name] for name in first}
