"""Job metrics: counters and stage times of a run on any engine, gathered, stored and printed."""

from __future__ import annotations

from collections import Counter
from typing import Any

from apache_beam.metrics import Metrics, MetricsFilter
from rich.console import Console
from rich.table import Table

from pipelines import storage
from pipelines.video.stopwatch import Stopwatch

NAMESPACE = "dfdetect"
# In the order in which a video goes through them; "video" is all of them together.
STAGES = ("copy", "decode", "detect", "crop", "write", "model", "video", "shard")
MS = "_ms"  # ends the name of a distribution of milliseconds


def count(thing: str, number: int = 1) -> None:
    """Adds to a counter of the job. To be called by a Beam step at work."""
    Metrics.counter(NAMESPACE, thing).inc(number)


def record(watch: Stopwatch) -> None:
    """Adds a video's counts and stages to those of the job."""
    for thing, number in watch.counts.items():
        count(thing, number)
    for stage, seconds in watch.seconds.items():
        Metrics.distribution(NAMESPACE, stage + MS).update(round(seconds * 1000))


def gather(result: Any) -> dict[str, Any]:
    """{"counts": thing -> number, "stages": stage -> its times in milliseconds} of a Beam run.

    result: of a run that is over. Runners tell what was committed or, where they know no
    commits, what was attempted; that may count work twice that was done twice.
    """
    metrics = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))
    counts: Counter[str] = Counter()
    for metric in metrics["counters"]:
        counts[metric.key.metric.name] += metric.result or 0
    stages: dict[str, dict[str, Any]] = {}
    for metric in metrics["distributions"]:
        name = metric.key.metric.name.removesuffix(MS)
        if metric.result and metric.result.count:
            stages[name] = _together(stages.get(name), metric.result)
    return {"counts": dict(sorted(counts.items())), "stages": stages}


def report(result: Any, path: str, console: Console | None = None) -> dict[str, Any]:
    """Gathers the metrics, stores them as JSON at `path` and shows them on a console."""
    metrics = gather(result)
    storage.write_json(path, metrics)
    if console:
        console.print(table(metrics))
    return metrics


def table(metrics: dict[str, Any]) -> Table:
    """Counts and stages as `gather` gives them, for a terminal."""
    rows = Table(box=None, pad_edge=False)
    for heading in ("", "count", "total s", "mean ms", "max ms"):
        rows.add_column(heading, justify="right" if heading else "left")
    for thing, number in metrics["counts"].items():
        rows.add_row(thing, f"{number:,}", "", "", "")
    for stage in (stage for stage in STAGES if stage in metrics["stages"]):
        ms = metrics["stages"][stage]
        cells = (f"{ms['sum'] / 1000:.1f}", f"{ms['mean']:.0f}", f"{ms['max']}")
        rows.add_row(stage, f"{ms['count']:,}", *cells)
    return rows


def _together(first: dict[str, Any] | None, other: Any) -> dict[str, Any]:
    """Two distributions of the same stage, of two steps, as one."""
    first = first or {"count": 0, "sum": 0, "min": other.min, "max": other.max}
    count, total = first["count"] + other.count, first["sum"] + other.sum
    return {
        "count": count,
        "sum": total,
        "min": min(first["min"], other.min),
        "max": max(first["max"], other.max),
        "mean": round(total / count, 1),
    }
