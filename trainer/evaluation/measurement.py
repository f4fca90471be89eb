"""Metrics of scores with their bootstrap intervals: of frames, clips, videos or a part of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from typing import Any

from pipelines.clip import FAKE, REAL
from trainer.evaluation.bootstrap import Bootstrap, Interval
from trainer.evaluation.labelled_scores import LabelledScores
from trainer.evaluation.metrics import METRICS, Metric, metrics_of_slices


def inline_values(metrics: Any) -> Any:
    """A field of metrics' values, whose names stand beside the other keys of metrics.json."""
    return dataclasses.field(metadata={"inline": metrics})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimates:
    """Metrics by name, None where one is not defined, and their 95 % intervals."""

    values: Mapping[str, float | None] = inline_values(lambda: list(METRICS))
    intervals: Mapping[str, Interval | None]

    def value(self, metric: Metric) -> float | None:
        return self.values.get(metric.name)

    def interval(self, metric: Metric) -> Interval | None:
        return self.intervals.get(metric.name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement(Estimates):
    """The metrics of some scores; not_defined says why those that need both classes are None."""

    count: int
    real: int
    fake: int
    not_defined: str | None
    threshold: float
    # Rows: truth real, fake; columns: not called, called fake.
    confusion_matrix: tuple[tuple[int, int], tuple[int, int]]


def score_metrics(scores: LabelledScores) -> Measurement:
    """Metrics without intervals.

    What is not defined, such as the AUC where one class is absent, is None, never NaN.
    """
    real, fake = scores.count(REAL), scores.count(FAKE)
    (tn, fp), (fn, tp) = scores.confusion_matrix().tolist()
    return Measurement(
        count=real + fake,
        real=real,
        fake=fake,
        not_defined=undefined_reason(real, fake),
        threshold=scores.threshold,
        confusion_matrix=((tn, fp), (fn, tp)),
        values={name: _value(metric, scores) for name, metric in METRICS.items()},
        intervals={},
    )


def _value(metric: Metric, scores: LabelledScores) -> float | None:
    if not scores.has(metric.needs):
        return None
    value = float(metric.compute(scores))
    return value if math.isfinite(value) else None


def undefined_reason(real: int, fake: int) -> str | None:
    """Why metrics that compare the two classes do not exist; None where they do."""
    if not real and not fake:
        return "nothing was scored"
    if not real:
        return "there are no real ones"
    return None if fake else "there are no fake ones"


def measure(
    scores: LabelledScores,
    bootstrap: Bootstrap,
    with_intervals: Collection[Metric] | None = None,
) -> Measurement:
    """`score_metrics` with intervals of all metrics or of some."""
    intervals = bootstrap.intervals(scores, with_intervals)
    return dataclasses.replace(score_metrics(scores), intervals=intervals)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SliceMeasurement(Estimates):
    """The metrics of a part of the videos.

    videos: its own. real, fake: those compared, see `slices.measure_slice`. too_small: too few
    videos with a score for conclusions.
    """

    videos: int
    real: int
    fake: int
    inconclusive: int
    no_face: int
    too_small: bool
    not_defined: str | None
    values: Mapping[str, float | None] = inline_values(
        lambda: [metric.name for metric in metrics_of_slices()]
    )
