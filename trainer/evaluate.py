"""A trained model on one split -> metrics, predictions, plots and a report."""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trainer.export import load_model, load_run
from trainer.train import CONFIG_NAME, write_json

SAMPLE_NOTE = (
    "The generated set only exercises the system. These numbers say nothing about real deepfakes."
)
NAMES = ("roc_auc", "accuracy", "balanced_accuracy", "precision", "recall", "f1")


def predict_clips(model: Any, data: str | os.PathLike, split: str, batch: int = 8) -> list[dict]:
    """P(fake) of each clip that has a frame, with its ids, in the shards' order."""
    import tensorflow as tf

    from trainer.data import clips_dataset

    @tf.function(reduce_retracing=True)
    def score(clips, mask):
        return tf.sigmoid(model({"clips": clips, "mask": mask}, training=False)["logit"])

    rows = []
    for item in clips_dataset(data, split).batch(batch).prefetch(2):
        scores = score(item["clips"], item["mask"]).numpy()
        for i in np.flatnonzero(item["mask"].numpy().any(axis=1)):
            rows.append(
                {
                    "video": item["video"][i].numpy().decode(),
                    "method": item["method"][i].numpy().decode(),
                    "track": int(item["track"][i]),
                    "clip": int(item["clip"][i]),
                    "label": int(item["label"][i]),
                    "probability_fake": float(scores[i]),
                }
            )
    return rows


def videos_of(clips: Sequence[dict]) -> list[dict]:
    """One row per video, scored by the rule that serving uses."""
    from serving.verdict import video_score

    groups: dict[str, list[dict]] = {}
    for clip in clips:
        groups.setdefault(clip["video"], []).append(clip)
    return [
        {
            "video": video,
            "method": rows[0]["method"],
            "label": rows[0]["label"],
            "clips": len(rows),
            "probability_fake": float(
                video_score([r["track"] for r in rows], [r["probability_fake"] for r in rows])
            ),
        }
        for video, rows in sorted(groups.items())
    ]


def _measure(rows: Sequence[dict]) -> dict[str, Any]:
    from trainer.metrics import score_metrics

    return score_metrics([r["label"] for r in rows], [r["probability_fake"] for r in rows])


def _is_sample(info: dict, clips: Sequence[dict]) -> bool:
    names = {str(info.get("dataset", "")), *(c["video"].split("/")[0] for c in clips)}
    notes = " ".join(map(str, info.get("problems", []))).lower()
    return any("sample" in name.lower() for name in names) or "generated" in notes


def evaluate(
    run: str | os.PathLike, data: str | os.PathLike, out: str | os.PathLike, split: str = "test"
) -> dict[str, Any]:
    """Scores a split with a run's model (a run folder or a .keras file) and writes to `out`:
    metrics.json, predictions.csv (videos), clips.csv, three plots and report.html.

    Returns what metrics.json holds. Raises FileNotFoundError or ValueError where it cannot.
    """
    from trainer.data import load_dataset_info
    from trainer.metrics import method_aucs

    run, out = Path(run), Path(out)
    if run.suffix == ".keras":
        if not run.is_file():
            raise FileNotFoundError(f"{run} is missing: finish `dfdetect train` first.")
        beside = run.parent / CONFIG_NAME
        config = json.loads(beside.read_text()) if beside.is_file() else {}
        info = load_dataset_info(data, config.get("fingerprint"))
        model = load_model(run)
    else:
        model, config = load_run(run)
        info = load_dataset_info(data, config["fingerprint"])
    clips = predict_clips(model, data, split)
    if not clips:
        raise ValueError(f"{data}: no {split} clip holds a face.")
    videos = videos_of(clips)
    labels = np.array([v["label"] for v in videos])
    scores = np.array([v["probability_fake"] for v in videos])
    video = _measure(videos)
    metrics = {
        "split": split,
        "videos": len(videos),
        "clips": len(clips),
        "sample_data": _is_sample(info, clips),
        "shuffled_labels": bool(config.get("train", {}).get("shuffle_labels", False)),
        "fingerprint": info["fingerprint"],
        "clip": {**_measure(clips), "clips": len(clips)},
        "video": {**video, "videos": len(videos)},
        "methods": method_aucs(labels, scores, [v["method"] for v in videos]),
    }
    out.mkdir(parents=True, exist_ok=True)
    _write_csv(out / "predictions.csv", videos)
    _write_csv(out / "clips.csv", clips)
    _write_report(out, metrics, config, labels, scores)
    write_json(out / "metrics.json", metrics)
    return metrics


def _write_csv(path: Path, rows: Sequence[dict]) -> None:
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _write_report(
    out: Path, metrics: dict, config: dict, labels: np.ndarray, scores: np.ndarray
) -> None:
    from trainer.report import draw_plots, render

    plots = draw_plots(metrics["video"]["confusion_matrix"], labels, scores)
    for name, png in plots.items():
        (out / f"{name}.png").write_bytes(png)
    notes = [SAMPLE_NOTE] if metrics["sample_data"] else []
    if metrics["shuffled_labels"]:
        notes.append("The training labels were shuffled: an AUC near 0.5 is what is hoped for.")
    (out / "report.html").write_text(render(metrics, config, plots, notes, NAMES))


def _print_table(metrics: dict) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title=f"{metrics['split']} split")
    for heading in ("level", "count", *NAMES):
        table.add_column(heading, justify="left" if heading == "level" else "right")
    for level in ("clip", "video"):
        part = metrics[level]
        values = ("n/a" if part[n] is None else f"{part[n]:.3f}" for n in NAMES)
        table.add_row(level, str(part["count"]), *values)
    console.print(table)
    for method, part in metrics["methods"].items():
        auc = "n/a" if part["roc_auc"] is None else f"{part['roc_auc']:.3f}"
        console.print(f"{method}: video AUC {auc} over {part['videos']} fakes", markup=False)
    if metrics["sample_data"]:
        console.print(SAMPLE_NOTE)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="dfdetect evaluate",
        description="Measures a trained model on a split and writes a report.",
        allow_abbrev=False,
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", help="run folder from `dfdetect train`")
    source.add_argument("--model", help="a .keras file instead of a run folder")
    parser.add_argument("--data", required=True, help="folder of shards from `dfdetect preprocess`")
    parser.add_argument(
        "--split", default="test", choices=("train", "val", "test"), help="(default: %(default)s)"
    )
    parser.add_argument("--out", required=True, help="folder for the report")
    args = parser.parse_args(argv)
    if args.model and not args.model.endswith(".keras"):
        parser.error(f"--model is {args.model}; it must be a .keras file.")
    try:
        metrics = evaluate(args.run or args.model, args.data, args.out, args.split)
    except (FileNotFoundError, ValueError) as error:
        print(f"dfdetect evaluate: {error}", file=sys.stderr)
        return 1
    _print_table(metrics)
    print(f"report: {Path(args.out) / 'report.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
