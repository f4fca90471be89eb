"""Calibration: temperature scaling of logits to P(fake), and thresholds of the verdict.

One temperature for all logits: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017
(arXiv:1706.04599). Of two clips the same one keeps the higher score. It corrects no bias: P(fake)
is meant for videos of which as many are fake as in the split that it was fitted to.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.clip import FAKE, REAL
from pipelines.verdict import Thresholds

TEMPERATURES = (0.05, 20.0)  # no fit goes beyond them
MAX_FPR = 0.05  # of real videos called FAKE, by default


@dataclasses.dataclass(frozen=True)
class Calibration:
    """How a model's logits become probabilities and verdicts, and the split this was fitted on.

    search_cost: of `Thresholds`; measured_on: real people or sources that it was measured on,
    none of which is the union bound, 1. sampled: what was looked at in each video.

    Raises ValueError for a temperature or thresholds that cannot be.
    """

    temperature: float  # P(fake) = sigmoid(logit / temperature)
    real_below: float  # a video is REAL at or below it
    fake_above: float  # and FAKE at or above it
    max_fpr: float  # the share of real videos that was allowed to be called FAKE
    split: str
    videos: int
    fake_videos: int
    false_alarm_rate: float  # share of the split's real videos that are called FAKE
    detection_rate: float  # share of its fakes that are called FAKE
    miss_rate: float  # share of its fakes that are called REAL
    inconclusive_rate: float  # share of its videos that are called neither
    log_loss_before: float  # of its clips at temperature 1, each video weighing the same
    log_loss_after: float
    search_cost: float = Thresholds.search_cost
    measured_on: int = 0
    sampled: str = ""
    model_sha256: str = ""  # of the model file it was fitted for

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature is {self.temperature}; it must be above 0 and finite.")
        _ = self.thresholds  # checks itself

    @property
    def thresholds(self) -> Thresholds:
        return Thresholds(self.real_below, self.fake_above, True, self.search_cost)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """The inverse of `to_dict`. Raises ValueError where fields lack or are unknown."""
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"This is no calibration: {error}.") from error


def apply(logits: Sequence[float] | np.ndarray, temperature: float) -> np.ndarray:
    """P(fake), float64 of the logits' shape: sigmoid(logit / temperature)."""
    from scipy.special import expit  # start-up: `dfdetect calibrate --help` needs no SciPy

    return expit(np.asarray(logits, float) / temperature)


def log_loss(
    logits: Sequence[float] | np.ndarray,
    labels: Sequence[int] | np.ndarray,
    temperature: float = 1.0,
    weights: Sequence[float] | np.ndarray | None = None,
) -> float:
    """Mean negative log-likelihood in nats; finite however large the logits are."""
    signed = np.where(np.asarray(labels) == FAKE, 1.0, -1.0) * np.asarray(logits, float)
    return float(np.average(np.logaddexp(0.0, -signed / temperature), weights=weights))


def fit_temperature(
    logits: Sequence[float] | np.ndarray,
    labels: Sequence[int] | np.ndarray,
    weights: Sequence[float] | np.ndarray | None = None,
) -> float:
    """The temperature with the lowest log-loss of sigmoid(logit / temperature), 0.05 to 20.

    The loss is convex in 1 / temperature, so the root of its slope is the minimum. Where the
    sign of the logits tells the classes apart without an error there is none: the loss would
    fall for ever. Then, and wherever the minimum claims more, the temperature is that at which
    the mean log-loss is log((n + 2) / (n + 1)): by Laplace's rule of succession, n samples
    without an error show a confidence of (n + 1) / (n + 2) and no more.

    weights: how much each sample counts, their sum being n; 1 unless given. Raises ValueError
    where a logit is not finite or there is none.
    """
    from scipy.optimize import brentq  # start-up, as above

    z, y = np.asarray(logits, float), np.asarray(labels, float)
    w = np.ones_like(z) if weights is None else np.asarray(weights, float)
    if not len(z):
        raise ValueError("There are no logits to fit a temperature to.")
    if not np.isfinite(z).all():
        raise ValueError("Some logits are not finite numbers: the model is broken.")

    def slope(inverse: float) -> float:
        return float(np.average((apply(z, 1 / inverse) - y) * z, weights=w))

    def surplus(inverse: float) -> float:
        return log_loss(z, y, 1 / inverse, w) - math.log1p(1 / (w.sum() + 1))

    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    if not z.any():
        return 1.0  # every temperature fits alike
    if slope(low) >= 0:  # the logits say nothing, or the contrary of the truth
        return TEMPERATURES[1]
    best = high if slope(high) <= 0 else brentq(slope, low, high)
    if surplus(best) < 0:
        best = low if surplus(low) <= 0 else brentq(surplus, low, best)
    return 1 / best


def choose_thresholds(
    scores: Sequence[float] | np.ndarray, labels: Sequence[int] | np.ndarray, max_fpr: float
) -> tuple[float, float]:
    """(real_below, fake_above) for P(fake) of videos: REAL at or below, FAKE at or above.

    At most the share `max_fpr` of the real videos is called FAKE, and as much of the fakes REAL:
    floor(max_fpr * n) videos, so none of fewer than 1 / max_fpr. This sets two marks: the highest
    real score that must not be called FAKE, and the lowest fake score that must not be called
    REAL.

    - They overlap, as they mostly do: fake_above is the smallest threshold above the first mark,
      real_below the greatest below the second, each half way to the next score, since every
      threshold between two neighbours makes the same calls. What lies between is INCONCLUSIVE;
      of a model that mixes the classes up that is nearly everything.
    - There is a gap between them: INCONCLUSIVE is its middle half. A quarter goes to each class,
      since the lowest fake of a sample is not the lowest there is.

    Always 0 <= real_below < fake_above <= 1. The one case where the rate is not kept: too many
    real videos at a score of exactly 1 (or fakes at 0), beyond which no threshold lies. Raises
    ValueError without both classes, or for a score or share that is none.
    """
    values, truth = np.asarray(scores, float), np.asarray(labels)
    check_share(max_fpr)
    if not ((values >= 0) & (values <= 1)).all():  # also catches NaN
        raise ValueError("Some scores are not from 0 to 1: the model is broken.")
    real, fake = np.sort(values[truth == REAL]), np.sort(values[truth == FAKE])
    if not len(real) or not len(fake):
        raise ValueError(
            f"There are {len(real)} real and {len(fake)} fake videos; thresholds need both."
        )
    top = float(real[-1 - _allowed(max_fpr, len(real))])
    bottom = float(fake[_allowed(max_fpr, len(fake))])
    if top < bottom:
        quarter = (bottom - top) / 4
        inner = top + quarter, bottom - quarter
        return inner if inner[0] < inner[1] else (top, bottom)  # neighbouring floats
    above = min(values[values > top], default=1.0)
    below = max(values[values < bottom], default=0.0)
    return _towards(bottom, float(below)), _towards(top, float(above))


def check_share(max_fpr: float) -> None:
    if not 0 <= max_fpr < 1:
        raise ValueError(f"max_fpr is {max_fpr}; expected a share from 0 to below 1.")


def _allowed(share: float, count: int) -> int:
    """How many of so many are at most that share; 0.29 of 100 are 29, whatever floats say."""
    return min(math.floor(share * count + 1e-9), count - 1)


def _towards(mark: float, neighbour: float) -> float:
    """Half way, or the neighbour where no number lies between."""
    middle = (mark + neighbour) / 2
    return neighbour if middle == mark else middle


def sha256_of(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
