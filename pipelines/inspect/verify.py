"""Verification of a data set against what was written: files, checksums, and records."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from pipelines.clip import LABEL_NAMES, ORIGINAL, REAL, SPLITS, Clip, Video
from pipelines.config import PreprocessConfig
from pipelines.datasets.manifest import read_manifest
from pipelines.inspect.records import Record, clip_name, parse_record, read_records
from pipelines.inspect.statistics import Tally, rejects_by_reason
from pipelines.shards.layout import (
    INFO_NAME,
    MANIFEST_NAME,
    REJECTS_NAME,
    is_shard_name,
    split_of,
)
from pipelines.shards.open import COPY_AGAIN

MOST = 5  # problems named of one file


class Contents:
    """What the records of a data set say, gathered while they are looked at one by one.

    tallies: by split. places: (split, label, method) -> (shard, offset) of each record that is as
    it should be. unsure: splits with other records, which are not counted.
    """

    def __init__(self, folder: Path, info: dict[str, Any]):
        self._info = info
        path = folder / MANIFEST_NAME
        listed = read_manifest(path) if path.is_file() else []
        self._manifest = {video.key: video for video in listed}
        self._seen: set[tuple[str, int, int]] = set()
        self.tallies = {split: Tally() for split in SPLITS}
        self.places: dict[tuple[str, int, str], list[tuple[str, int]]] = defaultdict(list)
        self.unsure: set[str] = set()

    def look(self, shard: str, record: Record) -> tuple[str, list[str]]:
        """The record's name, "" where it cannot be parsed, and what is wrong with its contents."""
        try:
            video, clip, fingerprint = parse_record(record.data)
        except ValueError as error:
            return "", [f"cannot be used: {str(error).rstrip('.')}"]
        name = clip_name(video, clip)
        if record.damage:
            return name, []
        split = split_of(shard)
        wrong = [
            f"has {what} {value!r}, {source} says {expected!r}"
            for what, value, source, expected in self._expected(split, video, fingerprint)
            if value != expected
        ]
        wrong.extend(self._oddities(video, clip))
        if not wrong:
            self.tallies[split].add(video, clip)
            self.places[split, video.label, video.method].append((shard, record.offset))
        return name, wrong

    def _expected(self, split: str, video: Video, fingerprint: str) -> Iterator[tuple]:
        yield "fingerprint", fingerprint, INFO_NAME, self._info["fingerprint"]
        yield "split", video.split, "the file's name", split
        if listed := self._manifest.get(video.key):
            yield "label", video.label, MANIFEST_NAME, listed.label
            yield "method", video.method, MANIFEST_NAME, listed.method
            yield "split", video.split, MANIFEST_NAME, listed.split

    def _oddities(self, video: Video, clip: Clip) -> Iterator[str]:
        if self._manifest and video.key not in self._manifest:
            yield f"is of a video that {MANIFEST_NAME} does not list"
        if video.label not in LABEL_NAMES or (video.label == REAL) != (video.method == ORIGINAL):
            yield f"has label {video.label!r}, which does not go with method {video.method!r}"
        most = self._info["config"].get("frames_per_clip", len(clip.images))
        lists = (clip.times_s, clip.boxes, clip.landmarks, clip.confidence, clip.transforms)
        if not 0 < len(clip.images) <= most or any(len(x) != len(clip.images) for x in lists):
            lengths = [len(clip.images), *map(len, lists)]
            yield f"has lists of {lengths} entries; 1 to {most} were expected, as many in each"
        if (key := (video.key, clip.index, clip.track)) in self._seen:
            yield "is there twice"
        self._seen.add(key)


def verify(folder: str | Path, info: dict, contents: Contents | None = None) -> list[str]:
    """What is not as it was written, a sentence each.

    With `contents`, which then know every record, also what the records say.
    """
    folder = Path(folder)
    problems = [*_misfits(folder, info), *_strays(folder, info)]
    for name, written in _with_progress(sorted(info["shards"].items())):
        if not is_shard_name(name):
            problems.append(
                f"{folder / INFO_NAME}: lists {name!r}, no name of a shard. {COPY_AGAIN}"
            )
            continue
        wrong = _check_shard(folder / name, written, contents)
        if wrong and contents:
            contents.unsure.add(split_of(name))
        problems += wrong[:MOST]
        if len(wrong) > MOST:
            problems.append(f"{folder / name}: has {len(wrong) - MOST} more problems. {COPY_AGAIN}")
    for split in SPLITS:
        sure = contents if contents and split not in contents.unsure else None
        miscounts = _miscounts(info, split, sure.tallies[split]) if sure else _missums(info, split)
        problems += (
            f"{folder / INFO_NAME}: split {split} has {what}. {COPY_AGAIN}" for what in miscounts
        )
    return problems


