"""Metrics of P(fake) against labels: METRICS, the one table that every list of them is made from.

A metric is computed twice: of the scores as they are, by scikit-learn, and vectorised over the
bootstrap's resamples, where scikit-learn would take minutes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from sklearn import metrics as sk

from pipelines.clip import FAKE, REAL
from trainer.evaluation.labelled_scores import LabelledScores, WeightedScores
from trainer.evaluation.reliability import expected_calibration_error, resampled_calibration_error

# A rate such as 0.05 times a count may come out just below the whole number that it is.
ROUNDING = 1e-9
SMALLEST_P = float(np.finfo(float).eps)  # as in scikit-learn: at 0 the log-loss is infinite


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric of P(fake) against labels.

    compute: its value, NaN where it is not defined though all classes that it needs are there.
    resample: the same of each of R weightings, (R,).
    """

    name: str  # its key in metrics.json
    title: str  # what people call it; a longer or second name in brackets
    explanation: str  # for docs/evaluation.md
    compute: Callable[[LabelledScores], float]
    resample: Callable[[WeightedScores], np.ndarray]
    needs: tuple[int, ...] = (REAL, FAKE)  # classes without which it is not defined
    in_slices: bool = False  # whether metrics.json has it for slices too
    headline: bool = False  # on a card at the top of the report
    printed: bool = False  # in the terminal
    slice_column: bool = False  # in the report's table of slices
    dataset_column: bool = False  # in the report's table across data sets
    hub_type: str | None = None  # the type of metric that Hugging Face knows, for the model card

    @property
    def short_title(self) -> str:
        """The title without what stands in brackets."""
        return self.title.partition(" (")[0]


def equal_error_rate(labels: np.ndarray, scores: np.ndarray) -> float:
    """The rate at which false alarms are as frequent as missed fakes.

    Where no threshold gives it, the point between two neighbours on the ROC curve, by a straight
    line. Both classes must be there.
    """
    fpr, tpr, _ = sk.roc_curve(labels, scores, drop_intermediate=False)
    excess = fpr + tpr - 1  # false alarms less misses: from -1 to 1, never falling
    after = int(np.argmax(excess >= 0))
    before = after - 1
    share = -excess[before] / (excess[after] - excess[before])
    return float(fpr[before] + share * (fpr[after] - fpr[before]))


def _resampled_equal_error_rate(table: WeightedScores) -> np.ndarray:
    fpr = table.false_positive_rates
    excess = table.true_positive_rates + fpr - 1
    after = np.maximum(np.argmax(excess >= 0, axis=1), 1)
    rows = np.arange(len(excess))
    low, high = excess[rows, after - 1], excess[rows, after]
    first, second = fpr[rows, after - 1], fpr[rows, after]
    return first - low / (high - low) * (second - first)


def true_positive_rate(labels: np.ndarray, scores: np.ndarray, false_alarm_rate: float) -> float:
    """The largest share of fakes that a threshold finds at this rate of false alarms or less.

    Only thresholds that exist count, none in between: with 50 real videos, 1 % means no false
    alarm at all. Both classes must be there.
    """
    fpr, tpr, _ = sk.roc_curve(labels, scores, drop_intermediate=False)
    return float(tpr[fpr <= false_alarm_rate + ROUNDING].max())


def _resampled_true_positive_rate(table: WeightedScores, false_alarm_rate: float) -> np.ndarray:
    allowed = table.false_positive_rates <= false_alarm_rate + ROUNDING
    return np.where(allowed, table.true_positive_rates, 0).max(axis=1)


def _resampled_roc_auc(table: WeightedScores) -> np.ndarray:
    true, widths = table.true_positives, np.diff(table.false_positives, axis=1)
    area = (widths * (true[:, 1:] + true[:, :-1]) / 2).sum(axis=1)
    return area / (table.fakes * table.reals)


def _resampled_average_precision(table: WeightedScores) -> np.ndarray:
    true = table.true_positives
    called = true[:, 1:] + table.false_positives[:, 1:]
    precision = np.divide(true[:, 1:], called, out=np.zeros_like(called), where=called > 0)
    sums = (np.diff(true, axis=1) * precision).sum(axis=1)
    return np.minimum(sums / table.fakes, 1)  # a sum of floats may pass 1


def _resampled_log_loss(table: WeightedScores) -> np.ndarray:
    clipped = np.clip(table.scores, SMALLEST_P, 1 - SMALLEST_P)
    return table.mean(-np.log(np.where(table.labels == FAKE, clipped, 1 - clipped)))


