"""The report's plots, as PNG images that can be read on white paper and on a dark screen."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainer.evaluation.scored import ScoredVideo

INK, REAL_COLOUR, FAKE_COLOUR = "#808080", "#2a9d8f", "#e76f51"
CURVES = ("#4c8fd6", "#e76f51", "#2a9d8f", "#c792ea", "#e9b44c", "#808080", "#d6659a")


def _figure(height: float = 3.4) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def _png(figure: Any) -> bytes:
    for axes in figure.axes:
        _recolour(axes)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, transparent=True)
    return buffer.getvalue()


def _recolour(axes: Any) -> None:
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


def draw_plots(metrics: Mapping[str, Any], videos: Sequence[ScoredVideo]) -> dict[str, bytes]:
    """PNG images by name, transparent: roc, precision_recall, calibration and, where it was
    measured, robustness. videos: those with a score."""
    labels = np.array([video.video.label for video in videos])
    scores = np.array([video.score for video in videos], float)
    datasets = np.array([video.video.dataset for video in videos])
    plots = {
        **_draw_curves(labels, scores, datasets),
        "calibration": _draw_calibration(metrics["reliability"], labels, scores),
    }
    if metrics["robustness"]:
        plots["robustness"] = _draw_robustness(metrics["robustness"])
    return plots


def _draw_curves(labels: np.ndarray, scores: np.ndarray, datasets: np.ndarray) -> dict[str, bytes]:
    """ROC and precision-recall curves, of all videos and of each data set if there are several."""
    from sklearn.metrics import precision_recall_curve, roc_curve

    names = sorted(set(datasets))
    groups = [("all videos", np.full(len(labels), True))]
    groups += [(name, datasets == name) for name in names] if len(names) > 1 else []
    roc, roc_axes = _figure()
    recall, recall_axes = _figure()
    roc_axes.plot([0, 1], [0, 1], color=INK, linestyle=":", linewidth=1)
    for (name, rows), colour in zip(groups, CURVES * len(groups), strict=False):
        if not 0 < labels[rows].sum() < rows.sum():
            continue
        style = {"label": name, "color": colour, "linewidth": 2}
        false, true, _ = roc_curve(labels[rows], scores[rows])
        roc_axes.plot(false, true, **style)
        precision, found, _ = precision_recall_curve(labels[rows], scores[rows])
        recall_axes.step(found, precision, where="post", **style)
    for axes in (roc_axes, recall_axes):
        if not any(line.get_linewidth() == 2 for line in axes.lines):
            axes.text(0.5, 0.5, "not defined: needs real and fake", ha="center", color=INK)
        elif len(groups) > 1:
            axes.legend(fontsize="small")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    roc_axes.set(xlabel="false alarms", ylabel="fakes found", title="ROC, videos")
    recall_axes.set(xlabel="recall", ylabel="precision", title="Precision and recall, videos")
    return {"roc": _png(roc), "precision_recall": _png(recall)}


def _draw_calibration(
    bins: Sequence[Mapping[str, Any]], labels: np.ndarray, scores: np.ndarray
) -> bytes:
    """The reliability diagram over the histogram of scores."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4, 5), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    filled = [b for b in bins if b["count"]]
    above.plot([0, 1], [0, 1], color=INK, linestyle=":", linewidth=1)
    above.plot(
        [b["mean_probability"] for b in filled],
        [b["fake_share"] for b in filled],
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


def _draw_robustness(found: Mapping[str, Any]) -> bytes:
    """Video AUC by level, a line for each kind of change."""
    figure, axes = _figure(4.2)
    kinds: dict[str, list[tuple[int, float | None]]] = {}
    for row in found["conditions"]:
        kinds.setdefault(row["kind"], []).append((row["level"], row["roc_auc"]))
    clean = np.nan if found["clean"]["roc_auc"] is None else found["clean"]["roc_auc"]
    for (kind, points), colour, marker in zip(
        kinds.items(), CURVES * 9, "osD^vPX" * 9, strict=False
    ):
        levels = [0, *(level for level, _ in points)]
        values = [clean, *(np.nan if auc is None else auc for _, auc in points)]
        axes.plot(levels, values, color=colour, marker=marker, markersize=4, label=kind)
    axes.set(xlabel="level (0: unchanged)", ylabel="video ROC-AUC", title="Robustness")
    axes.legend(fontsize="small", ncols=2)
    return _png(figure)
