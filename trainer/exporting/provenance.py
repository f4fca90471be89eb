"""Provenance that travels with a model: what it was trained on, and how it did in a test."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trainer.errors import ExportError
from trainer.evaluation.metrics import FALSE_ALARM_RATE
from trainer.evaluation.result import EvaluationResult, SchemaError, training_datasets

# Of a model that was not tested, or only on videos that it knows from its training.
UNTESTED: dict[str, Any] = {
    "tested_on": [],
    "test_videos": None,
    "false_alarm_rate": None,
    "reliability": None,
}


def read_metrics(
    path: str | os.PathLike, fingerprint: str, thresholds: Mapping[str, float]
) -> EvaluationResult:
    """A metrics.json of `dfdetect evaluate`.

    Raises ExportError where it is none, or was measured with other crops or thresholds than those
    that are shipped.
    """
    try:
        result = EvaluationResult.from_dict(json.loads(Path(path).read_text()))
    except SchemaError as error:
        raise ExportError(f"{path}: {error}") from error
    except (OSError, ValueError) as error:
        raise ExportError(f"{path}: is no metrics.json of `dfdetect evaluate`: {error}") from error
    measured = {
        "fingerprint": result.fingerprint,
        "thresholds": dataclasses.asdict(result.thresholds),
    }
    shipped = {"fingerprint": fingerprint, "thresholds": dict(thresholds)}
    for name, value in shipped.items():
        if measured[name] != value:
            raise ExportError(
                f"{path}: was measured with {name} {measured[name]}, this model has {value}. "
                "Run `dfdetect evaluate` on this run again, after `dfdetect calibrate`."
            )
    return result


def facts(config: Mapping[str, Any], result: EvaluationResult | None) -> dict[str, Any]:
    """What facts.json holds. config: the training's config.json; result: by `read_metrics`."""
    generated = bool(config.get("sample_data"))
    training = {
        "trained_on": _marked(training_datasets(config), generated),
        "sample_data": generated,
    }
    if result is None or result.leakage.videos.seen:
        return {**training, **UNTESTED}
    tested_on = {name for row in result.cross_dataset for name in row.tested_on}
    return {
        **training,
        "tested_on": _marked(sorted(tested_on), result.sample_data),
        "test_videos": result.videos,
        "false_alarm_rate": result.video.value(FALSE_ALARM_RATE),
        "reliability": [
            {
                "low": part.low,
                "high": part.high,
                "videos": part.count,
                "fake": round(part.count * (part.fake_share or 0)),
            }
            for part in result.reliability
        ],
    }


def _marked(names: Iterable[str], generated: bool) -> list[str]:
    """The generated set goes by the name of the set that it is laid out like."""
    return [f"{name} (generated)" if generated else name for name in names]