ROC_AUC = Metric(
    "roc_auc",
    "ROC-AUC",
    "Area under the ROC curve: the share of pairs of a real and a fake one in which the fake has "
    "the higher score.",
    compute=lambda table: sk.roc_auc_score(table.labels, table.scores),
    resample=_resampled_roc_auc,
    in_slices=True,
    headline=True,
    printed=True,
    slice_column=True,
    dataset_column=True,
    hub_type="roc_auc",
)
AVERAGE_PRECISION = Metric(
    "average_precision",
    "PR-AUC (average precision)",
    "Mean precision over the recalls, without interpolation. Depends on the share of fakes.",
    compute=lambda table: min(sk.average_precision_score(table.labels, table.scores), 1.0),
    resample=_resampled_average_precision,
    in_slices=True,
    hub_type="average_precision",
)
EER = Metric(
    "eer",
    "equal error rate",
    "The rate at which false alarms are as frequent as misses; between two thresholds by a "
    "straight line.",
    compute=lambda table: equal_error_rate(table.labels, table.scores),
    resample=_resampled_equal_error_rate,
    in_slices=True,
    headline=True,
    printed=True,
    dataset_column=True,
)
TPR_AT_FPR_01 = Metric(
    "tpr_at_fpr_01",
    "TPR at FPR 1 %",
    "The most fakes that a threshold finds at that rate of false alarms or less. Only thresholds "
    "that exist count, so that with fewer than 100 real videos 1 % means none.",
    compute=lambda table: true_positive_rate(table.labels, table.scores, 0.01),
    resample=lambda table: _resampled_true_positive_rate(table, 0.01),
)
TPR_AT_FPR_05 = Metric(
    "tpr_at_fpr_05",
    "TPR at FPR 5 %",
    "The same at 5 %.",
    compute=lambda table: true_positive_rate(table.labels, table.scores, 0.05),
    resample=lambda table: _resampled_true_positive_rate(table, 0.05),
    in_slices=True,
    headline=True,
)
ACCURACY = Metric(
    "accuracy",
    "accuracy",
    "The share that is called rightly at the threshold.",
    compute=lambda table: sk.accuracy_score(table.labels, table.called),
    resample=lambda table: (table.tp + table.reals - table.fp) / (table.fakes + table.reals),
    needs=(),
    in_slices=True,
    printed=True,
    hub_type="accuracy",
)
BALANCED_ACCURACY = Metric(
    "balanced_accuracy",
    "balanced accuracy",
    "The mean of both classes' shares that are called rightly at the threshold.",
    compute=lambda table: sk.balanced_accuracy_score(table.labels, table.called),
    resample=lambda table: (table.tp / table.fakes + 1 - table.fp / table.reals) / 2,
)
PRECISION = Metric(
    "precision",
    "precision",
    "Of those called fake at the threshold, the share of fakes; not defined where none is called.",
    compute=lambda table: sk.precision_score(table.labels, table.called, zero_division=np.nan),
    resample=lambda table: table.tp / (table.tp + table.fp),
    needs=(FAKE,),
    in_slices=True,
    printed=True,
    hub_type="precision",
)
RECALL = Metric(
    "recall",
    "fakes found (recall)",
    "Of the fakes, the share that is called fake at the threshold.",
    compute=lambda table: sk.recall_score(table.labels, table.called, zero_division=np.nan),
    resample=lambda table: table.tp / table.fakes,
    needs=(FAKE,),
    in_slices=True,
    headline=True,
    printed=True,
    slice_column=True,
    dataset_column=True,
    hub_type="recall",
)
F1 = Metric(
    "f1",
    "F1",
    "The harmonic mean of precision and recall at the threshold.",
    compute=lambda table: sk.f1_score(table.labels, table.called, zero_division=np.nan),
    resample=lambda table: 2 * table.tp / (table.tp + table.fp + table.fakes),
    needs=(FAKE,),
    in_slices=True,
    printed=True,
    hub_type="f1",
)
FALSE_ALARM_RATE = Metric(
    "false_alarm_rate",
    "false alarms (FPR)",
    "Of the real ones, the share that is called fake at the threshold.",
    compute=lambda table: table.called[table.labels == REAL].mean(),
    resample=lambda table: table.fp / table.reals,
    needs=(REAL,),
    in_slices=True,
    headline=True,
    printed=True,
    slice_column=True,
    dataset_column=True,
)
LOG_LOSS = Metric(
    "log_loss",
    "log-loss",
    "Mean negative log-likelihood of the labels in nats.",
    compute=lambda table: sk.log_loss(table.labels, table.scores, labels=[REAL, FAKE]),
    resample=_resampled_log_loss,
    needs=(),
)
BRIER = Metric(
    "brier",
    "Brier score",
    "Mean squared distance of P(fake) from the label, 0 or 1.",
    compute=lambda table: sk.brier_score_loss(table.labels, table.scores, pos_label=FAKE),
    resample=lambda table: table.mean((table.scores - table.labels) ** 2),
    needs=(),
    in_slices=True,
    hub_type="brier_score",
)
ECE = Metric(
    "ece",
    "calibration error (ECE)",
    "Ten bins of equal width of P(fake); the mean distance of P(fake) from the share of fakes, "
    "weighted by the bins' counts.",
    compute=lambda table: expected_calibration_error(table.labels, table.scores),
    resample=resampled_calibration_error,
    needs=(),
    headline=True,
    printed=True,
)

# In the order of the report. To add a metric is to add it here.
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        *(ROC_AUC, AVERAGE_PRECISION, EER, TPR_AT_FPR_01, TPR_AT_FPR_05),  # of the order alone
        *(ACCURACY, BALANCED_ACCURACY, PRECISION, RECALL, F1, FALSE_ALARM_RATE),  # at a threshold
        *(LOG_LOSS, BRIER, ECE),  # of the probabilities
    )
}


def metrics_of_slices() -> list[Metric]:
    """Those that slices have."""
    return [metric for metric in METRICS.values() if metric.in_slices]
