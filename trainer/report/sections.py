"""The sections of the report between its headline metrics and its worst errors."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

from pipelines.verdict import MIN_FACE_PX, MIN_FRAMES
from trainer.evaluation.metrics import ECE, METRICS
from trainer.evaluation.result import (
    EvaluationResult,
    MemberProvenance,
    ModelProvenance,
    Robustness,
    RobustnessRow,
)
from trainer.evaluation.slices import SMALL
from trainer.report.formatting import YES_NO, datasets, estimate, share, with_interval
from trainer.report.notes import left_out_notes

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
    """A part of the report. plots: names of images."""

    title: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    plots: Sequence[str] = ()


def sections(result: EvaluationResult, plots: Collection[str]) -> list[Section]:
    """All between the headline metrics and the worst errors. plots: names of those drawn."""
    return [
        _verdict_section(result),
        _level_section(result),
        _dataset_section(result),
        Section("Curves", plots=[name for name in ("roc", "precision_recall") if name in plots]),
        _calibration_section(result),
        _slice_section(result),
        *([_robustness_section(result.robustness)] if result.robustness else []),
        _model_section(result),
    ]


def _verdict_section(result: EvaluationResult) -> Section:
    return Section(
        "Verdicts",
        _verdict_text(result),
        [_verdict_table(result), _confusion_table(result), _share_table(result)],
    )


def _verdict_text(result: EvaluationResult) -> list[str]:
    thresholds, verdicts = result.thresholds, result.verdicts
    text = [
        f"REAL up to P(fake) {thresholds.real_below:.3g}, FAKE from {thresholds.fake_above:.3g} "
        "on, INCONCLUSIVE between, NO_FACE "
        f"where there was nothing to judge. Shares are of all {verdicts.videos} videos."
    ]
    if verdicts.too_little_evidence:
        text.append(
            f"{verdicts.too_little_evidence} of them are INCONCLUSIVE for another reason: a face "
            f"in fewer than {MIN_FRAMES} "
            f"frames or of less than {MIN_FACE_PX:.0f} px, whatever the score, or too little of "
            "the video looked at, or a suspicious part in it, for REAL. The confusion matrix, the "
            "fakes found and the false alarms go by the score alone."
        )
    if not result.no_face_known:
        text.append(
            "A data set keeps no list of its videos, so that those without a face may be missing."
        )
    if result.unusable:
        listed = ", ".join(f"{count} {reason}" for reason, count in result.unusable.items())
        text.append(f"Not among them: videos that could not be read at all ({listed}).")
    return text


def _verdict_table(result: EvaluationResult) -> Table:
    counts = result.verdicts.counts
    names = list(counts["real"])
    return Table(
        ("truth", *names, "all"),
        [
            (truth, *(str(row[name]) for name in names), str(sum(row.values())))
            for truth, row in counts.items()
        ],
        "Verdicts on videos",
    )


def _confusion_table(result: EvaluationResult) -> Table:
    (tn, fp), (fn, tp) = result.video.confusion_matrix
    return Table(
        ("truth", "not called FAKE", "called FAKE"),
        [("real", str(tn), str(fp)), ("fake", str(fn), str(tp))],
        f"Confusion matrix of the {result.video.count} videos with a score, called FAKE from "
        f"P(fake) {result.thresholds.fake_above:.3g} on",
    )


def _share_table(result: EvaluationResult) -> Table:
    verdicts = result.verdicts
    return Table(
        ("share", "of", "value"),
        [
            ("INCONCLUSIVE", "all videos", share(verdicts.inconclusive_share)),
            ("NO_FACE", "all videos", share(verdicts.no_face_share)),
            ("right verdict", "all videos", share(verdicts.correct_share)),
            (
                "right verdict",
                f"the {verdicts.decided} called REAL or FAKE",
                share(verdicts.correct_share_of_decided),
            ),
        ],
    )


def _level_section(result: EvaluationResult) -> Section:
    levels = result.levels.values()
    rows = [("count", *(str(level.count) for level in levels))]
    rows += [
        (metric.title, *(with_interval(level, metric) for level in levels))
        for metric in METRICS.values()
    ]
    bootstrap = result.bootstrap
    return Section(
        "Figures by level",
        [
            "Clips average within a face track, and the highest track is the video's score. A "
            "frame's score is that of an auxiliary head, at the temperature found for clips.",
            f"In brackets: 95 % intervals of {bootstrap.resamples} bootstrap resamples of "
            f"{bootstrap.units} source videos, each with all that was made of it (seed "
            f"{bootstrap.seed}).",
        ],
        [Table(("", *result.levels), rows)],
    )


def _dataset_section(result: EvaluationResult) -> Section:
    columns = [metric for metric in METRICS.values() if metric.dataset_column]
    rows = [
        (
            datasets(row.trained_on, result.model.sample_data) or "not known",
            datasets(row.tested_on, row.sample_data),
            YES_NO[row.seen_dataset],
            str(row.real),
            str(row.fake),
            *(with_interval(row, metric) for metric in columns),
        )
        for row in result.cross_dataset
    ]
    titles = [metric.short_title for metric in columns]
    head = ("trained on", "tested on", "trained on it", "real", "fake", *titles)
    text = "Other data than the model was trained on tell how it does on what is new to it."
    if all(row.seen_dataset for row in result.cross_dataset):
        text += " There are none here: how it does on them was not measured."
    return Section("Across data sets", [text], [Table(head, rows)])


def _calibration_section(result: EvaluationResult) -> Section:
    return Section(
        "Calibration",
        [
            _calibration_text(result),
            f"Expected calibration error {with_interval(result.video, ECE)}, over the bins of "
            "the diagram. It depends on the share of fakes, which in the field is another. Chance "
            "makes it, and its interval still more, too high; the fewer the videos, the more.",
        ],
        plots=["calibration"],
    )


def _calibration_text(result: EvaluationResult) -> str:
    calibration = result.calibration
    if not calibration:
        return (
            "The model is not calibrated: its scores are those it was trained to, and the "
            "thresholds are the usual ones."
        )
    return (
        f"Probabilities were calibrated on the {calibration.split} split: "
        f"temperature {calibration.temperature:.3g}, thresholds for at most "
        f"{share(calibration.max_fpr)} false alarms there, among "
        f"{calibration.videos - calibration.fake_videos} real and "
        f"{calibration.fake_videos} fake videos."
    )


def _slice_section(result: EvaluationResult) -> Section:
    titles = dict(SLICES)
    if len(result.slices.compression) < 2:  # it would repeat the methods
        del titles["method_compression"]
    columns = [metric for metric in METRICS.values() if metric.slice_column]
    rows = [
        (
            title,
            part.name,
            str(part.videos) + (" (too few)" if part.too_small else ""),
            str(part.no_face),
            f"{part.real} / {part.fake}",
            *(with_interval(part, metric) for metric in columns),
        )
        for dimension, title in titles.items()
        for part in getattr(result.slices, dimension)
    ]
    head = ("by", "slice", "videos", "no face", "real / fake")
    return Section(
        "Slices",
        [
            "Fakes of a method are compared with the originals of the same data set and, where "
            "there are some, of the same compression: real / fake is how many were compared. "
            f"Slices of fewer than {SMALL} videos with a face are too small for conclusions."
        ],
        [Table((*head, *(metric.short_title for metric in columns)), rows)],
    )


def _robustness_section(robustness: Robustness) -> Section:
    rows = [("none", "", *_robustness_cells(robustness.clean))]
    rows += [(row.kind, row.label, *_robustness_cells(row)) for row in robustness.conditions]
    return Section(
        "Robustness",
        [
            "Crops were changed after the faces had been found, so the figures speak of the model "
            "alone: kinds and rising levels in the manner of DeeperForensics-1.0."
        ],
        [Table(("change", "level", "video ROC-AUC", "fakes found", "false alarms"), rows)],
        plots=["robustness"],
    )


def _robustness_cells(row: RobustnessRow) -> tuple[str, str, str]:
    return estimate(row.roc_auc, row.interval), share(row.recall), share(row.false_alarm_rate)


def _model_section(result: EvaluationResult) -> Section:
    model = result.model
    if model.members:
        text = [f"{member.name}: {_training_text(member)}" for member in model.members]
        text += left_out_notes(model)
        head = ("setting", *(member.name for member in model.members))
        trainings = [member.train for member in model.members]
    else:
        text = [" ".join([_training_text(model), *left_out_notes(model)])]
        head, trainings = ("setting", "value"), [model.train]
    names = dict.fromkeys(name for train in trainings for name in train)
    rows = [(name, *(str(train.get(name, "")) for train in trainings)) for name in names]
    crops = {**model.preprocess, "fingerprint": result.fingerprint}
    rows += [(f"crops: {name}", *[str(value)] * len(trainings)) for name, value in crops.items()]
    return Section("What the model was trained on", text, [Table(head, rows)])


def _training_text(model: ModelProvenance | MemberProvenance) -> str:
    if not model.trained_on:
        return "What the model was trained on is not known."
    split = model.train_split or {}
    methods = (f"{count} {name}" for name, count in split.get("methods", {}).items())
    return (
        f"Trained on {datasets(model.trained_on, model.sample_data)}: "
        f"{split.get('videos', '?')} videos, {', '.join(methods)}."
    )
