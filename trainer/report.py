"""The evaluation report: plots and one HTML page without outside parts."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

TEMPLATE = Path(__file__).parent / "templates" / "report.html"


def _figure() -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def draw_plots(
    confusion: Sequence[Sequence[int]], labels: np.ndarray, scores: np.ndarray
) -> dict[str, bytes]:
    """PNG images by name: confusion_matrix, roc, scores."""
    from sklearn.metrics import roc_curve

    figure, axes = _figure()
    axes.imshow(confusion, cmap="Blues", vmin=0)
    high = np.max(confusion)
    for row in range(2):
        for column in range(2):
            count = confusion[row][column]
            colour = "white" if count > high / 2 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour, size=16)
    axes.set_xticks([0, 1], ["real", "fake"])
    axes.set_yticks([0, 1], ["real", "fake"])
    axes.set(xlabel="called", ylabel="truth", title="Confusion matrix, videos")
    plots = {"confusion_matrix": _png(figure)}

    figure, axes = _figure()
    axes.plot([0, 1], [0, 1], color="0.7", linestyle="--")
    if 0 < labels.sum() < len(labels):
        false, true, _ = roc_curve(labels, scores)
        axes.plot(false, true, color="tab:blue", linewidth=2)
    else:
        axes.text(0.5, 0.4, "needs both classes", ha="center")
    axes.set(xlabel="false alarms", ylabel="fakes found", title="ROC, videos")
    plots["roc"] = _png(figure)

    figure, axes = _figure()
    bins = np.linspace(0, 1, 21).tolist()
    for label, name, colour in ((0, "real", "tab:green"), (1, "fake", "tab:red")):
        axes.hist(scores[labels == label], bins, alpha=0.6, label=name, color=colour)
    axes.set(xlabel="P(fake)", ylabel="videos", title="Scores")
    axes.legend()
    plots["scores"] = _png(figure)
    return plots


def render(
    metrics: Mapping[str, Any],
    config: Mapping[str, Any],
    plots: Mapping[str, bytes],
    notes: Sequence[str],
    names: Sequence[str],
) -> str:
    """The report as one HTML page."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["number"] = lambda value: "n/a" if value is None else f"{value:.3f}"
    images = {name: base64.b64encode(png).decode() for name, png in plots.items()}
    template = environment.from_string(TEMPLATE.read_text())
    return template.render(
        metrics=metrics,
        train=config.get("train", {}),
        preprocess=config.get("preprocess", {}),
        images=images,
        notes=notes,
        names=names,
    )
