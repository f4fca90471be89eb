"""Comparison of two models on the same videos by a paired bootstrap of their metrics."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.atomic import write_json
from pipelines.dataclass_json import to_json
from pipelines.shards.open import ClipDataset
from trainer.evaluation.bootstrap import (
    Bootstrap,
    Interval,
    paired_difference,
    percentile_interval,
)
from trainer.evaluation.evaluate import check_out
from trainer.evaluation.evaluate_predictions import holds_generated, measure_leakage
from trainer.evaluation.labelled_scores import LabelledScores
from trainer.evaluation.measured_model import Detector, load_detector
from trainer.evaluation.measurement import score_metrics
from trainer.evaluation.metrics import METRICS
from trainer.evaluation.predictions import Predictions, predict
from trainer.leakage import Leakage

SCHEMA = "dfdetect-comparison/1"


@dataclasses.dataclass(frozen=True)
class ComparedModel:
    """A model and its threshold of P(fake) for FAKE."""

    name: str
    fake_above: float


@dataclasses.dataclass(frozen=True)
class PairedResampling:
    """How the intervals were made; units: how many source videos there are."""

    resamples: int
    seed: int
    unit: str
    units: int


@dataclasses.dataclass(frozen=True)
class MetricDifference:
    """A metric of both models and B less A with its 95 % interval; None where not defined."""

    a: float | None
    b: float | None
    difference: float | None
    interval: Interval | None
    beyond_chance: bool | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """Video metrics of models "a" and "b" on the same videos."""

    models: Mapping[str, ComparedModel]
    videos: int
    real: int
    fake: int
    not_defined: str | None
    bootstrap: PairedResampling
    metrics: Mapping[str, MetricDifference]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison(Difference):
    """What comparison.json holds, see docs/evaluation.md."""

    schema: str
    split: str
    data: tuple[str, ...]
    leakage: Mapping[str, Leakage]
    sample_data: bool

    def to_dict(self) -> dict[str, Any]:
        return to_json(self)


def compare(
    first: str | os.PathLike,
    second: str | os.PathLike,
    data: str | os.PathLike | Sequence[str | os.PathLike],
    out: str | os.PathLike,
    split: str | Sequence[str] = "test",
    seed: int = 0,
) -> Comparison:
    """Evaluates two models on the same splits and writes comparison.json to `out`.

    Each model is any that `evaluate` takes; both must take the same crops. Raises OSError
    or ValueError where they cannot be compared.
    """
    folders = [data] if isinstance(data, str | os.PathLike) else list(data)
    splits = [split] if isinstance(split, str) else list(split)
    detectors = [load_detector(model) for model in (first, second)]
    out = Path(out)
    check_out(out)
    # One after the other on the same crops: the fingerprint of each is checked.
    tables = [
        predict(
            detector,
            [ClipDataset.open(folder, detector.fingerprint) for folder in folders],
            splits,
        )
        for detector in detectors
    ]
    comparison = Comparison(
        schema=SCHEMA,
        split=" + ".join(splits),
        data=tuple(map(str, folders)),
        leakage={
            name: measure_leakage(detector, table.scored)
            for name, detector, table in zip("ab", detectors, tables, strict=True)
        },
        sample_data=holds_generated(tables[0]),
        **vars(difference(detectors, tables, Bootstrap(seed=seed))),
    )
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "comparison.json", comparison.to_dict())
    return comparison


def difference(
    detectors: Sequence[Detector], tables: Sequence[Predictions], bootstrap: Bootstrap
) -> Difference:
    """Video metrics of both models, B less A, and the 95 % interval of that difference: each
    resample of source videos is measured with both models (paired bootstrap)."""
    rows = [{v.video.full_key: v for v in table.scored} for table in tables]
    if rows[0].keys() != rows[1].keys():
        raise ValueError("The two models did not score the same videos.")
    keys = sorted(rows[0])
    limits = [detector.thresholds.fake_above for detector in detectors]
    scores = [
        LabelledScores.of_videos([row[key] for key in keys], limit)
        for row, limit in zip(rows, limits, strict=True)
    ]
    a, b = map(score_metrics, scores)
    sources = scores[0].source_count
    differences = paired_difference(*map(bootstrap.draw, scores)) if sources > 1 else {}
    return Difference(
        models={
            name: ComparedModel(detector.name, limit)
            for name, detector, limit in zip("ab", detectors, limits, strict=True)
        },
        videos=len(keys),
        real=a.real,
        fake=a.fake,
        not_defined=a.not_defined,
        bootstrap=PairedResampling(bootstrap.resamples, bootstrap.seed, "source video", sources),
        metrics={
            name: _metric_difference(a.value(metric), b.value(metric), differences.get(name))
            for name, metric in METRICS.items()
        },
    )


def _metric_difference(
    a: float | None, b: float | None, differences: np.ndarray | None
) -> MetricDifference:
    """differences: B less A in each resample, (R,)."""
    if a is None or b is None:
        return MetricDifference(a, b, None, None, None)
    interval = percentile_interval(differences) if differences is not None else None
    beyond_chance = not interval[0] <= 0 <= interval[1] if interval else None
    return MetricDifference(a, b, b - a, interval, beyond_chance)
