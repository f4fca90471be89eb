"""How good scores are: of frames, clips or videos, and of each part of the videos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn import metrics as sk

BINS = 10  # of equal width, for the calibration error and the reliability diagram
FALSE_ALARM_RATES = {"tpr_at_fpr_01": 0.01, "tpr_at_fpr_05": 0.05}
# A rate such as 0.05 times a count may come out just below the whole number that it is.
ROUNDING = 1e-9


def score_metrics(
    labels: Sequence[int] | np.ndarray,
    probabilities: Sequence[float] | np.ndarray,
    threshold: float = 0.5,
) -> dict[str, Any]:
    """Metrics of P(fake) (N,) against labels (N,), 1 = fake; called fake at or above the threshold.

    What is not defined, such as the AUC where one class is absent, is None, never NaN, and
    "not_defined" says why. Raises ValueError where a score is not a number from 0 to 1.
    """
    truth = np.asarray(labels, int)
    scores = np.asarray(probabilities, float)
    _check(truth, scores)
    called = (scores >= threshold).astype(int)
    real, fake = int((truth == 0).sum()), int((truth == 1).sum())
    matrix = np.zeros((2, 2), int)
    np.add.at(matrix, (truth, called), 1)
    return {
        "count": len(truth),
        "real": real,
        "fake": fake,
        "not_defined": undefined_reason(real, fake),
        "threshold": float(threshold),
        "confusion_matrix": matrix.tolist(),  # rows: truth real, fake; columns: called
        **_threshold_metrics(truth, called),
        **_ranking_metrics(truth, scores),
        **_probability_metrics(truth, scores),
    }


def undefined_reason(real: int, fake: int) -> str | None:
    """Why figures that compare the two classes do not exist; None where they do."""
    if not real and not fake:
        return "nothing was scored"
    if not real:
        return "there are no real ones"
    return None if fake else "there are no fake ones"


def _check(truth: np.ndarray, scores: np.ndarray) -> None:
    if truth.shape != scores.shape:
        raise ValueError(f"{len(truth)} labels and {len(scores)} scores; expected as many.")
    if not np.isfinite(scores).all():
        raise ValueError("Some scores are not finite numbers: the model is broken.")
    if len(scores) and not (scores.min() >= 0 and scores.max() <= 1):
        raise ValueError(
            f"Scores run from {scores.min()} to {scores.max()}; expected probabilities, 0 to 1."
        )


def _threshold_metrics(truth: np.ndarray, called: np.ndarray) -> dict[str, float | None]:
    """What depends on the threshold; both inputs (N,) of 0 and 1."""
    real, fake = (truth == 0).any(), (truth == 1).any()
    precision, recall, f1 = np.nan, np.nan, np.nan
    if fake:
        precision, recall, f1, _ = sk.precision_recall_fscore_support(
            truth, called, average="binary", zero_division=np.nan
        )
    return {
        "accuracy": float(sk.accuracy_score(truth, called)) if len(truth) else None,
        "balanced_accuracy": (
            float(sk.balanced_accuracy_score(truth, called)) if real and fake else None
        ),
        "precision": _number(precision),
        "recall": _number(recall),
        "f1": _number(f1),
        "false_alarm_rate": float(called[truth == 0].mean()) if real else None,
    }


def _ranking_metrics(truth: np.ndarray, scores: np.ndarray) -> dict[str, float | None]:
    """What depends on the scores' order alone."""
    if not 0 < truth.sum() < len(truth):
        return dict.fromkeys(("roc_auc", "average_precision", "eer", *FALSE_ALARM_RATES))
    return {
        "roc_auc": float(sk.roc_auc_score(truth, scores)),
        "average_precision": min(float(sk.average_precision_score(truth, scores)), 1.0),
        "eer": equal_error_rate(truth, scores),
        **{
            name: true_positive_rate(truth, scores, rate)
            for name, rate in FALSE_ALARM_RATES.items()
        },
    }


def _probability_metrics(truth: np.ndarray, scores: np.ndarray) -> dict[str, float | None]:
    """What takes the scores for probabilities."""
    if not len(truth):
        return dict.fromkeys(("log_loss", "brier", "ece"))
    return {
        "log_loss": float(sk.log_loss(truth, scores, labels=[0, 1])),
        "brier": float(sk.brier_score_loss(truth, scores, pos_label=1)),
        "ece": expected_calibration_error(truth, scores),
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def equal_error_rate(labels: np.ndarray, scores: np.ndarray) -> float:
    """The rate at which false alarms are as frequent as missed fakes.

    Where no threshold gives it, the point between two neighbours on the ROC curve, by a straight
    line. Both classes must be there.
    """
    false_alarms, found, _ = sk.roc_curve(labels, scores, drop_intermediate=False)
    excess = false_alarms + found - 1  # false alarms less misses: from -1 to 1, never falling
    after = int(np.argmax(excess >= 0))
    before = after - 1
    share = -excess[before] / (excess[after] - excess[before])
    return float(false_alarms[before] + share * (false_alarms[after] - false_alarms[before]))


def true_positive_rate(labels: np.ndarray, scores: np.ndarray, false_alarm_rate: float) -> float:
    """The largest share of fakes that a threshold finds at this rate of false alarms or less.

    Only thresholds that exist count, none in between: with 50 real videos, 1 % means no false
    alarm at all. Both classes must be there.
    """
    false_alarms, found, _ = sk.roc_curve(labels, scores, drop_intermediate=False)
    return float(found[false_alarms <= false_alarm_rate + ROUNDING].max())


def bin_of(probabilities: np.ndarray, bins: int = BINS) -> np.ndarray:
    """The bin (N,) int of each probability; the last one holds 1 too."""
    return np.minimum((np.asarray(probabilities) * bins).astype(int), bins - 1)


def calibration_bins(
    labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS
) -> list[dict[str, Any]]:
    """The reliability diagram: for each bin its bounds, count, mean P(fake) and share of fakes."""
    where = bin_of(probabilities, bins)
    counts = np.bincount(where, minlength=bins)
    predicted = np.bincount(where, weights=probabilities, minlength=bins)
    fakes = np.bincount(where, weights=labels, minlength=bins)
    return [
        {
            "from": i / bins,
            "to": (i + 1) / bins,
            "count": int(n),
            "mean_probability": float(predicted[i] / n) if n else None,
            "fake_share": float(fakes[i] / n) if n else None,
        }
        for i, n in enumerate(counts)
    ]


def expected_calibration_error(
    labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS
) -> float:
    """How far P(fake) lies from the share of fakes, over the bins and weighted by their counts.

    Of P(fake) itself, not of the confidence in the class called as in Guo et al. 2017
    (arXiv:1706.04599), for it is P(fake) that is shown to people.
    """
    where = bin_of(probabilities, bins)
    gaps = np.bincount(where, weights=np.asarray(probabilities) - labels, minlength=bins)
    return float(np.abs(gaps).sum() / len(where))
