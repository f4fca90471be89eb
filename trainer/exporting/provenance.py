"""Provenance of an exported model: the data it was trained on, and its evaluation."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipelines.model_contract import ModelProvenance, ReliabilityBin
from pipelines.verdict import Thresholds
from trainer.errors import ExportError
from trainer.evaluation.metrics import FALSE_ALARM_RATE
from trainer.evaluation.result import EvaluationResult, SchemaError, VerdictThresholds
from trainer.run import training_datasets


def read_metrics(
    path: str | os.PathLike, fingerprint: str, thresholds: Thresholds
) -> EvaluationResult:
    """A metrics.json of `dfdetect evaluate`.

    Raises ExportError where it is none, or was measured of an ensemble, or with other crops or
    thresholds than those that are shipped.
    """
    try:
        result = EvaluationResult.from_dict(json.loads(Path(path).read_text()))
    except SchemaError as error:
        raise ExportError(f"{path}: {error}") from error
    except (OSError, ValueError) as error:
        raise ExportError(f"{path}: is no metrics.json of `dfdetect evaluate`: {error}") from error
    if result.model.members:
        raise ExportError(
            f"{path}: was measured of an ensemble, {result.model.name}. Run `dfdetect evaluate` on "
            "this run by itself."
        )
    shipped = VerdictThresholds.of(thresholds)
    for name, measured, value in (
        ("fingerprint", result.fingerprint, fingerprint),
        ("thresholds", result.thresholds, shipped),
    ):
        if measured != value:
            raise ExportError(
                f"{path}: was measured with {name} {measured}, this model has {value}. "
                "Run `dfdetect evaluate` on this run again, after `dfdetect calibrate`."
            )
    return result


def provenance(record: Mapping[str, Any], result: EvaluationResult | None) -> ModelProvenance:
    """What the model may say of where it comes from and how good it is.

    record: the training's config.json. result: by `read_metrics`; what was measured on videos of
    the training is left out.
    """
    generated = bool(record.get("sample_data"))
    trained_on = _marked(training_datasets(record), generated)
    if result is None or result.leakage.videos.seen:
        return ModelProvenance(trained_on=trained_on, sample_data=generated)
    tested_on = {name for row in result.cross_dataset for name in row.tested_on}
    return ModelProvenance(
        trained_on=trained_on,
        tested_on=_marked(sorted(tested_on), result.sample_data),
        test_videos=result.videos,
        false_alarm_rate=result.video.value(FALSE_ALARM_RATE),
        reliability=tuple(
            ReliabilityBin(
                low=part.low,
                high=part.high,
                videos=part.count,
                fake=round(part.count * (part.fake_share or 0)),
            )
            for part in result.reliability
        ),
        sample_data=generated,
    )


def _marked(names: Iterable[str], generated: bool) -> tuple[str, ...]:
    """The generated set goes by the name of the set that it is laid out like."""
    return tuple(f"{name} (generated)" if generated else name for name in names)
