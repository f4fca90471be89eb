"""Overview of the data sets under a root folder, as tables for a terminal or as JSON."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.clip import LABEL_NAMES, SPLITS, Reject, Video
from pipelines.datasets import Dataset
from pipelines.datasets.lists import first_few
from pipelines.names import escape


def official_split(dataset: Dataset, video: Video) -> str:
    """The split that the data set's own lists give the video; "" where they give none."""
    splits = {dataset.official.get(identity, "") for identity in video.identities}
    return video.split or (splits.pop() if len(splits) == 1 else "")


def overview(dataset: Dataset) -> list[dict[str, Any]]:
    """A row for each label, method and compression: how many videos, sources and identities,
    and how many of them in each official split."""
    groups: dict[tuple[int, str, str], list[Video]] = defaultdict(list)
    for video in dataset.videos:
        groups[video.label, video.method, video.compression].append(video)
    rows = []
    for (label, method, compression), videos in sorted(groups.items()):
        splits = [official_split(dataset, video) for video in videos]
        rows.append(
            {
                "label": LABEL_NAMES[label],
                "method": method,
                "compression": compression,
                "videos": len(videos),
                "sources": len({video.source_id for video in videos if video.source_id}),
                "identities": len({name for video in videos for name in video.identities}),
                **{split: splits.count(split) for split in SPLITS},
            }
        )
    return rows


def to_json(dataset: Dataset) -> dict[str, Any]:
    """All of a dataset but the videos one by one, as plain JSON."""
    return {
        "name": dataset.name,
        "videos": len(dataset.videos),
        "rows": overview(dataset),
        "deal": dataset.deal,
        "open_splits": list(dataset.open_splits),
        "missing": list(dataset.missing),
        "rejects": [reject.to_line() for reject in dataset.rejects],
        "notes": list(dataset.notes),
    }


def table(dataset: Dataset) -> Table:
    """The overview, with the official splits where there are any."""
    rows = overview(dataset)
    has_splits = any(row[split] for row in rows for split in SPLITS)
    headings = [name for name in rows[0] if has_splits or name not in SPLITS]
    title = f"{dataset.name}: {len(dataset.videos)} videos"
    # No padding: 80 columns hold the longest method name beside all the numbers.
    overview_table = Table(title=Text(title), box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    for name in headings:
        is_text = name in ("label", "method", "compression")
        overview_table.add_column(name, justify="left" if is_text else "right", overflow="fold")
    for row in rows:
        overview_table.add_row(*(Text(str(row[name])) for name in headings))
    return overview_table


def _by_reason(rejects: Iterable[Reject]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = defaultdict(list)
    for reject in rejects:
        names[reject.reason].append(escape(reject.uri))
    return names


def show(datasets: Iterable[Dataset]) -> None:
    """Prints the overview of each."""
    console = Console()
    for dataset in datasets:
        _show(dataset, console)
        console.print()


def _show(dataset: Dataset, console: Console) -> None:
    console.print(table(dataset))
    lines = []
    if dataset.missing:
        lines.append(f"missing: {len(dataset.missing)}: {first_few(dataset.missing)}")
    for reason, names in sorted(_by_reason(dataset.rejects).items()):
        lines.append(f"left out as {reason}: {len(names)}: {first_few(names)}")
    lines += [f"note: {note}" for note in dataset.notes]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
