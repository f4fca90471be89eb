"""The evaluation report: one HTML page without outside parts, and the same as Markdown.

Both are drawn from the same sections, so that neither says what the other does not.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.plots import draw_plots
from trainer.predictions import ScoredVideo
from trainer.slices import SMALL

TEMPLATES = Path(__file__).parent / "templates"
NOT_DEFINED = "not defined"
SAMPLE_NOTE = (
    "The generated set only exercises the system. These numbers say nothing about real deepfakes."
)
SHUFFLED_NOTE = "The training labels were shuffled: an AUC near 0.5 is what is hoped for."
CHOSEN_NOTE = (
    "The best epoch and the thresholds are chosen on the validation split, so that figures of it "
    "are a little too good."
)
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
LEVELS = ("video", "clip", "frame")
HEADLINES = ("roc_auc", "eer", "tpr_at_fpr_05", "recall", "false_alarm_rate", "ece")
SLICES = {
    "dataset": "data set",
    "method": "method",
    "compression": "compression",
    "method_compression": "method, compression",
    "split": "split",
    "face_size": "face size",
}


@dataclasses.dataclass(frozen=True)
class Table:
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the report. plots: names of images. points: a list under the text."""

    title: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    plots: Sequence[str] = ()
    points: Sequence[str] = ()


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


def leaked(leakage: Mapping[str, Any]) -> bool:
    """Whether anything of the evaluation is known to have been seen in training."""
    return any(leakage[kind]["seen"] for kind in ("videos", "sources", "identities"))


def leakage_line(leakage: Mapping[str, Any]) -> str:
    """The report's first line: what of the evaluation was seen in training."""
    if not leakage["known"]:
        return (
            "Leakage not known: the model keeps no record of what it was trained on, so these "
            "figures may be of videos it has seen."
        )
    counts = [
        f"{leakage[kind]['seen']} of {leakage[kind]['of']} {kind}"
        for kind in ("videos", "sources", "identities")
    ]
    found = f"{counts[0]}, {counts[1]} and {counts[2]} were seen in training"
    if leaked(leakage):
        return f"LEAKAGE: {found}. The figures below are better than the model is."
    return f"No leakage found: {found}."


def notes(metrics: Mapping[str, Any]) -> list[str]:
    """What must be known before any figure is read."""
    found = [SAMPLE_NOTE] if metrics["sample_data"] else []
    found += [SHUFFLED_NOTE] if metrics["shuffled_labels"] else []
    found += [CHOSEN_NOTE] if "val" in metrics["split"].split() else []
    if reason := metrics["video"]["not_defined"]:
        found.append(f"Figures that compare real and fake are not defined, for {reason}.")
    if not metrics["fingerprint_checked"]:
        found.append(
            "The model does not say how its crops were made; whether these were made alike was "
            "not checked."
        )
    return found


def number(value: float | None) -> str:
    return NOT_DEFINED if value is None else f"{value:.3f}"


def share(value: float | None) -> str:
    return NOT_DEFINED if value is None else f"{value:.1%}".replace("%", "\N{NO-BREAK SPACE}%")


def with_interval(part: Mapping[str, Any], name: str) -> str:
    """A figure and its 95 % interval."""
    interval = part["intervals"].get(name)
    if part[name] is None or interval is None:
        return number(part[name])
    return f"{part[name]:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"


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
        f"{video['fake']} fake, from {metrics['bootstrap']['units']} source videos. A video is "
        f"called FAKE from P(fake) {metrics['thresholds']['fake_above']:.3g} on."
    )


def sections(metrics: Mapping[str, Any], plots: Mapping[str, Any]) -> list[Section]:
    """All between the headline figures and the worst errors."""
    return [
        _verdict_section(metrics),
        _level_section(metrics),
        _cross_section(metrics),
        Section("Curves", plots=[name for name in ("roc", "precision_recall") if name in plots]),
        _calibration_section(metrics),
        _slice_section(metrics),
        *([_robustness_section(metrics)] if metrics["robustness"] else []),
        _model_section(metrics),
    ]


