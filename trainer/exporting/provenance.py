"""Provenance of an exported model: the data it was trained on, and its evaluation."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.model_contract import ModelProvenance, ReliabilityBin
from pipelines.verdict import Thresholds
from trainer.errors import ExportError
from trainer.evaluation.result import SCHEMA
from trainer.run import trained_on_of


def read_metrics(
    path: str | os.PathLike, fingerprint: str, thresholds: Thresholds
) -> dict[str, Any]:
    """A metrics.json of `dfdetect evaluate`.

    Raises ExportError where it is none, or was measured with other crops or thresholds than those
    that are shipped.
    """
    try:
        metrics = json.loads(Path(path).read_text())
        schema = metrics["schema"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{path}: is no metrics.json of `dfdetect evaluate`: {error}") from error
    if schema != SCHEMA:
        raise ExportError(
            f"{path}: holds {schema}, expected {SCHEMA}. Evaluate again with this version."
        )
    bounds = {"real_below": thresholds.real_below, "fake_above": thresholds.fake_above}
    shipped = {"fingerprint": fingerprint, "thresholds": bounds}
    for name, value in shipped.items():
        if metrics[name] != value:
            raise ExportError(
                f"{path}: was measured with {name} {metrics[name]}, this model has {value}. "
                "Run `dfdetect evaluate` on this run again, after `dfdetect calibrate`."
            )
    return metrics


def provenance(config: Mapping[str, Any], metrics: Mapping[str, Any] | None) -> ModelProvenance:
    """What the model may say of where it comes from and how good it is.

    config: the training's config.json; metrics: by `read_metrics`. Figures that were measured on
    videos of the training are left out.
    """
    generated = bool(config.get("sample_data"))
    trained_on = _marked(trained_on_of(config), generated)
    if metrics is None or metrics["leakage"]["videos"]["seen"]:
        return ModelProvenance(trained_on=trained_on, sample_data=generated)
    tested_on = {name for row in metrics["cross_dataset"] for name in row["tested_on"]}
    return ModelProvenance(
        trained_on=trained_on,
        tested_on=_marked(sorted(tested_on), metrics["sample_data"]),
        test_videos=metrics["videos"],
        false_alarm_rate=metrics["video"]["false_alarm_rate"],
        reliability=tuple(
            ReliabilityBin(
                low=scores["from"],
                high=scores["to"],
                videos=scores["count"],
                fake=round(scores["count"] * (scores["fake_share"] or 0)),
            )
            for scores in metrics["reliability"]
        ),
        sample_data=generated,
    )


def _marked(names: list[str], generated: bool) -> tuple[str, ...]:
    """The generated set goes by the name of the set that it is laid out like."""
    return tuple(f"{name} (generated)" for name in names) if generated else tuple(names)
