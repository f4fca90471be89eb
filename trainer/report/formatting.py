"""How a figure of metrics.json is written for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NOT_DEFINED = "not defined"
# Name in metrics.json -> what people call it.
TITLES = {
    "roc_auc": "ROC-AUC",
    "average_precision": "PR-AUC (average precision)",
    "eer": "equal error rate",
    "tpr_at_fpr_01": "TPR at FPR 1 %",
    "tpr_at_fpr_05": "TPR at FPR 5 %",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "precision": "precision",
    "recall": "fakes found (recall)",
    "f1": "F1",
    "false_alarm_rate": "false alarms (FPR)",
    "log_loss": "log-loss",
    "brier": "Brier score",
    "ece": "calibration error (ECE)",
}


def datasets(names: Sequence[str], generated: bool) -> str:
    """Names of data sets; a generated set goes by the name of the one that it is laid out like."""
    return ", ".join(f"{name} (generated)" if generated else name for name in names)


def number(value: float | None) -> str:
    return NOT_DEFINED if value is None else f"{value:.3f}"


def share(value: float | None) -> str:
    return NOT_DEFINED if value is None else f"{value:.1%}".replace("%", "\N{NO-BREAK SPACE}%")


def with_interval(part: Mapping[str, Any], name: str) -> str:
    """A figure and its 95 % interval, which is not torn apart at the end of a line."""
    interval = part["intervals"].get(name)
    if part[name] is None or interval is None:
        return number(part[name])
    return f"{part[name]:.3f} [{interval[0]:.3f},\N{NO-BREAK SPACE}{interval[1]:.3f}]"