def _with_progress(shards: list) -> Iterable:
    console = Console(stderr=True)
    return track(shards, "shards", console=console, transient=True, disable=not console.is_terminal)


def _misfits(folder: Path, info: dict[str, Any]) -> Iterator[str]:
    """Where dataset_info.json does not fit this package or rejects.jsonl."""
    path, fingerprint = folder / INFO_NAME, info["fingerprint"]
    try:
        expected = PreprocessConfig.from_dict(info["config"]).fingerprint
        if fingerprint != expected:
            yield (
                f"{path}: the crops have fingerprint {fingerprint}, this version of the package "
                f"makes {expected} from the same settings and will not train on them. Run "
                "`dfdetect preprocess` again."
            )
    except (TypeError, ValueError) as error:
        yield f"{path}: its config cannot be used: {error} Run `dfdetect preprocess` again."
    rejects = {
        reason: about["count"] for reason, about in rejects_by_reason(folder / REJECTS_NAME).items()
    }
    if rejects != info["rejects"]:
        yield (
            f"{folder / REJECTS_NAME}: has rejects {rejects}, {INFO_NAME} says {info['rejects']}. "
            f"{COPY_AGAIN}"
        )


def _miscounts(info: dict[str, Any], split: str, tally: Tally) -> Iterator[str]:
    """What dataset_info.json counts otherwise than the records."""
    for what, counted in tally.counts().items():
        if counted != (listed := info["splits"][split][what]):
            yield f"{what} {listed}, its records have {counted}"


def _missums(info: dict[str, Any], split: str) -> Iterator[str]:
    """What dataset_info.json counts otherwise than its own parts add up to."""
    part = info["splits"][split]
    records = sum(
        shard["records"] for name, shard in info["shards"].items() if split_of(name) == split
    )
    if records != part["clips"]:
        yield f"{part['clips']} clips, but its shards {records} records"
    if (added := sum(part["clip_labels"].values())) != part["clips"]:
        yield f"{part['clips']} clips, but its clip_labels add up to {added}"
    for what in ("labels", "methods", "datasets"):
        if (added := sum(part[what].values())) != part["videos"]:
            yield f"{part['videos']} videos, but its {what} add up to {added}"


def _strays(folder: Path, info: dict[str, Any]) -> Iterator[str]:
    for path in sorted(folder.glob("*.tfrecord*")):
        if path.name not in info["shards"]:
            yield (
                f"{path}: is not listed in {INFO_NAME}, so it is of another run or was copied "
                "here. Move it away: other programs would take it for a part of the data set."
            )


def _check_shard(path: Path, written: dict[str, Any], contents: Contents | None) -> list[str]:
    if not path.is_file():
        return [
            f"{path}: is missing, {INFO_NAME} lists {written['records']} records in it. "
            f"{COPY_AGAIN}"
        ]
    problems = list(_changed(path, written))
    count, whole, before = 0, True, ""
    for record in read_records(path):
        name, wrong = contents.look(path.name, record) if contents else ("", [])
        label = f" ({name})" if name else ""
        if record.damage:
            label = f" (it says {name})" if name else f" (after {before})" if before else ""
            wrong, whole = [record.damage], False
        problems += (f"{path}: {record.place}{label} {what}. {COPY_AGAIN}" for what in wrong)
        count, before = count + 1, name
    if whole and count != written["records"]:
        problems.append(
            f"{path}: holds {count} records, {INFO_NAME} says {written['records']}. {COPY_AGAIN}"
        )
    return problems


def _changed(path: Path, written: dict[str, Any]) -> Iterator[str]:
    size = path.stat().st_size
    if size != written["bytes"]:
        yield f"{path}: has {size} bytes, {INFO_NAME} says {written['bytes']}. {COPY_AGAIN}"
        return
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    if digest != written["sha256"]:
        yield (
            f"{path}: its SHA-256 is {digest[:16]}..., {INFO_NAME} says "
            f"{written['sha256'][:16]}...; the file was changed or damaged. {COPY_AGAIN}"
        )
