"""Terminal output of an inspection: tables and lines on a data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.clip import SPLITS
from pipelines.datasets.lists import first_few
from pipelines.inspect.statistics import FIRST
from pipelines.shards.layout import AUDIT_NAME, REJECTS_NAME


def summary(info: dict[str, Any]) -> Table:
    """What the shards hold, as a table."""
    table = Table(title="Face clips")
    numbers = ("videos", "real", "fake", "clips", "people", "sources")
    table.add_column("split")
    for heading in numbers:
        table.add_column(heading, justify="right")
    table.add_column("methods")
    for split in SPLITS:
        part = info["splits"][split]
        values = (
            part["videos"],
            part["labels"]["real"],
            part["labels"]["fake"],
            part["clips"],
            part["identities"],
            part["sources"],
        )
        methods = ", ".join(f"{name} {count}" for name, count in part["methods"].items())
        table.add_row(split, *map(str, values), methods)
    return table


def report(
    console: Console,
    folder: Path,
    info: dict[str, Any],
    statistics: dict[str, Any],
    done: list[str],
) -> None:
    """Prints an inspection. done: sentences on what was verified and made."""
    settings = ", ".join(f"{name} {value}" for name, value in info["config"].items())
    console.print(Text(str(folder), "bold", overflow="fold"))
    _lines(
        console,
        [
            ("data set", info["dataset"]),
            ("split by", info["split_rule"]),
            ("fingerprint", info["fingerprint"]),
            ("config", settings),
        ],
    )
    console.print(summary(info), _clip_table(statistics["splits"]))
    rejects = [
        f"{about['count']} {reason}: {first_few(about['first'] + [''] * (about['count'] - FIRST))}"
        for reason, about in sorted(statistics["rejects"].items())
    ]
    rejects += [f"all are in {folder / REJECTS_NAME}"] if rejects else ["none"]
    lines = [("rejects", "\n".join(rejects)), ("audit", _audit_words(folder, statistics["audit"]))]
    lines += [("note", note) for note in info["problems"]]
    lines += [("warning", warning) for warning in statistics["warnings"]]
    _lines(console, [*lines, *zip(("verified", "made", "made"), done, strict=False)])


def _lines(console: Console, lines: list[tuple[str, str]]) -> None:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", width=11)
    grid.add_column(overflow="fold")
    for name, text in lines:
        style = "yellow" if name == "warning" else ""
        grid.add_row(Text(name, style), Text(text, style))
    console.print(grid)


def _clip_table(splits: dict[str, Any]) -> Table:
    table = Table(
        title="Sizes and faces",
        caption="frames: median (least-most); face: longer side of its box, median (10 %-90 %)",
    )
    table.add_column("split")
    for heading in ("MB", "kB a clip", "fakes", "frames a clip", "with a face", "face, px"):
        table.add_column(heading, justify="right")
    for split, sizes in splits.items():
        frames, side = sizes.get("frames_per_clip") or {}, sizes.get("face_side_px") or {}
        table.add_row(
            split,
            f"{sizes['bytes'] / 1e6:,.1f}",
            _number(sizes["bytes_per_clip"], lambda size: f"{size / 1e3:,.0f}"),
            _number(sizes["fake_share"], "{:.0%}".format),
            _range(frames.get("min"), frames.get("median"), frames.get("max")),
            _number(sizes.get("found_share"), "{:.1%}".format),
            _range(side.get("p10"), side.get("median"), side.get("p90")),
        )
    return table


def _number(value: float | None, words: Callable[[float], str]) -> str:
    return "-" if value is None else words(value)


def _range(low: int | None, middle: int | None, high: int | None) -> str:
    if middle is None:
        return "-"
    return f"{middle}" if low == high else f"{middle} ({low}-{high})"


def _audit_words(folder: Path, audit: dict[str, int | None] | None) -> str:
    if audit is None:
        return f"no {AUDIT_NAME}"
    crossings, official = audit["crossings"], audit["official_crossings"]
    words = [f"{crossings or 'no'} people or sources in more than one split"]
    words += [f"{official} more by the data set's own lists"] if official else []
    pairs = audit["near_duplicates"]
    if pairs is None:
        words.append("near-duplicates were not looked for (--audit-duplicates)")
    else:
        words.append(f"{pairs or 'no'} pairs of near-duplicates across splits")
    words += [f"{audit['missing_videos']} listed videos missing"] if audit["missing_videos"] else []
    return f"{'; '.join(words)}; see {folder / AUDIT_NAME}"


def verified(info: dict[str, Any], problems: list[str], quick: bool) -> str:
    shards = info["shards"].values()
    size = sum(shard["bytes"] for shard in shards) / 1e6
    records = sum(shard["records"] for shard in shards)
    checked = "checksums" if quick else "checksums and what every record says"
    plural = "s" if len(problems) > 1 else ""
    outcome = f"{len(problems)} problem{plural}, named below" if problems else "nothing wrong"
    return f"{len(shards)} shards, {records} records, {size:,.1f} MB, {checked}: {outcome}"
