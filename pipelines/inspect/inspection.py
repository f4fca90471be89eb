"""Inspection of a data set: its statistics, what is wrong with it, and pictures of its clips."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from pipelines.clip import SPLITS, Clip, Video
from pipelines.datasets.lists import LABELS
from pipelines.errors import sentence
from pipelines.inspect.export_frames import export_frames, require_free
from pipelines.inspect.records import parse_record, read_records
from pipelines.inspect.statistics import statistics
from pipelines.inspect.terminal import report, verified
from pipelines.inspect.verify import Contents, verify
from pipelines.shards.open import read_info


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Which pictures to make, and of which clips; None stands for none, or for all.

    contact_sheet: a PNG file with a row of crops for each of `rows` clips. export_frames: a folder
    for every crop; `overwrite` replaces an earlier one. label: "real" or "fake".
    """

    contact_sheet: str | None = None
    rows: int = 16
    export_frames: str | None = None
    overwrite: bool = False
    split: str | None = None
    label: str | None = None
    method: str | None = None

    def __bool__(self) -> bool:
        return bool(self.contact_sheet or self.export_frames)


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What is in a folder of shards.

    info: dataset_info.json. problems: what is wrong, a sentence each; none where all is well.
    pictures: a sentence about each picture made.
    """

    folder: Path
    info: dict[str, Any]
    statistics: dict[str, Any]
    problems: list[str]
    pictures: list[str]

    def to_dict(self) -> dict[str, Any]:
        """All of it, as plain JSON."""
        return {
            **self.info,
            "notes": self.info["problems"],
            "statistics": self.statistics,
            "problems": self.problems,
        }

    def show(self, quick: bool) -> None:
        """Prints what a person wants to see. quick: whether the records were not looked into."""
        console = Console()
        # Redirected, it is as wide as a terminal often is, not 80 columns.
        console = console if console.is_terminal else Console(width=100)
        summary = verified(self.info, self.problems, quick)
        report(console, self.folder, self.info, self.statistics, [summary, *self.pictures])


def inspect(
    folder: str | Path, quick: bool = False, pictures: Pictures | None = None
) -> Inspection:
    """Reads and verifies a folder of shards, and makes the pictures asked for.

    quick: counts and checksums only. Raises FileNotFoundError or ValueError where the folder holds
    no finished data set, and FileExistsError where --export-frames would replace something.
    """
    info = read_info(folder)
    folder, pictures = Path(folder), pictures or Pictures()
    numbers = statistics(folder, info)
    if pictures.export_frames:
        require_free(pictures.export_frames, pictures.overwrite)  # not after an hour of reading
    contents = None if quick else Contents(folder, info)
    problems = verify(folder, info, contents)
    made: list[str] = []
    if contents:
        for split, tally in contents.tallies.items():
            numbers["splits"][split].update(tally.statistics())
        try:
            if pictures:
                made.extend(_make_pictures(folder, pictures, info, contents))
        except (OSError, ValueError) as error:  # what is known by then is worth telling
            problems.append(sentence(error) or str(error))
    return Inspection(folder, info, numbers, problems, made)


def _make_pictures(
    folder: Path, pictures: Pictures, info: dict[str, Any], contents: Contents
) -> Iterator[str]:
    """Draws and exports what is asked for, without damaged records -> a sentence about each."""
    # It loads matplotlib and Pillow, which whoever only verifies need not wait for.
    from pipelines.inspect.contact_sheet import spread, write_contact_sheet

    label = LABELS[pictures.label] if pictures.label else None
    wanted = (pictures.split, label, pictures.method)
    groups = {
        key: contents.places[key]
        for key in sorted(contents.places, key=lambda key: (SPLITS.index(key[0]), *key[1:]))
        if all(one in (None, other) for one, other in zip(wanted, key, strict=True))
    }
    if not groups:
        raise ValueError(f"{folder}: none of its clips without a problem is asked for.")
    places = sorted(place for group in groups.values() for place in group)
    if pictures.contact_sheet:
        chosen = spread(groups, pictures.rows)
        counted = f"{len(chosen)} of {len(places)} clips"
        title = f"{info['dataset']}   {info['fingerprint']}   {counted}"
        write_contact_sheet(pictures.contact_sheet, list(_clips_at(folder, chosen)), title)
        yield f"{pictures.contact_sheet}: {counted}"
    if pictures.export_frames:
        clips = _clips_at(folder, places)
        count = export_frames(clips, pictures.export_frames, pictures.overwrite)
        yield f"{pictures.export_frames}: {count} crops of {len(places)} clips, and index.csv"


def _clips_at(folder: Path, places: list[tuple[str, int]]) -> Iterator[tuple[Video, Clip]]:
    for shard, offset in places:
        video, clip, _ = parse_record(next(read_records(folder / shard, offset)).data)
        yield video, clip
