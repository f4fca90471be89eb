"""The comparison of two models as comparison.md, and as rows for a terminal."""

from __future__ import annotations

from pathlib import Path

from trainer.evaluation.compare import Comparison
from trainer.evaluation.metrics import METRICS
from trainer.report.formatting import YES_NO, number
from trainer.report.notes import data_notes, leakage_line

HEAD = ("videos", "A", "B", "B - A", "95 % interval", "beyond chance")


def write_comparison(out: Path, comparison: Comparison) -> None:
    """Writes comparison.md."""
    (out / "comparison.md").write_text(markdown(comparison))


def table_rows(comparison: Comparison) -> list[tuple[str, str, str, str, str, str]]:
    """metric, A, B, B - A, its interval, whether that is beyond chance."""
    return [
        (
            METRICS[name].title,
            number(row.a),
            number(row.b),
            _signed(row.difference),
            f"{_signed(row.interval[0])} to {_signed(row.interval[1])}" if row.interval else "none",
            YES_NO[row.beyond_chance],
        )
        for name, row in comparison.metrics.items()
    ]


def _signed(value: float | None) -> str:
    return number(None) if value is None else f"{value:+.3f}"


def markdown(comparison: Comparison) -> str:
    """The comparison as one table."""
    bootstrap = comparison.bootstrap
    lines = [
        *(f"{name.upper()}: {leakage_line(comparison.leakage[name])}\n" for name in "ab"),
        f"# Two models on the {comparison.split} split\n",
        *(f"> {note}\n" for note in comparison_notes(comparison)),
        f"A: {comparison.models['a'].name}  \nB: {comparison.models['b'].name}\n",
        f"{comparison.videos} videos, {comparison.real} real and {comparison.fake} fake, of "
        f"{bootstrap.units} source videos; paired bootstrap over these, "
        f"{bootstrap.resamples} resamples, seed {bootstrap.seed}.\n",
        "| " + " | ".join(HEAD) + " |",
        "| " + " | ".join("---" for _ in HEAD) + " |",
        *("| " + " | ".join(row) + " |" for row in table_rows(comparison)),
    ]
    return "\n".join(lines) + "\n"


def comparison_notes(comparison: Comparison) -> list[str]:
    return data_notes(comparison.sample_data, comparison.split, comparison.not_defined)