def _verdict_section(metrics: Mapping[str, Any]) -> Section:
    verdicts, video = metrics["verdicts"], metrics["video"]
    names = list(verdicts["counts"]["real"])
    low, high = metrics["thresholds"]["real_below"], metrics["thresholds"]["fake_above"]
    text = [
        f"REAL up to P(fake) {low:.3g}, FAKE from {high:.3g} on, INCONCLUSIVE between, NO_FACE "
        f"where there was nothing to judge. Shares are of all {verdicts['videos']} videos."
    ]
    if not metrics["no_face_known"]:
        text.append(
            "A data set keeps no list of its videos, so that those without a face may be missing."
        )
    if metrics["unusable"]:
        listed = ", ".join(f"{count} {reason}" for reason, count in metrics["unusable"].items())
        text.append(f"Not among them: videos that could not be read at all ({listed}).")
    (tn, fp), (fn, tp) = video["confusion_matrix"]
    return Section(
        "Verdicts",
        text,
        [
            Table(
                ("truth", *names, "all"),
                [
                    (truth, *(str(row[name]) for name in names), str(sum(row.values())))
                    for truth, row in verdicts["counts"].items()
                ],
                "Verdicts on videos",
            ),
            Table(
                ("truth", "not called FAKE", "called FAKE"),
                [("real", str(tn), str(fp)), ("fake", str(fn), str(tp))],
                f"Confusion matrix at P(fake) {high:.3g}, of the {video['count']} videos with a "
                "score; INCONCLUSIVE counts as not called FAKE",
            ),
            Table(
                ("share", "of", "value"),
                [
                    ("INCONCLUSIVE", "all videos", share(verdicts["inconclusive_share"])),
                    ("NO_FACE", "all videos", share(verdicts["no_face_share"])),
                    ("right verdict", "all videos", share(verdicts["correct_share"])),
                    (
                        "right verdict",
                        f"the {verdicts['decided']} called REAL or FAKE",
                        share(verdicts["correct_share_of_decided"]),
                    ),
                ],
            ),
        ],
    )


def _level_section(metrics: Mapping[str, Any]) -> Section:
    rows = [("count", *(str(metrics[level]["count"]) for level in LEVELS))]
    rows += [
        (title, *(with_interval(metrics[level], name) for level in LEVELS))
        for name, title in TITLES.items()
    ]
    about = metrics["bootstrap"]
    return Section(
        "Figures by level",
        [
            "Clips average within a face track, and the highest track is the video's score. A "
            "frame's score is that of an auxiliary head, at the temperature found for clips.",
            f"In brackets: 95 % intervals of {about['resamples']} bootstrap resamples of "
            f"{about['units']} source videos, each with all that was made of it (seed "
            f"{about['seed']}).",
        ],
        [Table(("", *LEVELS), rows)],
    )


def _cross_section(metrics: Mapping[str, Any]) -> Section:
    known = {True: "yes", False: "no", None: "not known"}
    rows = [
        (
            ", ".join(row["trained_on"]) or "not known",
            ", ".join(row["tested_on"]),
            known[row["seen_dataset"]],
            str(row["real"]),
            str(row["fake"]),
            with_interval(row, "roc_auc"),
            with_interval(row, "eer"),
            with_interval(row, "recall"),
            with_interval(row, "false_alarm_rate"),
        )
        for row in metrics["cross_dataset"]
    ]
    return Section(
        "Across data sets",
        ["Other data than the model was trained on tell how it does on what is new to it."],
        [
            Table(
                (
                    "trained on",
                    "tested on",
                    "trained on it",
                    "real",
                    "fake",
                    "ROC-AUC",
                    "equal error rate",
                    "fakes found",
                    "false alarms",
                ),
                rows,
            )
        ],
    )


