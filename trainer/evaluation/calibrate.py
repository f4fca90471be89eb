"""Fits a trained model's temperature and thresholds on the validation split.

The best epoch was chosen on that split too, so what is measured here is a little too good.
"""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.clip import FAKE, LABEL_NAMES
from pipelines.verdict import Thresholds, Verdict, decide, track_scores
from trainer.calibration import (
    MAX_FPR,
    Calibration,
    apply,
    check_share,
    choose_thresholds,
    fit_temperature,
    log_loss,
    sha256_of,
)
from trainer.run import CALIBRATION_NAME, MODEL_NAME, write_json

SPLIT = "val"
_BATCH = 8  # clips
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
    from trainer.input.clips import clip_counts, load_dataset_info
    from trainer.trained_model import load_run

    if split != SPLIT:
        why = _WHY_NOT.get(split, "there is no such split")
        raise ValueError(f"Calibration is refused on split {split!r}: {why}. Use {SPLIT!r}.")
    check_share(max_fpr)
    model, config = load_run(run)
    info = load_dataset_info(data, config["fingerprint"])
    counts = clip_counts(data, info, split)
    if not all(counts.values()):
        found = " and ".join(f"{counts[label]} {name}" for label, name in LABEL_NAMES.items())
        raise ValueError(f"{data} has {found} {split} clips; calibration needs both classes.")
    _refuse_seen(run, data, split)
    clips = _logits(model, data, split)
    return _calibrated(Path(run), clips, split, max_fpr)


def _refuse_seen(run: str | os.PathLike, data: str | os.PathLike, split: str) -> None:
    from trainer.leakage import collect, read_seen

    seen = read_seen(run)
    if seen is None:
        return
    here = collect(data, split)
    if common := len(seen.common(here).videos):
        raise ValueError(
            f"{data}: {common} of {len(here.videos)} {split} videos were in the training of {run}; "
            f"calibration needs videos that are new to the model. {_WHY_NOT['train']}."
        )


@dataclasses.dataclass(frozen=True)
class _ClipLogit:
    video: tuple[str, str]  # with its method: some data sets name videos alike across methods
    track: int
    label: int
    logit: float


def _logits(model: Any, data: str | os.PathLike, split: str) -> list[_ClipLogit]:
    """Of each clip that holds a frame."""
    import tensorflow as tf

    from trainer.input.clips import clips_dataset, readable

    @tf.function(reduce_retracing=True)
    def logit(clips, mask):
        return model({"clips": clips, "mask": mask}, training=False)["logit"]

    found = []
    for batch in readable(clips_dataset(data, split).batch(_BATCH).prefetch(2), data):
        logits = logit(batch["clips"], batch["mask"]).numpy()
        ids = {name: batch[name].numpy() for name in ("video", "method", "track", "label")}
        for i in np.flatnonzero(batch["mask"].numpy().any(axis=1)):
            video = ids["video"][i].decode(), ids["method"][i].decode()
            track, label = int(ids["track"][i]), int(ids["label"][i])
            found.append(_ClipLogit(video, track, label, float(logits[i])))
    return found


def _calibrated(run: Path, clips: Sequence[_ClipLogit], split: str, max_fpr: float) -> Calibration:
    logits, labels = [clip.logit for clip in clips], [clip.label for clip in clips]
    clips_of = Counter(clip.video for clip in clips)
    weights = [1 / clips_of[clip.video] for clip in clips]
    temperature = fit_temperature(logits, labels, weights)
    scores, truth = _video_scores(clips, apply(logits, temperature))
    real_below, fake_above = choose_thresholds(scores, truth, max_fpr)
    calls = np.array([decide(s, Thresholds(real_below, fake_above)) for s in scores])
    fakes = truth == FAKE
    calibration = Calibration(
        temperature=temperature,
        real_below=real_below,
        fake_above=fake_above,
        max_fpr=max_fpr,
        split=split,
        videos=len(truth),
        fake_videos=int(fakes.sum()),
        false_alarm_rate=float(np.mean(calls[~fakes] == Verdict.FAKE)),
        detection_rate=float(np.mean(calls[fakes] == Verdict.FAKE)),
        miss_rate=float(np.mean(calls[fakes] == Verdict.REAL)),
        inconclusive_rate=float(np.mean(calls == Verdict.INCONCLUSIVE)),
        log_loss_before=log_loss(logits, labels, 1.0, weights),
        log_loss_after=log_loss(logits, labels, temperature, weights),
        model_sha256=sha256_of(run / MODEL_NAME),
    )
    write_json(run / CALIBRATION_NAME, calibration.to_dict())
    return calibration


def _video_scores(
    clips: Sequence[_ClipLogit], probabilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """P(fake) of each video's highest-scoring face, and its label."""
    groups: dict[tuple[str, str], list[int]] = {}
    for index, clip in enumerate(clips):
        groups.setdefault(clip.video, []).append(index)
    scores = [
        max(track_scores([clips[i].track for i in rows], probabilities[rows].tolist()).values())
        for rows in groups.values()
    ]
    return np.array(scores), np.array([clips[rows[0]].label for rows in groups.values()])


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
