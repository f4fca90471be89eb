"""Calibration of a trained model: temperature and thresholds fitted on the validation split.

The best epoch was chosen on that split too, so what is measured here is a little too good.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

import numpy as np

from pipelines.clip import FAKE, LABEL_NAMES
from pipelines.shards.open import ClipDataset
from pipelines.verdict import Thresholds, Verdict, VideoVerdict
from trainer.calibration import (
    MAX_FPR,
    Calibration,
    apply,
    check_share,
    choose_thresholds,
    fit_temperature,
    log_loss,
)
from trainer.evaluation.measured_model import of_run
from trainer.evaluation.predictions import Predictions, predict
from trainer.evaluation.scored import judge_video
from trainer.leakage import collect
from trainer.run import Run

SPLIT = "val"
_WHY_NOT = {
    "train": "the model was fitted to it, and is surer there than of anything new",
    "test": "what is measured there afterwards would no longer be of videos new to the model",
}


def calibrate(
    run: str | os.PathLike,
    data: str | os.PathLike,
    split: str = SPLIT,
    max_fpr: float = MAX_FPR,
) -> Calibration:
    """Fits a run's temperature and thresholds on a split and writes its calibration.json.

    Raises ValueError for another split than "val", for one with videos that the model was
    trained on or without both classes, and FileNotFoundError or ValueError where run or data
    cannot be used.
    """
    if split != SPLIT:
        why = _WHY_NOT.get(split, "there is no such split")
        raise ValueError(f"Calibration is refused on split {split!r}: {why}. Use {SPLIT!r}.")
    check_share(max_fpr)
    trained = Run.open(run)
    dataset = ClipDataset.open(data, trained.fingerprint)
    counts = dataset.label_counts(split)
    if not all(counts.values()):
        clips = " and ".join(f"{counts[label]} {name}" for label, name in LABEL_NAMES.items())
        raise ValueError(f"{data} has {clips} {split} clips; calibration needs both classes.")
    _refuse_seen(trained, dataset, split)
    predictions = predict(of_run(trained, calibrated=False), [dataset], [split])
    return trained.write_calibration(fit(predictions, split, max_fpr))


def _refuse_seen(run: Run, dataset: ClipDataset, split: str) -> None:
    if run.seen is None:
        return
    here = collect(dataset, split)
    if common := len(run.seen.common(here).videos):
        raise ValueError(
            f"{dataset.folder}: {common} of {len(here.videos)} {split} videos were in the training "
            f"of {run.folder}; calibration needs videos that are new to the model. "
            f"{_WHY_NOT['train']}."
        )


def fit(predictions: Predictions, split: str, max_fpr: float) -> Calibration:
    """The calibration of an uncalibrated model on its own predictions.

    Thresholds are chosen among the videos of which a face has evidence enough for a verdict; the
    rates are those of the verdicts on all videos with a face. Raises ValueError where a class has
    no such video.
    """
    clips = predictions.clips
    numbers = [number for number, clip in enumerate(clips) if len(clip.times_s)]
    logits = [clips[number].logit for number in numbers]
    labels = [clips[number].video.label for number in numbers]
    clips_of = Counter(clips[number].video.full_key for number in numbers)
    weights = [1 / clips_of[clips[number].video.full_key] for number in numbers]
    temperature = fit_temperature(logits, labels, weights)
    probabilities = apply([clip.logit for clip in clips], temperature)
    videos = predictions.scored

    def judge(thresholds: Thresholds) -> list[VideoVerdict]:
        return [judge_video(video, clips, probabilities, thresholds) for video in videos]

    truth = np.array([video.video.label for video in videos])
    real_below, fake_above = _thresholds(judge(Thresholds()), truth, max_fpr)
    verdicts = np.array([v.verdict for v in judge(Thresholds(real_below, fake_above))])
    fakes = truth == FAKE
    return Calibration(
        temperature=temperature,
        real_below=real_below,
        fake_above=fake_above,
        max_fpr=max_fpr,
        split=split,
        videos=len(truth),
        fake_videos=int(fakes.sum()),
        false_alarm_rate=float(np.mean(verdicts[~fakes] == Verdict.FAKE)),
        detection_rate=float(np.mean(verdicts[fakes] == Verdict.FAKE)),
        miss_rate=float(np.mean(verdicts[fakes] == Verdict.REAL)),
        inconclusive_rate=float(np.mean(verdicts == Verdict.INCONCLUSIVE)),
        log_loss_before=log_loss(logits, labels, 1.0, weights),
        log_loss_after=log_loss(logits, labels, temperature, weights),
    )


def _thresholds(
    videos: Sequence[VideoVerdict], truth: np.ndarray, max_fpr: float
) -> tuple[float, float]:
    """(real_below, fake_above), chosen among the videos that a threshold can decide.

    A face with too little evidence is INCONCLUSIVE whatever its score, so that the highest score
    of the others is what makes a video FAKE; no verdict follows from it where there is none.
    """
    scores, labels = [], []
    for video, label in zip(videos, truth, strict=True):
        decidable = [track.score for track in video.tracks if not track.evidence.lacks()]
        if decidable:
            scores.append(max(decidable))
            labels.append(label)
    for label, name in LABEL_NAMES.items():
        if label not in labels:
            raise ValueError(
                f"None of the {name} videos shows a face well enough for a verdict; calibration "
                "needs both classes."
            )
    return choose_thresholds(scores, labels, max_fpr)


def describe(calibration: Calibration) -> str:
    """What was found, in lines for people."""
    real = calibration.videos - calibration.fake_videos
    lines = [
        f"temperature {calibration.temperature:.3f}: log-loss {calibration.log_loss_before:.4f} -> "
        f"{calibration.log_loss_after:.4f}",
        f"REAL at or below {calibration.real_below:.3f}, FAKE at or above "
        f"{calibration.fake_above:.3f}: of {real} real videos {calibration.false_alarm_rate:.1%} "
        f"called FAKE; of {calibration.fake_videos} fakes {calibration.detection_rate:.1%} called "
        f"FAKE, {calibration.miss_rate:.1%} REAL; {calibration.inconclusive_rate:.1%} of all "
        "INCONCLUSIVE",
    ]
    if calibration.false_alarm_rate > calibration.max_fpr:
        lines.append(
            f"No threshold keeps false alarms at {calibration.max_fpr:.1%}: too many real videos "
            "score exactly 1. This model should not be used."
        )
    elif real * calibration.max_fpr < 1:
        lines.append(
            f"{real} real videos are too few to measure false alarms of {calibration.max_fpr:.1%}; "
            "none was allowed, and the true rate may be higher."
        )
    return "\n".join(lines)
