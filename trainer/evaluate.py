"""A trained model on data sets -> metrics with intervals, predictions and a report."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.clip import FAKE, LABEL_NAMES, REAL, SPLITS
from serving.verdict import Thresholds, Verdict, decide
from trainer.detector import Detector, load_detector
from trainer.facts import trained_on_of
from trainer.figures import TITLES, with_interval
from trainer.intervals import LEVEL, Bootstrap
from trainer.metrics import calibration_bins, score_metrics
from trainer.predictions import Predictions, crops_of, predict
from trainer.report import write_report
from trainer.run import is_sample, write_csv, write_json
from trainer.scored import ScoredClip, ScoredVideo, deciding_clip, rescore
from trainer.sections import LEVELS
from trainer.seen import Seen, hash_key, read_seen
from trainer.slices import measure_slice, slices
from trainer.statements import leakage_line, notes

SCHEMA = "dfdetect-metrics/1"
NAMES = (
    "roc_auc",
    "eer",
    "accuracy",
    "precision",
    "recall",
    "f1",
    "false_alarm_rate",
    "ece",
)  # that are printed
WORST = 10  # errors shown
CROPS = 4  # of each


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

    robustness: also under each condition of trainer.robustness. seed: of the intervals and the
    conditions. Returns what metrics.json holds, see docs/evaluation.md. Raises OSError or
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
    from trainer.robustness import CONDITIONS

    return CONDITIONS


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
        "sample_data": any(map(is_sample, predictions.infos)),
        "shuffled_labels": bool(detector.config.get("train", {}).get("shuffle_labels", False)),
        "fingerprint": predictions.infos[0]["fingerprint"],
        "fingerprint_checked": detector.fingerprint is not None,
        "leakage": leakage(read_seen(detector.folder), scored),
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
            for number in range(len(predictions.folders))
        ],
        "robustness": _robustness(predictions, threshold, bootstrap),
        "worst_errors": worst_errors(predictions),
        "model": {
            "name": detector.name,
            "trained_on": trained_on,
            "sample_data": bool(detector.config.get("sample_data", False)),
            "train": dict(detector.config.get("train", {})),
            "preprocess": dict(predictions.infos[0]["config"]),
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


def leakage(seen: Seen | None, videos: Sequence[ScoredVideo]) -> dict[str, Any]:
    """How many of the videos, their sources and people the training has seen; None where that is
    not known: the model keeps no record, or none of that kind. Names are compared within a data
    set."""
    given = {
        "videos": {hash_key("video", v.video.dataset, v.video.id) for v in videos},
        "sources": {
            hash_key("source", v.video.dataset, v.video.source_id)
            for v in videos
            if v.video.source_id
        },
        "identities": {
            hash_key("identity", v.video.dataset, name)
            for v in videos
            for name in v.video.identities
        },
    }
    return {
        "known": seen is not None,
        **{
            kind: {
                "seen": len(hashes & getattr(seen, kind)) if getattr(seen, kind, None) else None,
                "of": len(hashes),
            }
            for kind, hashes in given.items()
        },
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
        "data": predictions.folders[number],
        "trained_on": list(trained_on),
        "tested_on": datasets,
        "seen_dataset": bool(set(datasets) & set(trained_on)) if trained_on else None,
        "sample_data": is_sample(predictions.infos[number]),
        **measure_slice(videos, videos, threshold, bootstrap),
    }


def _robustness(
    predictions: Predictions, threshold: float, bootstrap: Bootstrap
) -> dict[str, Any] | None:
    if not predictions.conditions:
        return None
    videos = predictions.scored
    labels, sources = _labels(videos), [video.video.source_key for video in videos]

    def row(scores: Any) -> dict[str, Any]:
        values = score_metrics(labels, scores, threshold)
        intervals = bootstrap.intervals(labels, scores, sources, threshold)
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
                **row(rescore(videos, predictions.clips, probabilities)),
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


def _print_table(metrics: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(leakage_line(metrics["leakage"]), markup=False)
    table = Table(title=f"{metrics['split']} split")
    table.add_column("")
    for level in LEVELS:
        table.add_column(level, justify="right")
    table.add_row("count", *(str(metrics[level]["count"]) for level in LEVELS))
    for name in NAMES:
        table.add_row(TITLES[name], *(with_interval(metrics[level], name) for level in LEVELS))
    console.print(table)
    for method in metrics["slices"]["method"]:
        auc = with_interval(method, "roc_auc")
        console.print(f"{method['name']}: video AUC {auc}, {method['videos']} fakes", markup=False)
    for note in notes(metrics):
        console.print(note, markup=False)


def add_data_flags(parser: argparse.ArgumentParser) -> None:
    """--data and --split: the videos that a model is measured on."""
    parser.add_argument(
        "--data",
        required=True,
        action="append",
        help="folder of shards from `dfdetect preprocess`; may be given several times",
    )
    parser.add_argument(
        "--split", nargs="+", default=["test"], choices=SPLITS, help="(default: test)"
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="dfdetect evaluate",
        description="Measures a trained model on data sets and writes a report.",
        allow_abbrev=False,
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", help="run folder from `dfdetect train`")
    source.add_argument(
        "--model", help="a run folder, a .keras file or a SavedModel of `dfdetect export`"
    )
    add_data_flags(parser)
    parser.add_argument("--out", required=True, help="folder for the report")
    parser.add_argument(
        "--robustness",
        action="store_true",
        help="measure under compression, blur, noise and so on too; takes many times as long",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of intervals and noise (default: %(default)s)"
    )
    args = parser.parse_args(argv)
    if args.seed < 0:
        parser.error(f"--seed is {args.seed}; it must be 0 or more.")
    try:
        metrics = evaluate(
            args.run or args.model, args.data, args.out, args.split, args.robustness, args.seed
        )
    except (OSError, ValueError) as error:
        print(f"dfdetect evaluate: {error}", file=sys.stderr)
        return 1
    _print_table(metrics)
    print(f"report: {Path(args.out) / 'report.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
