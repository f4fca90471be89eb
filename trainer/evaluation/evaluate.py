"""A trained model on data sets -> metrics with intervals, predictions and a report."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.atomic import write_csv, write_json
from trainer.evaluation.bootstrap import Bootstrap
from trainer.evaluation.measured_model import load_detector
from trainer.evaluation.predictions import Predictions, crops_of, predict
from trainer.evaluation.result import measure
from trainer.evaluation.scored import ScoredClip, ScoredVideo
from trainer.report.render import write_report


def evaluate(
    run: str | os.PathLike,
    data: str | os.PathLike | Sequence[str | os.PathLike],
    out: str | os.PathLike,
    split: str | Sequence[str] = "test",
    robustness: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """Measures a model (run folder, .keras file or SavedModel) on splits of data sets and writes
    metrics.json, predictions.csv (videos), clips.csv, plots, report.html and report.md to `out`.

    robustness: also under each condition of `evaluation.robustness`. seed: of the intervals and
    the conditions. Returns what metrics.json holds, see docs/evaluation.md. Raises OSError or
    ValueError where it cannot.
    """
    detector = load_detector(run)
    folders = [data] if isinstance(data, str | os.PathLike) else list(data)
    splits = [split] if isinstance(split, str) else list(split)
    out = Path(out)
    check_out(out)
    predictions = predict(detector, folders, splits, _conditions(robustness), seed)
    metrics = measure(detector, predictions, Bootstrap(seed=seed))
    out.mkdir(parents=True, exist_ok=True)
    write_csv(out / "predictions.csv", map(_video_row, predictions.videos))
    write_csv(out / "clips.csv", (_clip_row(c) for c in predictions.clips if len(c.times_s)))
    write_report(out, metrics, predictions.scored, _crops(predictions, metrics["worst_errors"]))
    write_json(out / "metrics.json", metrics)
    return metrics


def check_out(out: Path) -> None:
    """Raises ValueError where nothing can be written to the folder, before the work is done."""
    there = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise ValueError(f"--out {out}: {there} is not a folder that can be written to.")


def _conditions(robustness: bool) -> Sequence[Any]:
    if not robustness:
        return ()
    from trainer.evaluation.robustness import CONDITIONS

    return CONDITIONS


def _crops(predictions: Predictions, errors: Sequence[Mapping[str, Any]]) -> list[list[bytes]]:
    """The encoded crops of the frames of each error."""
    chosen = [predictions.clips[error["clip"]] for error in errors]
    wanted: dict[tuple[int, str], list[int]] = {}
    for clip in chosen:
        wanted.setdefault((clip.data, clip.video.split), []).append(clip.position)
    found = {
        key: crops_of(predictions.folders[key[0]], predictions.infos[key[0]], key[1], positions)
        for key, positions in wanted.items()
    }
    return [
        [found[clip.data, clip.video.split][clip.position][f["number"]] for f in error["frames"]]
        for clip, error in zip(chosen, errors, strict=True)
    ]


def _video_row(row: ScoredVideo) -> dict[str, Any]:
    return {
        **_facts(row),
        "verdict": str(row.verdict),
        "probability_fake": row.score,
        "clips": len(row.clips),
        "tracks": row.tracks,
        "frames": row.frames,
        "face_px": row.face_px,
        "start_s": row.start_s,
        "end_s": row.end_s,
    }


def _clip_row(row: ScoredClip) -> dict[str, Any]:
    return {
        **_facts(row),
        "track": row.track,
        "clip": row.clip,
        "probability_fake": row.probability_fake,
        "frames": len(row.times_s),
        "face_px": row.face_px,
        "start_s": float(row.times_s.min()),
        "end_s": float(row.times_s.max()),
    }


def _facts(row: ScoredVideo | ScoredClip) -> dict[str, Any]:
    names = ("dataset", "id", "method", "compression", "split", "source_id", "label")
    return {name: getattr(row.video, name) for name in names}
