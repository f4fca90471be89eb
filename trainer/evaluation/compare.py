"""Two models on the same videos: how much better one is, and whether that may be chance."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.atomic import write_json
from trainer.evaluation.bootstrap import Bootstrap, paired_difference, percentile_interval
from trainer.evaluation.evaluate import check_out
from trainer.evaluation.measured_model import Detector, load_detector
from trainer.evaluation.metrics import score_metrics
from trainer.evaluation.predictions import Predictions, predict
from trainer.evaluation.scored import video_key
from trainer.leakage import leakage, read_seen
from trainer.report.comparison import markdown
from trainer.report.formatting import TITLES
from trainer.run import is_sample

SCHEMA = "dfdetect-comparison/1"


def compare(
    first: str | os.PathLike,
    second: str | os.PathLike,
    data: str | os.PathLike | Sequence[str | os.PathLike],
    out: str | os.PathLike,
    split: str | Sequence[str] = "test",
    seed: int = 0,
) -> dict[str, Any]:
    """Measures two models on the same splits and writes comparison.json and comparison.md to
    `out`. Returns what the former holds, see docs/evaluation.md.

    Each model is any that `evaluate` takes; both must take the same crops. Raises OSError
    or ValueError where they cannot be compared.
    """
    folders = [data] if isinstance(data, str | os.PathLike) else list(data)
    splits = [split] if isinstance(split, str) else list(split)
    detectors = [load_detector(model) for model in (first, second)]
    out = Path(out)
    check_out(out)
    # One after the other on the same crops: the fingerprint of each is checked.
    tables = [predict(detector, folders, splits) for detector in detectors]
    result = {
        "schema": SCHEMA,
        "split": " + ".join(splits),
        "data": list(map(str, folders)),
        "leakage": {
            name: leakage(read_seen(detector.folder), table.scored)
            for name, detector, table in zip("ab", detectors, tables, strict=True)
        },
        "sample_data": any(map(is_sample, tables[0].infos)),
        **difference(detectors, tables, Bootstrap(seed=seed)),
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "comparison.md").write_text(markdown(result))
    write_json(out / "comparison.json", result)
    return result


def difference(
    detectors: Sequence[Detector], tables: Sequence[Predictions], bootstrap: Bootstrap
) -> dict[str, Any]:
    """Video metrics of both models, B less A, and the 95 % interval of that difference: each
    resample of source videos is measured with both models (paired bootstrap)."""
    rows = [{video_key(v.video): v for v in table.scored} for table in tables]
    if rows[0].keys() != rows[1].keys():
        raise ValueError("The two models did not score the same videos.")
    keys = sorted(rows[0])
    labels = np.array([rows[0][key].video.label for key in keys])
    sources = np.array([rows[0][key].video.source_key for key in keys])
    scores = [np.array([row[key].score for key in keys], float) for row in rows]
    limits = [detector.thresholds.fake_above for detector in detectors]
    values = [score_metrics(labels, s, limit) for s, limit in zip(scores, limits, strict=True)]
    drawn = [
        bootstrap.draw(labels, s, sources, limit) for s, limit in zip(scores, limits, strict=True)
    ]
    differences = paired_difference(*drawn) if len(set(sources)) > 1 else {}
    return {
        "models": {
            name: {"name": detector.name, "fake_above": limit}
            for name, detector, limit in zip("ab", detectors, limits, strict=True)
        },
        "videos": len(keys),
        "real": values[0]["real"],
        "fake": values[0]["fake"],
        "not_defined": values[0]["not_defined"],
        "bootstrap": {
            "resamples": bootstrap.resamples,
            "seed": bootstrap.seed,
            "unit": "source video",
            "units": len(set(sources)),
        },
        "metrics": {
            name: _row(values[0][name], values[1][name], differences.get(name)) for name in TITLES
        },
    }


def _row(a: float | None, b: float | None, differences: np.ndarray | None) -> dict[str, Any]:
    """differences: B less A in each resample, (R,)."""
    both = a is not None and b is not None
    interval = percentile_interval(differences) if both and differences is not None else None
    return {
        "a": a,
        "b": b,
        "difference": b - a if a is not None and b is not None else None,
        "interval": interval,
        "beyond_chance": not interval[0] <= 0 <= interval[1] if interval else None,
    }
