"""A comparison of two models, as comparison.md and as rows for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainer.report.formatting import TITLES, number
from trainer.report.notes import data_notes, leakage_line

HEAD = ("videos", "A", "B", "B - A", "95 % interval", "beyond chance")


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


def _signed(value: float | None) -> str:
    return number(None) if value is None else f"{value:+.3f}"


def markdown(result: Mapping[str, Any]) -> str:
    """The comparison as one table."""
    lines = [
        *(f"{name.upper()}: {leakage_line(result['leakage'][name])}\n" for name in "ab"),
        f"# Two models on the {result['split']} split\n",
        *(f"> {note}\n" for note in comparison_notes(result)),
        f"A: {result['models']['a']['name']}  \nB: {result['models']['b']['name']}\n",
        f"{result['videos']} videos, {result['real']} real and {result['fake']} fake, of "
        f"{result['bootstrap']['units']} source videos; paired bootstrap over these, "
        f"{result['bootstrap']['resamples']} resamples, seed {result['bootstrap']['seed']}.\n",
        "| " + " | ".join(HEAD) + " |",
        "| " + " | ".join("---" for _ in HEAD) + " |",
        *("| " + " | ".join(row) + " |" for row in table_rows(result)),
    ]
    return "\n".join(lines) + "\n"


def comparison_notes(result: Mapping[str, Any]) -> list[str]:
    return data_notes(result["sample_data"], result["split"], result["not_defined"])