def _calibration_section(metrics: Mapping[str, Any]) -> Section:
    found = metrics["calibration"]
    text = (
        [
            f"Probabilities were calibrated on the {found.get('split', 'validation')} split: "
            f"temperature {found['temperature']:.3g}, thresholds for at most "
            f"{share(found.get('max_fpr'))} false alarms there."
        ]
        if found
        else [
            "The model is not calibrated: its scores are those it was trained to, and the "
            "thresholds are the usual ones."
        ]
    )
    text.append(
        f"Expected calibration error {with_interval(metrics['video'], 'ece')}, over the bins of "
        "the diagram. It depends on the share of fakes, which in the field is another."
    )
    return Section("Calibration", text, plots=["calibration"])


def _slice_section(metrics: Mapping[str, Any]) -> Section:
    shown = dict(SLICES)
    if len(metrics["slices"]["compression"]) < 2:  # it would repeat the methods
        del shown["method_compression"]
    rows = [
        (
            title,
            row["name"],
            str(row["videos"]) + (" (too few)" if row["too_small"] else ""),
            str(row["no_face"]),
            f"{row['real']} / {row['fake']}",
            *(with_interval(row, name) for name in ("roc_auc", "recall", "false_alarm_rate")),
        )
        for dimension, title in shown.items()
        for row in metrics["slices"][dimension]
    ]
    return Section(
        "Slices",
        [
            "Fakes of a method are compared with the originals of the same data set and, where "
            "there are some, of the same compression: real / fake is how many were compared. "
            f"Slices of fewer than {SMALL} videos are too small for conclusions."
        ],
        [
            Table(
                (
                    "by",
                    "slice",
                    "videos",
                    "no face",
                    "real / fake",
                    "ROC-AUC",
                    "fakes found",
                    "false alarms",
                ),
                rows,
            )
        ],
    )


def _robustness_section(metrics: Mapping[str, Any]) -> Section:
    found = metrics["robustness"]
    rows = [("none", "", *_robustness_cells(found["clean"]))]
    rows += [(row["kind"], row["label"], *_robustness_cells(row)) for row in found["conditions"]]
    return Section(
        "Robustness",
        [
            "Crops were changed after the faces had been found, so the figures speak of the model "
            "alone: kinds and rising levels in the manner of DeeperForensics-1.0."
        ],
        [Table(("change", "level", "video ROC-AUC", "fakes found", "false alarms"), rows)],
        plots=["robustness"],
    )


def _robustness_cells(row: Mapping[str, Any]) -> tuple[str, str, str]:
    part = {"roc_auc": row["roc_auc"], "intervals": {"roc_auc": row["interval"]}}
    return with_interval(part, "roc_auc"), share(row["recall"]), share(row["false_alarm_rate"])


def _model_section(metrics: Mapping[str, Any]) -> Section:
    model = metrics["model"]
    train = model["train_split"] or {}
    text = [
        f"Trained on {', '.join(model['trained_on'])}: {train.get('videos', '?')} videos, "
        + ", ".join(f"{count} {name}" for name, count in train.get("methods", {}).items())
        + "."
        if model["trained_on"]
        else "What the model was trained on is not known."
    ]
    rows = [(name, str(value)) for name, value in model["train"].items()]
    rows += [(f"crops: {name}", str(value)) for name, value in model["preprocess"].items()]
    rows += [("crops: fingerprint", metrics["fingerprint"])]
    return Section("What the model was trained on", text, [Table(("setting", "value"), rows)])


def limits(metrics: Mapping[str, Any]) -> list[str]:
    """What the figures do not say."""
    points = [
        "The figures hold for these sources and manipulation methods. Detectors of this kind lose "
        "much of their accuracy on methods, cameras and compression they were not trained on.",
        f"With {metrics['video']['count']} videos of {metrics['bootstrap']['units']} sources, "
        "differences within the intervals are chance.",
        "Seen in training is told by the names that videos, sources and people have in a data "
        "set; the same video under another name is not noticed.",
        "A score is evidence, not proof; never decide about a person by it alone.",
    ]
    if metrics["video"]["real"] < 100:
        points.insert(
            2,
            f"With {metrics['video']['real']} real videos, 1 % false alarms means none at all.",
        )
    if metrics["video"]["roc_auc"] == 1:
        points.insert(
            2,
            "No error among few videos is no proof that there are none: the "
            "bootstrap cannot show errors that did not occur.",
        )
    return points


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
