"""The evaluation report: one HTML page without outside parts, and the same as Markdown.

Both are drawn from the same sections, so that neither says what the other does not.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.evaluation.scored import ScoredVideo
from trainer.report.formatting import TITLES, number
from trainer.report.notes import leakage_line, leaked, limits, notes
from trainer.report.plots import draw_plots
from trainer.report.sections import sections

TEMPLATES = Path(__file__).parent / "templates"
HEADLINES = ("roc_auc", "eer", "tpr_at_fpr_05", "recall", "false_alarm_rate", "ece")


def write_report(
    out: Path,
    metrics: Mapping[str, Any],
    videos: Sequence[ScoredVideo],
    crops: Sequence[Sequence[bytes]],
) -> None:
    """Writes report.html, report.md and the plots. videos: those with a score. crops: of each
    worst error, the encoded crops of its frames."""
    plots = draw_plots(metrics, videos)
    for name, png in plots.items():
        (out / f"{name}.png").write_bytes(png)
    (out / "report.html").write_text(render("report.html", metrics, plots, crops))
    (out / "report.md").write_text(render("report.md", metrics, plots, crops))


def render(
    template: str,
    metrics: Mapping[str, Any],
    plots: Mapping[str, bytes],
    crops: Sequence[Sequence[bytes]],
) -> str:
    """The report as one text, by "report.html" or "report.md"."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=template.endswith(".html"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("\n", " ")
    return environment.get_template(template).render(
        leakage=leakage_line(metrics["leakage"]),
        leaked=leaked(metrics["leakage"]),
        title=f"Deepfake detection: {metrics['split']} split",
        notes=notes(metrics),
        cards=[_card(metrics["video"], name) for name in HEADLINES],
        counts=_counts(metrics),
        sections=sections(metrics, plots),
        errors=[
            {**error, "caption": _error_caption(error), "images": _images(error, images)}
            for error, images in zip(metrics["worst_errors"], crops, strict=True)
        ],
        plots={name: base64.b64encode(png).decode() for name, png in plots.items()},
        limits=limits(metrics),
    )


def _card(part: Mapping[str, Any], name: str) -> dict[str, str]:
    interval = part["intervals"].get(name)
    return {
        "title": TITLES[name],
        "value": number(part[name]),
        "interval": f"95 %: {interval[0]:.3f} to {interval[1]:.3f}" if interval else "no interval",
    }


def _counts(metrics: Mapping[str, Any]) -> str:
    video = metrics["video"]
    return (
        f"All of them are of whole videos: {video['count']} with a score, {video['real']} real and "
        f"{video['fake']} fake, from {metrics['bootstrap']['units']} source videos. Found "
        f"fakes and false alarms are those with P(fake) {metrics['thresholds']['fake_above']:.3g} "
        "or more."
    )


def _error_caption(error: Mapping[str, Any]) -> str:
    kind = " ".join(filter(None, (error["method"], error["compression"])))
    return (
        f"{error['dataset']}/{error['video']} ({kind}): {error['truth']}, called "
        f"{error['verdict']} with P(fake) {error['probability_fake']:.3f}; "
        f"{error['start_s']:.2f} to {error['end_s']:.2f} s"
    )


def _images(error: Mapping[str, Any], crops: Sequence[bytes]) -> list[dict[str, str]]:
    return [
        {
            "type": "jpeg" if crop[:2] == b"\xff\xd8" else "png",
            "data": base64.b64encode(crop).decode(),
            "caption": f"{frame['time_s']:.2f} s, {frame['probability_fake']:.2f}",
        }
        for frame, crop in zip(error["frames"], crops, strict=True)
    ]
