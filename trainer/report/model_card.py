"""The model card: what a model is, how good and for what, made from metrics.json.

Front matter as Hugging Face reads it: https://huggingface.co/docs/hub/model-cards
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainer.report.formatting import TITLES, datasets, with_interval
from trainer.report.notes import leakage_line, limits, notes

TAGS = ("deepfake-detection", "video-forensics", "face")
# Name in metrics.json -> the type of metric that Hugging Face knows.
TYPES = {
    "roc_auc": "roc_auc",
    "average_precision": "average_precision",
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "f1",
    "brier": "brier_score",
}


def model_card(metrics: Mapping[str, Any] | None, name: str = "dfdetect") -> str:
    """Markdown with YAML front matter. metrics: what metrics.json holds; None where the model
    was not measured, which the card then says."""
    import yaml

    front: dict[str, Any] = {
        "library_name": "keras",
        "pipeline_tag": "video-classification",
        "tags": list(TAGS),
    }
    if metrics:
        front["model-index"] = [{"name": name, "results": _results(metrics)}]
    head = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    parts = [f"---\n{head}---", f"# {name}", *_about(metrics)]
    return "\n\n".join(parts) + "\n"


def _results(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The video figures that are defined; of each data set where there are several."""
    return [
        {
            "task": {"type": "video-classification", "name": "Deepfake detection, whole videos"},
            "dataset": {
                "type": "-".join(
                    (*row["tested_on"], *(["generated"] if row.get("sample_data") else []))
                ),
                "name": datasets(row["tested_on"], row.get("sample_data", False)),
                "split": metrics["split"],
            },
            "metrics": [
                {"type": TYPES[name], "name": TITLES[name], "value": row[name]}
                for name in TYPES
                if row.get(name) is not None
            ],
        }
        for row in metrics["cross_dataset"]
    ]


def _about(metrics: Mapping[str, Any] | None) -> list[str]:
    what = (
        "Tells from the faces in a video whether they were manipulated. It takes aligned face "
        "crops, `[batch, frames, height, width, 3]` uint8 RGB with a mask `[batch, frames]`, and "
        "gives P(fake) for each clip. Clips average within a face track, and the highest track "
        "is the video's score."
    )
    if not metrics:
        return [
            what,
            "## Evaluation",
            "This model was not evaluated: nothing is known of how good it is.",
        ]
    low, high = metrics["thresholds"]["real_below"], metrics["thresholds"]["fake_above"]
    verdicts = metrics["verdicts"]
    return [
        what,
        f"Verdicts: REAL up to P(fake) {low:.3g}, FAKE from {high:.3g} on, INCONCLUSIVE between "
        "and where the face is too small or in too few frames.",
        "## Evaluation",
        leakage_line(metrics["leakage"]),
        *notes(metrics),
        f"On the {metrics['split']} split: {metrics['video']['count']} videos with a score "
        f"({metrics['video']['real']} real, {metrics['video']['fake']} fake) of "
        f"{metrics['bootstrap']['units']} source videos. Of all {verdicts['videos']}, "
        f"{sum(row['INCONCLUSIVE'] for row in verdicts['counts'].values())} were INCONCLUSIVE and "
        f"{sum(row['NO_FACE'] for row in verdicts['counts'].values())} had no face.",
        _table(
            ("videos", "value [95 % interval]"),
            [(title, with_interval(metrics["video"], name)) for name, title in TITLES.items()],
        ),
        _table(
            ("method", "videos", "ROC-AUC [95 % interval]", "recall [95 % interval]"),
            [
                (
                    row["name"] + (" (too few videos)" if row["too_small"] else ""),
                    str(row["videos"]),
                    with_interval(row, "roc_auc"),
                    with_interval(row, "recall"),
                )
                for row in metrics["slices"]["method"]
            ],
        ),
        "## Training",
        _training(metrics),
        "## Limits",
        "\n".join(f"- {limit}" for limit in limits(metrics)),
    ]


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    rows = [tuple(cell.replace("|", "\\|") for cell in row) for row in rows]
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _training(metrics: Mapping[str, Any]) -> str:
    model = metrics["model"]
    if not model["trained_on"]:
        return "What the model was trained on is not known."
    train = model["train"]
    trained_on = datasets(model["trained_on"], model.get("sample_data", False))
    return (
        f"Trained on {trained_on} with backbone {train.get('backbone')} and "
        f"{train.get('temporal')} over {model['preprocess']['frames_per_clip']} frames of "
        f"{model['preprocess']['crop_size']} px. Fingerprint of the crops: "
        f"`{metrics['fingerprint']}`."
    )
