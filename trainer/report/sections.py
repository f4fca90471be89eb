"""The parts of the report between its headline figures and its worst errors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.verdict import MIN_FACE_PX, MIN_FRAMES
from trainer.evaluation.slices import SMALL
from trainer.report.formatting import TITLES, datasets, share, with_interval

LEVELS = ("video", "clip", "frame")
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
    if few := verdicts["too_little_evidence"]:
        text.append(
            f"{few} of them are INCONCLUSIVE for another reason: a face in fewer than {MIN_FRAMES} "
            f"frames or of less than {MIN_FACE_PX:.0f} px, whatever the score. The confusion "
            "matrix, the fakes found and the false alarms go by the score alone."
        )
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
                f"Confusion matrix of the {video['count']} videos with a score, called FAKE from "
                f"P(fake) {high:.3g} on",
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
            datasets(row["trained_on"], metrics["model"]["sample_data"]) or "not known",
            datasets(row["tested_on"], row["sample_data"]),
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
        [
            "Other data than the model was trained on tell how it does on what is new to it."
            + (
                " There are none here: how it does on them was not measured."
                if all(row["seen_dataset"] for row in metrics["cross_dataset"])
                else ""
            )
        ],
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
            f"{share(found.get('max_fpr'))} false alarms there"
            + (
                f", among {found['videos'] - found['fake_videos']} real and "
                f"{found['fake_videos']} fake videos."
                if "fake_videos" in found
                else "."
            )
        ]
        if found
        else [
            "The model is not calibrated: its scores are those it was trained to, and the "
            "thresholds are the usual ones."
        ]
    )
    text.append(
        f"Expected calibration error {with_interval(metrics['video'], 'ece')}, over the bins of "
        "the diagram. It depends on the share of fakes, which in the field is another. Chance "
        "makes it, and its interval still more, too high; the fewer the videos, the more."
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
            f"Slices of fewer than {SMALL} videos with a face are too small for conclusions."
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
    trained_on = datasets(model["trained_on"], model["sample_data"])
    text = [
        f"Trained on {trained_on}: {train.get('videos', '?')} videos, "
        + ", ".join(f"{count} {name}" for name, count in train.get("methods", {}).items())
        + "."
        if model["trained_on"]
        else "What the model was trained on is not known."
    ]
    rows = [(name, str(value)) for name, value in model["train"].items()]
    rows += [(f"crops: {name}", str(value)) for name, value in model["preprocess"].items()]
    rows += [("crops: fingerprint", metrics["fingerprint"])]
    return Section("What the model was trained on", text, [Table(("setting", "value"), rows)])
