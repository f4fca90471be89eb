"""Calibration of an ensemble: its temperature and thresholds, fitted on the validation split."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.coverage import ScanSettings
from pipelines.ensemble import MEAN_LOGIT, Ensemble, EnsembleError, Member, mean_logit
from pipelines.verdict import Thresholds
from trainer.calibration import MAX_FPR, Calibration, check_share
from trainer.evaluation import calibrate
from trainer.evaluation.as_served import holds_all_moments, only_looked_at
from trainer.evaluation.evaluate import check_out
from trainer.evaluation.labelled_scores import LabelledScores
from trainer.evaluation.measured_ensemble import as_exported, require_members, short_names
from trainer.evaluation.measured_model import load_detector
from trainer.evaluation.measurement import score_metrics
from trainer.evaluation.metrics import LOG_LOSS, ROC_AUC
from trainer.evaluation.predictions import Predictions, predict
from trainer.evaluation.scored import score_videos


@dataclasses.dataclass(frozen=True)
class SplitFigures:
    """How well a model, or the ensemble, does on the videos of the split."""

    name: str
    roc_auc: float
    log_loss: float


@dataclasses.dataclass(frozen=True)
class CalibratedEnsemble:
    """An ensemble, its calibration, and figures of itself and of each member beside it."""

    ensemble: Ensemble
    calibration: Calibration
    own: SplitFigures
    members: tuple[SplitFigures, ...]


def calibrate_ensemble(
    models: Sequence[str | os.PathLike],
    data: str | os.PathLike,
    out: str | os.PathLike,
    method: str = MEAN_LOGIT,
    max_fpr: float = MAX_FPR,
) -> CalibratedEnsemble:
    """Fits an ensemble's temperature and thresholds on the validation split and writes its file.

    models: each any that `load_detector` takes. Raises EnsembleError where they cannot be one, or
    `out` cannot be the file; ValueError where the split lacks a class or holds videos that a member
    was trained on; and as `load_detector`.
    """
    check_share(max_fpr)
    out = Path(out)
    _check_file(out)
    detectors = [load_detector(model) for model in models]
    require_members(detectors)
    fingerprint = detectors[0].fingerprint
    assert fingerprint  # of what is calibrated
    trainings = [(model.name, model.seen) for model in detectors]
    dataset = calibrate.open_unseen(data, fingerprint, trainings)
    tables = [predict(detector, [dataset], [calibrate.SPLIT]) for detector in detectors]
    scores = as_exported([[clip.probability_fake for clip in table.clips] for table in tables])
    table = _with(tables[0], logit=mean_logit(scores))
    calibration = calibrate.fit(table, calibrate.SPLIT, max_fpr)
    ensemble = Ensemble(
        members=tuple(
            Member.of(name, model.calibration)
            for name, model in zip(short_names(detectors), detectors, strict=True)
        ),
        fingerprint=fingerprint,
        temperature=calibration.temperature,
        thresholds=calibration.thresholds,
        calibration=calibration.to_dict(),
        method=method,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    ensemble.write(out)
    return CalibratedEnsemble(
        ensemble,
        calibration,
        _measure(
            method, _with(table, probability_fake=ensemble.combine(scores)), ensemble.thresholds
        ),
        tuple(
            _measure(model.name, of_model, model.thresholds)
            for model, of_model in zip(detectors, tables, strict=True)
        ),
    )


def _check_file(out: Path) -> None:
    """Raises EnsembleError or ValueError where the file cannot be written, or is something else
    than an ensemble, before the work is done."""
    if out.is_dir():
        raise EnsembleError(f"--out {out} is a folder; give a file, as {out / 'ensemble.json'}.")
    if out.exists():
        try:
            Ensemble.read(out)
        except EnsembleError as error:
            raise EnsembleError(
                f"--out {out} is there and is no ensemble, which alone is replaced. Give another "
                "name."
            ) from error
    check_out(out.parent)


def _with(table: Predictions, **values: np.ndarray) -> Predictions:
    """The same clips with other numbers; values: of fields of ScoredClip, each (clips,)."""
    rows = zip(*(array.tolist() for array in values.values()), strict=True)
    clips = [
        dataclasses.replace(clip, **dict(zip(values, row, strict=True)))
        for clip, row in zip(table.clips, rows, strict=True)
    ]
    return dataclasses.replace(table, clips=clips)


def _measure(name: str, table: Predictions, thresholds: Thresholds) -> SplitFigures:
    """Of videos, judged as the calibration judged them."""
    (dataset,) = table.datasets
    if holds_all_moments(dataset):
        videos = only_looked_at(table, thresholds, ScanSettings()).scored
    else:
        videos = score_videos(table.clips, thresholds)
    figures = score_metrics(LabelledScores.of_videos(videos, thresholds.fake_above))
    roc_auc, log_loss = figures.value(ROC_AUC), figures.value(LOG_LOSS)
    assert roc_auc is not None and log_loss is not None  # both classes are there
    return SplitFigures(name, roc_auc, log_loss)


def describe(calibrated: CalibratedEnsemble) -> str:
    """What was found, in lines for people."""
    return "\n".join(
        [
            calibrate.describe(calibrated.calibration),
            f"{_figures(calibrated.own)}: these videos by the ensemble",
            *(f"{_figures(member)}: by {member.name} alone" for member in calibrated.members),
            "The ensemble was fitted to these videos. Whether it is better than its best member "
            "on new ones is for `dfdetect evaluate` on test videos to say.",
        ]
    )


def _figures(of: SplitFigures) -> str:
    return f"ROC-AUC {of.roc_auc:.4f}, log-loss {of.log_loss:.4f}"
