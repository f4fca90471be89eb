"""Evaluation of a trained model on data sets: metrics.json and the tables of predictions."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.atomic import write_csv, write_json
from pipelines.coverage import ScanSettings
from pipelines.shards.open import ClipDataset
from trainer.evaluation.as_served import only_looked_at, require_all_moments
from trainer.evaluation.bootstrap import Bootstrap
from trainer.evaluation.evaluate_predictions import evaluate_predictions
from trainer.evaluation.measured_model import Detector, load_detector
from trainer.evaluation.predictions import Predictions, crops_of, predict
from trainer.evaluation.result import EvaluationResult, WorstError
from trainer.evaluation.robustness import CONDITIONS
from trainer.evaluation.scored import ScoredClip, ScoredVideo

METRICS_NAME = "metrics.json"


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """An evaluation and what its report is drawn from.

    videos: those with a score. error_crops: of each worst error, the encoded crops of its frames.
    """

    result: EvaluationResult
    videos: Sequence[ScoredVideo]
    error_crops: Sequence[Sequence[bytes]]


def evaluate(
    model: str | os.PathLike | Detector,
    data: str | os.PathLike | Sequence[str | os.PathLike],
    out: str | os.PathLike,
    split: str | Sequence[str] = "test",
    robustness: bool = False,
    seed: int = 0,
    as_served: ScanSettings | None = None,
) -> Evaluation:
    """Evaluates a model (run folder, .keras file, exported model or a detector of any kind) on
    splits of data sets and writes metrics.json, predictions.csv (videos) and clips.csv to `out`.
    `trainer.report.render` writes the report of it.

    robustness: also under each condition of `evaluation.robustness`. seed: of the intervals and
    the conditions. as_served: judges each video by those of its moments that serving would look
    at by these settings; the data must hold all of them. Raises OSError or ValueError where it
    cannot.
    """
    detector = model if isinstance(model, Detector) else load_detector(model)
    folders = [data] if isinstance(data, str | os.PathLike) else list(data)
    splits = [split] if isinstance(split, str) else list(split)
    out = Path(out)
    check_out(out)
    datasets = [ClipDataset.open(folder, detector.fingerprint) for folder in folders]
    if as_served:
        for dataset in datasets:
            require_all_moments(dataset)
    predictions = predict(detector, datasets, splits, CONDITIONS if robustness else (), seed)
    if as_served:
        predictions = only_looked_at(predictions, detector.thresholds, as_served)
    result = evaluate_predictions(detector, predictions, Bootstrap(seed=seed))
    crops = _error_crops(predictions, result.worst_errors)
    out.mkdir(parents=True, exist_ok=True)
    write_csv(out / "predictions.csv", map(_video_row, predictions.videos))
    write_csv(out / "clips.csv", (_clip_row(c) for c in predictions.clips if len(c.times_s)))
    write_json(out / METRICS_NAME, result.to_dict())
    return Evaluation(result, predictions.scored, crops)


def check_out(out: Path) -> None:
    """Raises ValueError where nothing can be written to the folder, before the work is done."""
    existing = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        raise ValueError(f"--out {out}: {existing} is not a folder that can be written to.")


def _error_crops(predictions: Predictions, errors: Sequence[WorstError]) -> list[list[bytes]]:
    """The encoded crops of the frames of each error."""
    clips = [predictions.clips[error.clip] for error in errors]
    positions: dict[tuple[int, str], list[int]] = {}
    for clip in clips:
        positions.setdefault((clip.data, clip.video.split), []).append(clip.position)
    crops = {
        (number, split): crops_of(predictions.datasets[number], split, chosen)
        for (number, split), chosen in positions.items()
    }
    return [
        [crops[clip.data, clip.video.split][clip.position][frame.number] for frame in error.frames]
        for clip, error in zip(clips, errors, strict=True)
    ]


def _video_row(row: ScoredVideo) -> dict[str, Any]:
    return {
        **_video_columns(row),
        "verdict": str(row.verdict),
        "probability_fake": row.score,
        "clips": len(row.clips),
        "tracks": row.tracks,
        "frames": row.frames,
        "face_px": row.face_px,
        "start_s": row.start_s,
        "end_s": row.end_s,
        "segments": " ".join(f"{s.start_s:.3f}-{s.end_s:.3f}" for s in row.segments),
        "moments": row.coverage and row.coverage.moments,
        "share": row.coverage and row.coverage.share,
        "largest_gap_s": row.coverage and row.coverage.largest_gap_s,
    }


def _clip_row(row: ScoredClip) -> dict[str, Any]:
    return {
        **_video_columns(row),
        "track": row.track,
        "clip": row.clip,
        "probability_fake": row.probability_fake,
        "frames": len(row.times_s),
        "face_px": row.face_px,
        "start_s": float(row.times_s.min()),
        "end_s": float(row.times_s.max()),
    }


def _video_columns(row: ScoredVideo | ScoredClip) -> dict[str, Any]:
    names = ("dataset", "id", "method", "compression", "split", "source_id", "label")
    return {name: getattr(row.video, name) for name in names}
