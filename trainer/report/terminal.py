"""An evaluation and a comparison, printed for a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from trainer.evaluation.compare import Comparison
from trainer.evaluation.metrics import METRICS, ROC_AUC
from trainer.evaluation.result import EvaluationResult
from trainer.report.comparison import HEAD, comparison_notes, table_rows
from trainer.report.formatting import with_interval
from trainer.report.notes import leakage_line, notes


def print_result(result: EvaluationResult) -> None:
    """The metrics that are to be printed; the report has all."""
    console = Console()
    console.print(leakage_line(result.leakage), markup=False)
    table = Table(title=f"{result.split} split")
    table.add_column("")
    for name in result.levels:
        table.add_column(name, justify="right")
    levels = result.levels.values()
    table.add_row("count", *(str(level.count) for level in levels))
    for metric in METRICS.values():
        if metric.printed:
            table.add_row(metric.title, *(with_interval(level, metric) for level in levels))
    console.print(table)
    for method in result.slices.method:
        auc = with_interval(method, ROC_AUC)
        console.print(f"{method.name}: video AUC {auc}, {method.videos} fakes", markup=False)
    for note in notes(result):
        console.print(note, markup=False)


def print_comparison(comparison: Comparison) -> None:
    console = Console()
    for name in "ab":
        line = f"{name.upper()}: {comparison.models[name].name}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
        console.print(f"   {leakage_line(comparison.leakage[name])}", markup=False, highlight=False)
    table = Table(title=f"{comparison.split} split, {comparison.videos} videos")
    for heading in HEAD:
        table.add_column(heading, justify="left" if heading == HEAD[0] else "right")
    for row in table_rows(comparison):
        table.add_row(*row)
    console.print(table)
    for note in comparison_notes(comparison):
        console.print(note, markup=False)
