"""The figures of an evaluation and of a comparison, printed for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from trainer.report.comparison import HEAD, comparison_notes, table_rows
from trainer.report.formatting import TITLES, with_interval
from trainer.report.notes import leakage_line, notes
from trainer.report.sections import LEVELS

# The metrics that are printed; the report has all.
PRINTED = ("roc_auc", "eer", "accuracy", "precision", "recall", "f1", "false_alarm_rate", "ece")


def print_metrics(metrics: Mapping[str, Any]) -> None:
    """What metrics.json holds, in short."""
    console = Console()
    console.print(leakage_line(metrics["leakage"]), markup=False)
    table = Table(title=f"{metrics['split']} split")
    table.add_column("")
    for level in LEVELS:
        table.add_column(level, justify="right")
    table.add_row("count", *(str(metrics[level]["count"]) for level in LEVELS))
    for name in PRINTED:
        table.add_row(TITLES[name], *(with_interval(metrics[level], name) for level in LEVELS))
    console.print(table)
    for method in metrics["slices"]["method"]:
        auc = with_interval(method, "roc_auc")
        console.print(f"{method['name']}: video AUC {auc}, {method['videos']} fakes", markup=False)
    for note in notes(metrics):
        console.print(note, markup=False)


def print_comparison(result: Mapping[str, Any]) -> None:
    """What comparison.json holds."""
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
    for note in comparison_notes(result):
        console.print(note, markup=False)
