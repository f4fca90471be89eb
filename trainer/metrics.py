"""How good scores are, at clip and at video level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn import metrics as sk


def score_metrics(
    labels: Sequence[int] | np.ndarray,
    probabilities: Sequence[float] | np.ndarray,
    threshold: float = 0.5,
) -> dict[str, Any]:
    """Metrics of P(fake) against labels, 1 = fake; called fake at or above the threshold.

    What is not defined, such as the AUC where one class is absent, is None: never NaN.
    """
    truth = np.asarray(labels, int)
    scores = np.asarray(probabilities, float)
    if not len(truth):
        raise ValueError("There are no scores to measure.")
    if not np.isfinite(scores).all():
        raise ValueError("Some scores are not finite numbers: the model is broken.")
    called = (scores >= threshold).astype(int)
    matrix = sk.confusion_matrix(truth, called, labels=[0, 1])
    (tn, fp), (fn, tp) = matrix.tolist()
    both = 0 < truth.sum() < len(truth)
    return {
        "count": len(truth),
        "threshold": threshold,
        "confusion_matrix": matrix.tolist(),  # rows: truth real, fake; columns: called
        "accuracy": (tn + tp) / len(truth),
        "balanced_accuracy": (tn / (tn + fp) + tp / (tp + fn)) / 2 if both else None,
        "precision": tp / (tp + fp) if tp + fp else None,
        "recall": tp / (tp + fn) if tp + fn else None,
        "f1": 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None,
        "roc_auc": float(sk.roc_auc_score(truth, scores)) if both else None,
        "average_precision": float(sk.average_precision_score(truth, scores)) if both else None,
        "log_loss": float(sk.log_loss(truth, scores, labels=[0, 1])),
        "brier": float(np.mean((scores - truth) ** 2)),
    }


def method_aucs(
    labels: np.ndarray, probabilities: np.ndarray, methods: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """For each manipulation method, how well its videos are told from all originals."""
    names = np.asarray(methods)
    result = {}
    for method in sorted(set(names[labels == 1])):
        chosen = (labels == 0) | ((labels == 1) & (names == method))
        measured = score_metrics(labels[chosen], probabilities[chosen])
        result[str(method)] = {
            "videos": int(((labels == 1) & (names == method)).sum()),
            "roc_auc": measured["roc_auc"],
            "recall": measured["recall"],
        }
    return result
