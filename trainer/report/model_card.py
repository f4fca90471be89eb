"""The model card: what a model is, how good and for what, made from an evaluation result.

Front matter as Hugging Face reads it: https://huggingface.co/docs/hub/model-cards
"""

from __future__ import annotations

from typing import Any

import yaml

from trainer.evaluation.metrics import METRICS, RECALL, ROC_AUC
from trainer.evaluation.result import EvaluationResult
from trainer.report.formatting import datasets, with_interval
from trainer.report.notes import leakage_line, limits, notes

TAGS = ("deepfake-detection", "video-forensics", "face")
ABOUT = (
    "Tells from the faces in a video whether they were manipulated. It takes aligned face "
    "crops, `[batch, frames, height, width, 3]` uint8 RGB with a mask `[batch, frames]`, and "
    "gives P(fake) for each clip. Clips average within a face track, and the highest track "
    "is the video's score."
)


def model_card(result: EvaluationResult | None, name: str = "dfdetect") -> str:
    """Markdown with YAML front matter. result: None where the model was not evaluated, which the
    card then says."""
    front: dict[str, Any] = {
        "library_name": "keras",
        "pipeline_tag": "video-classification",
        "tags": list(TAGS),
    }
    if result:
        front["model-index"] = [{"name": name, "results": _hub_results(result)}]
    head = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    parts = [f"---\n{head}---", f"# {name}", ABOUT, *_evaluation(result)]
    return "\n\n".join(parts) + "\n"


def _hub_results(result: EvaluationResult) -> list[dict[str, Any]]:
    """The video metrics that are defined and that Hugging Face has a type for; of each data set
    where there are several."""
    return [
        {
            "task": {"type": "video-classification", "name": "Deepfake detection, whole videos"},
            "dataset": {
                "type": "-".join((*row.tested_on, *(["generated"] if row.sample_data else []))),
                "name": datasets(row.tested_on, row.sample_data),
                "split": result.split,
            },
            "metrics": [
                {"type": metric.hub_type, "name": metric.title, "value": row.value(metric)}
                for metric in METRICS.values()
                if metric.hub_type and row.value(metric) is not None
            ],
        }
        for row in result.cross_dataset
    ]


def _evaluation(result: EvaluationResult | None) -> list[str]:
    if not result:
        return [
            "## Evaluation",
            "This model was not evaluated: nothing is known of how good it is.",
        ]
    return [
        f"Verdicts: REAL up to P(fake) {result.thresholds.real_below:.3g}, FAKE from "
        f"{result.thresholds.fake_above:.3g} on, INCONCLUSIVE between "
        "and where the face is too small or in too few frames, or where too little of the video "
        "was looked at for REAL. For each e-fold of places at which a fake part could lie, a score "
        f"loses {result.thresholds.search_cost:.3g} in log-odds.",
        "## Evaluation",
        leakage_line(result.leakage),
        *notes(result),
        f"On the {result.split} split: {result.video.count} videos with a score "
        f"({result.video.real} real, {result.video.fake} fake) of "
        f"{result.bootstrap.units} source videos. Of all {result.verdicts.videos}, "
        f"{result.verdicts.total('INCONCLUSIVE')} were INCONCLUSIVE and "
        f"{result.verdicts.total('NO_FACE')} had no face.",
        _table(
            ("videos", "value [95 % interval]"),
            [(metric.title, with_interval(result.video, metric)) for metric in METRICS.values()],
        ),
        _table(
            ("method", "videos", "ROC-AUC [95 % interval]", "recall [95 % interval]"),
            [
                (
                    part.name + (" (too few videos)" if part.too_small else ""),
                    str(part.videos),
                    with_interval(part, ROC_AUC),
                    with_interval(part, RECALL),
                )
                for part in result.slices.method
            ],
        ),
        "## Training",
        _training(result),
        "## Limits",
        "\n".join(f"- {limit}" for limit in limits(result)),
    ]


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    rows = [tuple(cell.replace("|", "\\|") for cell in row) for row in rows]
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _training(result: EvaluationResult) -> str:
    model = result.model
    if not model.trained_on:
        return "What the model was trained on is not known."
    return (
        f"Trained on {datasets(model.trained_on, model.sample_data)} with backbone "
        f"{model.train.get('backbone')} and {model.train.get('temporal')} over "
        f"{model.preprocess['frames_per_clip']} frames of {model.preprocess['crop_size']} px. "
        f"Fingerprint of the crops: `{result.fingerprint}`."
    )
