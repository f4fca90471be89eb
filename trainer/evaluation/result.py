"""Predictions -> all that metrics.json holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipelines.clip import FAKE, LABEL_NAMES, REAL
from pipelines.verdict import Thresholds, Verdict, decide
from trainer.evaluation.bootstrap import LEVEL, Bootstrap
from trainer.evaluation.measured_model import Detector
from trainer.evaluation.metrics import calibration_bins, score_metrics
from trainer.evaluation.predictions import Predictions
from trainer.evaluation.scored import ScoredVideo, deciding_clip, rescore
from trainer.evaluation.slices import measure_slice, slices
from trainer.leakage import leakage, read_seen
from trainer.run import trained_on_of

SCHEMA = "dfdetect-metrics/1"
WORST = 10  # errors shown
CROPS = 4  # of each


def measure(detector: Detector, predictions: Predictions, bootstrap: Bootstrap) -> dict[str, Any]:
    """What metrics.json holds, made of the predictions alone."""
    videos, scored = predictions.videos, predictions.scored
    threshold = detector.thresholds.fake_above
    levels = _levels(predictions, threshold, bootstrap)
    parts = slices(videos, threshold, bootstrap)
    trained_on = trained_on_of(detector.config)
    return {
        "schema": SCHEMA,
        "split": " + ".join(predictions.splits),
        "videos": len(scored),
        "clips": levels["clip"]["count"],
        "frames": levels["frame"]["count"],
        "no_face_known": predictions.listed,
        "unusable": predictions.unusable,
        "sample_data": any(dataset.generated for dataset in predictions.datasets),
        "shuffled_labels": bool(detector.config.get("train", {}).get("shuffle_labels", False)),
        "fingerprint": predictions.datasets[0].fingerprint,
        "fingerprint_checked": detector.fingerprint is not None,
        "leakage": leakage(read_seen(detector.folder), [row.video for row in scored]),
        "thresholds": {
            "real_below": detector.thresholds.real_below,
            "fake_above": detector.thresholds.fake_above,
        },
        "calibration": detector.calibration,
        "bootstrap": {
            "resamples": bootstrap.resamples,
            "seed": bootstrap.seed,
            "level": LEVEL,
            "unit": "source video",
            "units": len({video.video.source_key for video in scored}),
        },
        **levels,
        "verdicts": verdicts(videos, detector.thresholds),
        "reliability": calibration_bins(_labels(scored), _scores(scored)),
        "methods": {
            part["name"]: {
                "videos": part["videos"],
                "roc_auc": part["roc_auc"],
                "recall": part["recall"],
            }
            for part in parts["method"]
        },
        "slices": parts,
        "cross_dataset": [
            _cross_row(predictions, number, trained_on, threshold, bootstrap)
            for number in range(len(predictions.datasets))
        ],
        "robustness": _robustness(predictions, detector.thresholds, bootstrap),
        "worst_errors": worst_errors(predictions),
        "model": {
            "name": detector.name,
            "trained_on": trained_on,
            "sample_data": bool(detector.config.get("sample_data", False)),
            "train": dict(detector.config.get("train", {})),
            "preprocess": predictions.datasets[0].config.to_dict(),
            "train_split": detector.config.get("splits", {}).get("train"),
        },
    }


def _labels(videos: Sequence[ScoredVideo]) -> np.ndarray:
    return np.array([video.video.label for video in videos], int)


def _scores(videos: Sequence[ScoredVideo]) -> np.ndarray:
    return np.array([video.score for video in videos], float)


def _levels(
    predictions: Predictions, threshold: float, bootstrap: Bootstrap
) -> dict[str, dict[str, Any]]:
    """The metrics with intervals of frames, clips and videos, each of them for itself."""
    clips = [clip for clip in predictions.clips if len(clip.times_s)]
    frames = [len(clip.times_s) for clip in clips]
    labels = np.array([clip.video.label for clip in clips])
    sources = np.array([clip.video.source_key for clip in clips])
    videos = predictions.scored
    tables: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {
        "frame": (
            np.repeat(labels, frames),
            np.concatenate([clip.frame_probabilities for clip in clips]),
            np.repeat(sources, frames),
        ),
        "clip": (labels, np.array([clip.probability_fake for clip in clips]), sources),
        "video": (_labels(videos), _scores(videos), np.array([v.video.source_key for v in videos])),
    }
    return {
        level: {
            **score_metrics(truth, scores, threshold),
            f"{level}s": len(truth),
            "intervals": bootstrap.intervals(truth, scores, units, threshold),
        }
        for level, (truth, scores, units) in tables.items()
    }


def verdicts(videos: Sequence[ScoredVideo], thresholds: Thresholds) -> dict[str, Any]:
    """How often each verdict is given, by truth; shares are of all videos, NO_FACE among them.

    too_little_evidence: videos that are INCONCLUSIVE though their score alone would decide.
    """
    counts = {
        name: {
            verdict.value: sum(v.verdict == verdict and v.video.label == label for v in videos)
            for verdict in Verdict
        }
        for label, name in LABEL_NAMES.items()
    }
    correct = counts["real"][Verdict.REAL] + counts["fake"][Verdict.FAKE]
    given = Counter(video.verdict for video in videos)
    decided = given[Verdict.REAL] + given[Verdict.FAKE]
    total = len(videos)
    overruled = [
        video
        for video in videos
        if video.score is not None and video.verdict != decide(video.score, thresholds)
    ]
    return {
        "counts": counts,
        "videos": total,
        "decided": decided,
        "too_little_evidence": len(overruled),
        "inconclusive_share": given[Verdict.INCONCLUSIVE] / total if total else None,
        "no_face_share": given[Verdict.NO_FACE] / total if total else None,
        "correct_share": correct / total if total else None,
        "correct_share_of_decided": correct / decided if decided else None,
    }


def _cross_row(
    predictions: Predictions,
    number: int,
    trained_on: Sequence[str],
    threshold: float,
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    videos = [video for video in predictions.videos if video.data == number]
    datasets = sorted({video.video.dataset for video in videos})
    return {
        "data": str(predictions.datasets[number].folder),
        "trained_on": list(trained_on),
        "tested_on": datasets,
        "seen_dataset": bool(set(datasets) & set(trained_on)) if trained_on else None,
        "sample_data": predictions.datasets[number].generated,
        **measure_slice(videos, videos, threshold, bootstrap),
    }


def _robustness(
    predictions: Predictions, thresholds: Thresholds, bootstrap: Bootstrap
) -> dict[str, Any] | None:
    if not predictions.conditions:
        return None
    videos = predictions.scored
    labels, sources = _labels(videos), [video.video.source_key for video in videos]

    def row(scores: Any) -> dict[str, Any]:
        values = score_metrics(labels, scores, thresholds.fake_above)
        intervals = bootstrap.intervals(labels, scores, sources, thresholds.fake_above)
        return {
            "roc_auc": values["roc_auc"],
            "interval": intervals.get("roc_auc"),
            "recall": values["recall"],
            "false_alarm_rate": values["false_alarm_rate"],
        }

    return {
        "clean": row(_scores(videos)),
        "conditions": [
            {
                "kind": condition.kind,
                "level": condition.level,
                "label": condition.label,
                **row(rescore(videos, predictions.clips, probabilities, thresholds)),
            }
            for condition, probabilities in zip(
                predictions.conditions, predictions.under_conditions, strict=True
            )
        ],
    }


def worst_errors(predictions: Predictions, most: int = WORST) -> list[dict[str, Any]]:
    """The videos with a wrong verdict, the most certain errors first, and the clip to blame."""
    wrong = {REAL: Verdict.FAKE, FAKE: Verdict.REAL}
    errors = [video for video in predictions.scored if video.verdict == wrong[video.video.label]]
    errors.sort(key=lambda v: (-abs(v.score - v.video.label), v.video.key))  # type: ignore[operator]
    rows = []
    for video in errors[:most]:
        number = deciding_clip(video, predictions.clips)
        clip = predictions.clips[number]
        shown = np.unique(np.linspace(0, len(clip.times_s) - 1, CROPS).round().astype(int))
        rows.append(
            {
                "dataset": video.video.dataset,
                "video": video.video.id,
                "method": video.video.method,
                "compression": video.video.compression,
                "truth": LABEL_NAMES[video.video.label],
                "verdict": str(video.verdict),
                "probability_fake": video.score,
                "clip": number,
                "start_s": float(clip.times_s.min()),
                "end_s": float(clip.times_s.max()),
                "frames": [
                    {
                        "number": int(i),
                        "time_s": float(clip.times_s[i]),
                        "probability_fake": float(clip.frame_probabilities[i]),
                    }
                    for i in shown
                ],
            }
        )
    return rows
