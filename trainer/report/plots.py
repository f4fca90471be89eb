"""The report's plots, as PNG images that can be read on white paper and on a dark screen."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, roc_curve

from trainer.evaluation.reliability import ReliabilityBin
from trainer.evaluation.result import EvaluationResult, Robustness
from trainer.evaluation.scored import ScoredVideo

INK, REAL_COLOUR, FAKE_COLOUR = "#808080", "#2a9d8f", "#e76f51"
CURVES = ("#4c8fd6", "#e76f51", "#2a9d8f", "#c792ea", "#e9b44c", "#808080", "#d6659a")


def _figure(height: float = 3.4) -> Figure:
    """A figure of its own canvas: pyplot keeps figures in a state that threads share."""
    figure = Figure(figsize=(4.4, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Figure) -> bytes:
    for axes in figure.axes:
        _recolour(axes)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, transparent=True)
    return buffer.getvalue()


def _recolour(axes: Axes) -> None:
    axes.tick_params(colors=INK)
    for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
        text.set_color(INK)
    for name, spine in axes.spines.items():
        spine.set_color(INK)
        spine.set_visible(name in ("left", "bottom"))
    if legend := axes.get_legend():
        legend.set_frame_on(False)
        for text in legend.get_texts():
            text.set_color(INK)


def draw_plots(result: EvaluationResult, videos: Sequence[ScoredVideo]) -> dict[str, bytes]:
    """PNG images by name, transparent: roc, precision_recall, calibration and, where it was
    measured, robustness. videos: those with a score."""
    labels = np.array([video.video.label for video in videos])
    scores = np.array([video.score for video in videos], float)
    datasets = np.array([video.video.dataset for video in videos])
    plots = {
        **_draw_curves(labels, scores, datasets),
        "calibration": _draw_calibration(result.reliability, labels, scores),
    }
    if result.robustness:
        plots["robustness"] = _draw_robustness(result.robustness)
    return plots


def _draw_curves(labels: np.ndarray, scores: np.ndarray, datasets: np.ndarray) -> dict[str, bytes]:
    """ROC and precision-recall curves, of all videos and of each data set if there are several.

    Not by scikit-learn's displays: they draw through pyplot, and their labels, limits and legend
    would have to be undone.
    """
    names = sorted(set(datasets))
    groups = [("all videos", np.full(len(labels), True))]
    groups += [(name, datasets == name) for name in names] if len(names) > 1 else []
    roc, precision_recall = _figure(), _figure()
    roc_axes, recall_axes = roc.subplots(), precision_recall.subplots()
    roc_axes.plot([0, 1], [0, 1], color=INK, linestyle=":", linewidth=1)
    for (name, rows), colour in zip(groups, CURVES * len(groups), strict=False):
        if not 0 < labels[rows].sum() < rows.sum():
            continue
        style: dict[str, Any] = {"label": name, "color": colour, "linewidth": 2}
        fpr, tpr, _ = roc_curve(labels[rows], scores[rows])
        roc_axes.plot(fpr, tpr, **style)
        precision, recall, _ = precision_recall_curve(labels[rows], scores[rows])
        recall_axes.step(recall, precision, where="post", **style)
    for axes in (roc_axes, recall_axes):
        if not any(line.get_linewidth() == 2 for line in axes.lines):
            axes.text(0.5, 0.5, "not defined: needs real and fake", ha="center", color=INK)
        elif len(groups) > 1:
            axes.legend(fontsize="small")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    roc_axes.set(xlabel="false alarms", ylabel="fakes found", title="ROC, videos")
    recall_axes.set(xlabel="recall", ylabel="precision", title="Precision and recall, videos")
    return {"roc": _png(roc), "precision_recall": _png(precision_recall)}


def _draw_calibration(
    bins: Sequence[ReliabilityBin], labels: np.ndarray, scores: np.ndarray
) -> bytes:
    """The reliability diagram over the histogram of scores."""
    figure = _figure(5)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    filled = [b for b in bins if b.count]
    above.plot([0, 1], [0, 1], color=INK, linestyle=":", linewidth=1)
    above.plot(
        [b.mean_probability for b in filled],
        [b.fake_share for b in filled],
        color=CURVES[0],
        marker="o",
        linewidth=2,
    )
    above.set(ylabel="share of fakes", title="Reliability, videos", ylim=(-0.03, 1.03))
    edges = np.linspace(0, 1, 21).tolist()
    below.hist(
        [scores[labels == 0], scores[labels == 1]],
        edges,
        label=("real", "fake"),
        color=(REAL_COLOUR, FAKE_COLOUR),
        stacked=True,
    )
    below.set(xlabel="P(fake)", ylabel="videos", xlim=(-0.02, 1.02))
    below.legend(fontsize="small")
    return _png(figure)


def _draw_robustness(robustness: Robustness) -> bytes:
    """Video AUC by level, a line for each kind of change."""
    figure = _figure(4.2)
    axes = figure.subplots()
    kinds: dict[str, list[tuple[int, float | None]]] = {}
    for row in robustness.conditions:
        kinds.setdefault(row.kind, [(0, robustness.clean.roc_auc)]).append((row.level, row.roc_auc))
    for (kind, points), colour, marker in zip(
        kinds.items(), CURVES * 9, "osD^vPX" * 9, strict=False
    ):
        levels = [level for level, _ in points]
        values = [np.nan if auc is None else auc for _, auc in points]
        axes.plot(levels, values, color=colour, marker=marker, markersize=4, label=kind)
    axes.set(xlabel="level (0: unchanged)", ylabel="video ROC-AUC", title="Robustness")
    axes.legend(fontsize="small", ncols=2)
    return _png(figure)
