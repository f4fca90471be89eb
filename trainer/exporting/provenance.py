"""What a model may say of its own worth: what it was trained on, and how it did in a test."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.errors import ExportError

# Of a model that was not tested, or only on videos that it knows from its training.
UNTESTED: dict[str, Any] = {
    "tested_on": [],
    "test_videos": None,
    "false_alarm_rate": None,
    "reliability": None,
}


def read_metrics(
    path: str | os.PathLike, fingerprint: str, thresholds: Mapping[str, float]
) -> dict[str, Any]:
    """A metrics.json of `dfdetect evaluate`.

    Raises ExportError where it is none, or was measured with other crops or thresholds than those
    that are shipped.
    """
    from trainer.evaluation.result import SCHEMA

    try:
        metrics = json.loads(Path(path).read_text())
        found = metrics["schema"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{path}: is no metrics.json of `dfdetect evaluate`: {error}") from error
    if found != SCHEMA:
        raise ExportError(
            f"{path}: holds {found}, expected {SCHEMA}. Evaluate again with this version."
        )
    shipped = {"fingerprint": fingerprint, "thresholds": dict(thresholds)}
    for name, value in shipped.items():
        if metrics[name] != value:
            raise ExportError(
                f"{path}: was measured with {name} {metrics[name]}, this model has {value}. "
                "Run `dfdetect evaluate` on this run again, after `dfdetect calibrate`."
            )
    return metrics


def facts(config: Mapping[str, Any], metrics: Mapping[str, Any] | None) -> dict[str, Any]:
    """What facts.json holds. config: the training's config.json; metrics: by `read_metrics`."""
    generated = bool(config.get("sample_data"))
    training = {
        "trained_on": _marked(trained_on_of(config), generated),
        "sample_data": generated,
    }
    if metrics is None or metrics["leakage"]["videos"]["seen"]:
        return {**training, **UNTESTED}
    tested_on = {name for row in metrics["cross_dataset"] for name in row["tested_on"]}
    return {
        **training,
        "tested_on": _marked(sorted(tested_on), metrics["sample_data"]),
        "test_videos": metrics["videos"],
        "false_alarm_rate": metrics["video"]["false_alarm_rate"],
        "reliability": [
            {
                "low": found["from"],
                "high": found["to"],
                "videos": found["count"],
                "fake": round(found["count"] * (found["fake_share"] or 0)),
            }
            for found in metrics["reliability"]
        ],
    }


def _marked(names: list[str], generated: bool) -> list[str]:
    """The generated set goes by the name of the set that it is laid out like."""
    return [f"{name} (generated)" for name in names] if generated else names


def trained_on_of(config: Mapping[str, Any]) -> list[str]:
    """Names of the data sets in the training split; none where they are not known."""
    train = config.get("splits", {}).get("train") or {}
    return sorted(train.get("datasets", {}))
