"""Calibration of P(fake): the reliability diagram's bins and the expected calibration error."""

from __future__ import annotations

import dataclasses

import numpy as np

from trainer.evaluation.labelled_scores import WeightedScores

BINS = 10  # of equal width


@dataclasses.dataclass(frozen=True)
class ReliabilityBin:
    """A bin of the reliability diagram; the means are None where it is empty."""

    low: float = dataclasses.field(metadata={"key": "from"})
    high: float = dataclasses.field(metadata={"key": "to"})
    count: int
    mean_probability: float | None
    fake_share: float | None


def bin_of(probabilities: np.ndarray, bins: int = BINS) -> np.ndarray:
    """The bin (N,) int of each probability; the last one holds 1 too."""
    return np.minimum((np.asarray(probabilities) * bins).astype(int), bins - 1)


def calibration_bins(
    labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS
) -> tuple[ReliabilityBin, ...]:
    """The reliability diagram of P(fake) (N,) against labels (N,)."""
    bin_numbers = bin_of(probabilities, bins)
    counts = np.bincount(bin_numbers, minlength=bins)
    predicted = np.bincount(bin_numbers, weights=probabilities, minlength=bins)
    fakes = np.bincount(bin_numbers, weights=labels, minlength=bins)
    return tuple(
        ReliabilityBin(
            low=i / bins,
            high=(i + 1) / bins,
            count=int(n),
            mean_probability=float(predicted[i] / n) if n else None,
            fake_share=float(fakes[i] / n) if n else None,
        )
        for i, n in enumerate(counts)
    )


def expected_calibration_error(
    labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS
) -> float:
    """How far P(fake) lies from the share of fakes, over the bins and weighted by their counts.

    Of P(fake) itself, not of the confidence in the class called as in Guo et al. 2017
    (arXiv:1706.04599), for it is P(fake) that is shown to people.
    """
    bin_numbers = bin_of(probabilities, bins)
    gaps = np.bincount(bin_numbers, weights=np.asarray(probabilities) - labels, minlength=bins)
    return float(np.abs(gaps).sum() / len(bin_numbers))


def resampled_calibration_error(table: WeightedScores, bins: int = BINS) -> np.ndarray:
    """The same of each weighting, (R,)."""
    gaps = np.zeros((len(table.scores), bins))
    gaps[np.arange(len(table.scores)), bin_of(table.scores, bins)] = table.scores - table.labels
    return np.abs(table.weights @ gaps).sum(axis=1) / table.weights.sum(axis=1)
