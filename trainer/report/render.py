"""The evaluation report: one HTML page without outside parts, and the same as Markdown.

Both are drawn from the same sections, so that neither says what the other does not.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2

from trainer.evaluation.evaluate import Evaluation
from trainer.evaluation.metrics import METRICS, Metric
from trainer.evaluation.result import EvaluationResult, WorstError
from trainer.report.formatting import number
from trainer.report.notes import leakage_line, leaked, limits, notes
from trainer.report.plots import draw_plots
from trainer.report.sections import sections

TEMPLATES = Path(__file__).parent / "templates"


def write_report(out: Path, evaluation: Evaluation) -> None:
    """Writes report.html, report.md and the plots."""
    result, crops = evaluation.result, evaluation.error_crops
    plots = draw_plots(result, evaluation.videos)
    for name, png in plots.items():
        (out / f"{name}.png").write_bytes(png)
    (out / "report.html").write_text(render("report.html", result, plots, crops))
    (out / "report.md").write_text(render("report.md", result, plots, crops))


def render(
    template: str,
    result: EvaluationResult,
    plots: Mapping[str, bytes],
    crops: Sequence[Sequence[bytes]],
) -> str:
    """The report as one text, by "report.html" or "report.md". plots: PNG by name. crops: of each
    worst error, the encoded crops of its frames."""
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
        leakage=leakage_line(result.leakage),
        leaked=leaked(result.leakage),
        title=f"Deepfake detection: {result.split} split",
        notes=notes(result),
        cards=[_card(result, metric) for metric in METRICS.values() if metric.headline],
        counts=_counts(result),
        sections=sections(result, plots),
        errors=[
            {"caption": _error_caption(error), "images": _images(error, images)}
            for error, images in zip(result.worst_errors, crops, strict=True)
        ],
        plots={name: base64.b64encode(png).decode() for name, png in plots.items()},
        limits=limits(result),
    )


def _card(result: EvaluationResult, metric: Metric) -> dict[str, str]:
    interval = result.video.interval(metric)
    return {
        "title": metric.title,
        "value": number(result.video.value(metric)),
        "interval": f"95 %: {interval[0]:.3f} to {interval[1]:.3f}" if interval else "no interval",
    }


def _counts(result: EvaluationResult) -> str:
    video = result.video
    return (
        f"All of them are of whole videos: {video.count} with a score, {video.real} real and "
        f"{video.fake} fake, from {result.bootstrap.units} source videos. Found "
        f"fakes and false alarms are those with P(fake) {result.thresholds.fake_above:.3g} "
        "or more."
    )


def _error_caption(error: WorstError) -> str:
    kind = " ".join(filter(None, (error.method, error.compression)))
    return (
        f"{error.dataset}/{error.video} ({kind}): {error.truth}, called "
        f"{error.verdict} with P(fake) {error.probability_fake:.3f}; "
        f"{error.start_s:.2f} to {error.end_s:.2f} s"
    )


def _images(error: WorstError, crops: Sequence[bytes]) -> list[dict[str, str]]:
    return [
        {
            "type": "jpeg" if crop[:2] == b"\xff\xd8" else "png",
            "data": base64.b64encode(crop).decode(),
            "caption": f"{frame.time_s:.2f} s, {frame.probability_fake:.2f}",
        }
        for frame, crop in zip(error.frames, crops, strict=True)
    ]
