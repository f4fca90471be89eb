"""Two models on the same videos: how much better one is, and whether that may be chance."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trainer.detector import Detector, load_detector
from trainer.evaluate import add_data_flags, check_out
from trainer.figures import TITLES, number
from trainer.intervals import Bootstrap, paired_difference, percentile_interval
from trainer.metrics import score_metrics
from trainer.predictions import Predictions, predict
from trainer.run import is_sample, write_json
from trainer.scored import video_key
from trainer.seen import leakage, read_seen
from trainer.statements import data_notes, leakage_line

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


def table_rows(result: Mapping[str, Any]) -> list[tuple[str, str, str, str, str, str]]:
    """metric, A, B, B - A, its interval, whether that is beyond chance."""
    known = {True: "yes", False: "no", None: "not known"}
    return [
        (
            TITLES[name],
            number(row["a"]),
            number(row["b"]),
            _signed(row["difference"]),
            f"{_signed(row['interval'][0])} to {_signed(row['interval'][1])}"
            if row["interval"]
            else "none",
            known[row["beyond_chance"]],
        )
        for name, row in result["metrics"].items()
    ]


HEAD = ("videos", "A", "B", "B - A", "95 % interval", "beyond chance")


def _signed(value: float | None) -> str:
    return number(None) if value is None else f"{value:+.3f}"


def markdown(result: Mapping[str, Any]) -> str:
    """The comparison as one table."""
    lines = [
        *(f"{name.upper()}: {leakage_line(result['leakage'][name])}\n" for name in "ab"),
        f"# Two models on the {result['split']} split\n",
        *(f"> {note}\n" for note in _notes(result)),
        f"A: {result['models']['a']['name']}  \nB: {result['models']['b']['name']}\n",
        f"{result['videos']} videos, {result['real']} real and {result['fake']} fake, of "
        f"{result['bootstrap']['units']} source videos; paired bootstrap over these, "
        f"{result['bootstrap']['resamples']} resamples, seed {result['bootstrap']['seed']}.\n",
        "| " + " | ".join(HEAD) + " |",
        "| " + " | ".join("---" for _ in HEAD) + " |",
        *("| " + " | ".join(row) + " |" for row in table_rows(result)),
    ]
    return "\n".join(lines) + "\n"


def _notes(result: Mapping[str, Any]) -> list[str]:
    return data_notes(result["sample_data"], result["split"], result["not_defined"])


def _print(result: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for name in "ab":
        line = f"{name.upper()}: {result['models'][name]['name']}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
        console.print(f"   {leakage_line(result['leakage'][name])}", markup=False, highlight=False)
    table = Table(title=f"{result['split']} split, {result['videos']} videos")
    for heading in HEAD:
        table.add_column(heading, justify="left" if heading == HEAD[0] else "right")
    for row in table_rows(result):
        table.add_row(*row)
    console.print(table)
    for note in _notes(result):
        console.print(note, markup=False)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="dfdetect compare",
        description="Compares two models on the same videos by a paired bootstrap.",
        allow_abbrev=False,
    )
    parser.add_argument("a", help="a run folder, a .keras file or a SavedModel")
    parser.add_argument("b", help="the other model")
    add_data_flags(parser)
    parser.add_argument("--out", required=True, help="folder for the comparison")
    parser.add_argument("--seed", type=int, default=0, help="of intervals (default: %(default)s)")
    args = parser.parse_args(argv)
    if args.seed < 0:
        parser.error(f"--seed is {args.seed}; it must be 0 or more.")
    try:
        result = compare(args.a, args.b, args.data, args.out, args.split, args.seed)
    except (OSError, ValueError) as error:
        print(f"dfdetect compare: {error}", file=sys.stderr)
        return 1
    _print(result)
    print(f"comparison: {Path(args.out) / 'comparison.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
