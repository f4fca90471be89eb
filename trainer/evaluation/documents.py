"""What docs/ takes from the code: the table of metrics and the JSON Schema of metrics.json.

python -m trainer.evaluation.documents [docs]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from pipelines.clip import FAKE, REAL
from pipelines.dataclass_json import json_schema
from trainer.evaluation.metrics import METRICS, Metric
from trainer.evaluation.result import EvaluationResult

BEGIN = "<!-- metrics: written by `python -m trainer.evaluation.documents` -->"
END = "<!-- end of metrics -->"
SCHEMA_FILE = "metrics.schema.json"
CLASSES = {(REAL, FAKE): "both", (FAKE,): "fakes", (REAL,): "reals", (): "any"}


def metrics_table(metrics: Iterable[Metric]) -> str:
    """A Markdown table: key, name, meaning, the classes that it needs, whether slices have it."""
    lines = ["| key | metric | | needs | slices |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| `{metric.name}` | {metric.title} | {metric.explanation} | {CLASSES[metric.needs]} "
        f"| {'yes' if metric.in_slices else ''} |"
        for metric in metrics
    ]
    return "\n".join(lines)


def with_metrics_table(page: str, metrics: Iterable[Metric]) -> str:
    """The page with the table between its markers. Raises ValueError where it has no markers."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"The page lacks the lines {BEGIN!r} and {END!r}.")
    return f"{before}{begin}\n\n{metrics_table(metrics)}\n\n{end}{after}"


def schema_text() -> str:
    """The JSON Schema of metrics.json."""
    return json.dumps(json_schema(EvaluationResult), indent=1) + "\n"


def main(docs: Path) -> None:
    page = docs / "evaluation.md"
    page.write_text(with_metrics_table(page.read_text(), METRICS.values()))
    (docs / SCHEMA_FILE).write_text(schema_text())


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
