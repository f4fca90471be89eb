"""What is in a folder of shards, and whether it is what was written: numbers, checksums, pictures.

Everything reads one record at a time. Only what a record says needs TensorFlow, to parse it;
files, checksums and framing are verified without.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
import struct
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from pipelines.clip import ORIGINAL, REAL, SPLITS, Clip, Video
from pipelines.config import PreprocessConfig
from pipelines.datasets.lists import LABELS, first_few, read_table
from pipelines.datasets.manifest import OPTIONAL, REQUIRED, WORDS
from pipelines.preprocess import summary
from pipelines.shards import (
    AUDIT_NAME,
    INFO_NAME,
    MANIFEST_NAME,
    REJECTS_NAME,
    frame,
    is_shard_name,
)

HEADER = struct.Struct("<QI")  # of a record: the length of its data, and that length's checksum
AGAIN = "Copy the file again from where it was made, or run `dfdetect preprocess` again."
MOST = 5  # problems told of one file
FIRST = 3  # names given of the rejects for a reason
FEW = 0.1  # a class with a smaller share of a split's videos is warned of
COUNTS = ("videos", "clips", "identities", "sources", "labels", "methods", "datasets")


def load_info(folder: str | Path) -> dict:
    """dataset_info.json. Raises FileNotFoundError where the folder holds no finished set, and
    ValueError where the file is not what the preprocessing writes."""
    if "://" in str(folder):
        raise ValueError(
            f"{folder}: is remote; local and mounted folders are inspected. Copy or mount it."
        )
    path = Path(folder) / INFO_NAME
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: not there, so {folder} holds no finished data set. Run `dfdetect preprocess`."
        )
    info = _read_json(path)
    try:
        itemgetter("config", "dataset", "fingerprint", "problems", "rejects", "split_rule")(info)
        for split in SPLITS:
            itemgetter("real", "fake")(info["splits"][split]["labels"])
            itemgetter(*COUNTS)(info["splits"][split])
        for facts in info["shards"].values():
            itemgetter("bytes", "records", "sha256")(facts)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: was changed or damaged ({error!r} is missing). {AGAIN}"
        ) from error
    return info


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
        if not isinstance(value, dict):
            raise ValueError("a list or a single value")
    except ValueError as error:
        raise ValueError(f"{path}: is no JSON object ({error}). {AGAIN}") from error
    return value


# Records.


@dataclasses.dataclass(frozen=True)
class Record:
    """A record as it lies in a shard. damage: what is wrong with it, "" for nothing."""

    index: int
    offset: int  # in bytes, of its first
    data: bytes
    damage: str = ""

    @property
    def place(self) -> str:
        return f"record {self.index} at byte {self.offset}"


def read_records(path: str | Path, offset: int = 0) -> Iterator[Record]:
    """The records of a TFRecord file, one at a time, from the one at byte `offset` on.

    A damaged record says so in `damage`, and what follows it is read on. The last one where its
    length is lost or the file ends within it has no data.
    Format: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
    """
    size, index = os.path.getsize(path), 0
    with open(path, "rb") as handle:
        handle.seek(offset)
        while offset < size:
            length, damage = _length(handle.read(HEADER.size))
            end = offset + HEADER.size + length + 4
            if length >= 0 and end > size:
                damage = f"is cut off: {size - offset} of its {end - offset} bytes are there"
            if length < 0 or end > size:
                yield Record(index, offset, b"", damage)
                return
            data = handle.read(length)
            if handle.read(4) != frame(data)[-4:] and not damage:
                damage = "was changed: its data does not match the checksum"
            yield Record(index, offset, data, damage)
            offset, index = end, index + 1


def _length(header: bytes) -> tuple[int, str]:
    """The length of a record's data and what is wrong with the header; -1 where it is lost.

    One flipped bit is put right, so that the records after it are found.
    """
    if len(header) < HEADER.size:
        return -1, f"is cut off: {len(header)} of the {HEADER.size} bytes of its header are there"
    length, checksum = HEADER.unpack(header)
    wrong = _checksum(length) ^ checksum
    if not wrong:
        return length, ""
    if wrong.bit_count() == 1:
        return length, "has a flipped bit in the checksum of its length"
    for bit in range(64):
        if _checksum(length ^ 1 << bit) == checksum:
            return length ^ 1 << bit, f"has a flipped bit in its length, which reads {length} bytes"
    return -1, "has a damaged length; neither it nor any record after it can be read"


def _checksum(length: int) -> int:
    return int.from_bytes(frame(struct.pack("<Q", length))[-4:], "little")


def _parse(data: bytes) -> tuple[Video, Clip, str]:
    """As `schema.parse`. Raises ValueError whatever is wrong with the data."""
    from google.protobuf.message import DecodeError

    from pipelines.schema import parse

    try:
        return parse(data)
    except (DecodeError, AttributeError, IndexError, TypeError) as error:
        raise ValueError(f"It cannot be parsed ({error}).") from error


def read_clips(folder: str | Path, split: str) -> Iterator[tuple[Video, Clip]]:
    """All clips of a split, in the order of the shards. Raises ValueError at a damaged record."""
    for path in sorted(Path(folder).glob(f"{split}-*.tfrecord")):
        for record in read_records(path):
            if record.damage:
                raise ValueError(f"{path}: {record.place} {record.damage}. {AGAIN}")
            video, clip, _ = _parse(record.data)
            yield video, clip


def _name(video: Video, clip: Clip) -> str:
    return f"{video.key}, clip {clip.index}, track {clip.track}"


# Numbers.


@dataclasses.dataclass
class Tally:
    """What the records of a split hold."""

    videos: dict[str, Video] = dataclasses.field(default_factory=dict)  # by key
    clips: int = 0
    found: int = 0  # frames with a face
    lengths: Counter[int] = dataclasses.field(default_factory=Counter)  # frames of a clip
    sides_px: Counter[int] = dataclasses.field(default_factory=Counter)  # longer side of a box

    def add(self, video: Video, clip: Clip) -> None:
        self.videos[video.key] = video
        self.clips += 1
        self.lengths[len(clip.images)] += 1
        boxes = clip.boxes[clip.found]
        self.found += len(boxes)
        sides = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
        self.sides_px.update(np.rint(sides).astype(int).tolist())

    def counts(self) -> dict[str, Any]:
        """In the shape of `info["splits"][split]`."""
        videos = self.videos.values()
        labels = Counter(video.label for video in videos)
        return {
            "videos": len(videos),
            "clips": self.clips,
            "identities": len({(v.dataset, name) for v in videos for name in v.identities}),
            "sources": len(
                {f"{v.dataset}/{v.source_id}" if v.source_id else v.key for v in videos}
            ),
            "labels": {word: labels[label] for label, word in WORDS.items()},
            "methods": dict(Counter(video.method for video in videos)),
            "datasets": dict(Counter(video.dataset for video in videos)),
        }

    def statistics(self) -> dict[str, Any]:
        frames = sum(length * count for length, count in self.lengths.items())
        return {
            "frames_per_clip": quantiles(self.lengths, min=0.0, median=0.5, max=1.0),
            "found_share": self.found / frames if frames else None,
            "face_side_px": quantiles(self.sides_px, p10=0.1, median=0.5, p90=0.9),
        }


def quantiles(counts: Counter[int], **shares: float) -> dict[str, int | None]:
    """For each share the smallest value that so many of the counted do not exceed; else None."""
    values = sorted(counts)
    up_to = np.cumsum([counts[value] for value in values])
    return {
        name: values[np.searchsorted(up_to, share * up_to[-1])] if values else None
        for name, share in shares.items()
    }


class Contents:
    """What the records of a data set say, gathered while they are looked at one by one.

    tallies: by split. places: (split, label, method) -> (shard, offset) of each record that is as
    it should be. unsure: splits with other records, which are not counted.
    """

    def __init__(self, folder: Path, info: dict[str, Any]):
        self._info = info
        self._manifest = _read_manifest(folder / MANIFEST_NAME)
        self._seen: set[tuple[str, int, int]] = set()
        self.tallies = {split: Tally() for split in SPLITS}
        self.places: dict[tuple[str, int, str], list[tuple[str, int]]] = defaultdict(list)
        self.unsure: set[str] = set()

    def look(self, shard: str, record: Record) -> tuple[str, list[str]]:
        """The record's name, "" where it cannot be parsed, and what is wrong with its contents."""
        try:
            video, clip, fingerprint = _parse(record.data)
        except ValueError as error:
            return "", [f"cannot be used: {str(error).rstrip('.')}"]
        name = _name(video, clip)
        if record.damage:
            return name, []
        split = shard.split("-")[0]
        wrong = [
            f"has {what} {found!r}, {source} says {expected!r}"
            for what, found, source, expected in self._expected(split, video, fingerprint)
            if found != expected
        ]
        wrong.extend(self._oddities(video, clip))
        if not wrong:
            self.tallies[split].add(video, clip)
            self.places[split, video.label, video.method].append((shard, record.offset))
        return name, wrong

    def _expected(self, split: str, video: Video, fingerprint: str) -> Iterator[tuple]:
        yield "fingerprint", fingerprint, INFO_NAME, self._info["fingerprint"]
        yield "split", video.split, "the file's name", split
        if video.key in self._manifest:
            label, method, listed = self._manifest[video.key]
            yield "label", video.label, MANIFEST_NAME, label
            yield "method", video.method, MANIFEST_NAME, method
            yield "split", video.split, MANIFEST_NAME, listed

    def _oddities(self, video: Video, clip: Clip) -> Iterator[str]:
        if self._manifest and video.key not in self._manifest:
            yield f"is of a video that {MANIFEST_NAME} does not list"
        if video.label not in WORDS or (video.label == REAL) != (video.method == ORIGINAL):
            yield f"has label {video.label!r}, which does not go with method {video.method!r}"
        most = self._info["config"].get("frames_per_clip", len(clip.images))
        lists = (clip.times_s, clip.boxes, clip.landmarks, clip.confidence, clip.transforms)
        if not 0 < len(clip.images) <= most or any(len(x) != len(clip.images) for x in lists):
            lengths = [len(clip.images), *map(len, lists)]
            yield f"has lists of {lengths} entries; 1 to {most} were expected, as many in each"
        if (key := (video.key, clip.index, clip.track)) in self._seen:
            yield "is there twice"
        self._seen.add(key)


def _read_manifest(path: Path) -> dict[str, tuple[int | None, str, str]]:
    """Video key -> (label, method, split). Whether the videos are still there does not matter."""
    rows = read_table(path, REQUIRED, OPTIONAL) if path.is_file() else []
    return {
        f"{row.get('dataset')}/{row.get('id')}": (
            LABELS.get(row["label"]),
            row.get("method", ""),
            row.get("split", ""),
        )
        for _, row in rows
    }


def statistics(folder: Path, info: dict[str, Any]) -> dict[str, Any]:
    """Sizes, class balance, rejects and the audit in short: what is known without the records."""
    splits = {}
    for split in SPLITS:
        size = sum(facts["bytes"] for name, facts in info["shards"].items() if _in(split, name))
        part = info["splits"][split]
        splits[split] = {
            "bytes": size,
            "bytes_per_clip": size / part["clips"] if part["clips"] else None,
            "fake_share": part["labels"]["fake"] / part["videos"] if part["videos"] else None,
        }
    return {
        "splits": splits,
        "rejects": _rejects(folder / REJECTS_NAME),
        "audit": _audit(folder / AUDIT_NAME),
        "warnings": list(imbalances(info)),
    }


def _in(split: str, shard: str) -> bool:
    return shard.startswith(f"{split}-")


def imbalances(info: dict[str, Any]) -> Iterator[str]:
    """Splits that lack a class or nearly so."""
    for split in SPLITS:
        part = info["splits"][split]
        videos = part["videos"]
        if not videos:
            yield f"split {split} is empty; see --split-fractions of `dfdetect preprocess`."
        for word, count in part["labels"].items() if videos else ():
            if count < FEW * videos:
                use = "what is measured there says little" if count else "it needs both classes"
                yield (
                    f"split {split}: {count} of {videos} videos are {word} ({count / videos:.0%}); "
                    f"{use}. Add {word} videos."
                )


def _rejects(path: Path) -> dict[str, Any]:
    """Reason -> how many, and the first few videos' names."""
    reasons: dict[str, Any] = {}
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    for number, line in enumerate(lines, 1):
        try:
            reason, video = (str(json.loads(line)[key]) for key in ("reason", "video"))
        except (ValueError, KeyError, TypeError):
            reason, video = "not a reject", f"line {number}"  # so that the counts do not agree
        about = reasons.setdefault(reason, {"count": 0, "first": []})
        about["count"] += 1
        about["first"] += [video] if about["count"] <= FIRST else []
    return reasons


def _audit(path: Path) -> dict[str, int | None] | None:
    """How much of split_audit.json speaks against the splits; None where it is not there.

    near_duplicates is None where they were not looked for.
    """
    if not path.is_file():
        return None
    audit = _read_json(path)
    crossings, duplicates = audit.get("crossings", []), audit.get("duplicates")
    official = sum(bool(crossing.get("official")) for crossing in crossings)
    return {
        "crossings": len(crossings) - official,
        "official_crossings": official,
        "near_duplicates": None if duplicates is None else len(duplicates["pairs"]),
        "missing_videos": sum(map(len, audit.get("missing", {}).values())),
    }


# Verification.


def verify(folder: str | Path, info: dict, contents: Contents | None = None) -> list[str]:
    """What is not as it was written, a sentence each.

    With `contents`, which then know every record, also what the records say.
    """
    folder = Path(folder)
    problems = [*_misfits(folder, info), *_strays(folder, info)]
    for name, facts in _shown(sorted(info["shards"].items())):
        if not is_shard_name(name):
            problems.append(f"{folder / INFO_NAME}: lists {name!r}, no name of a shard. {AGAIN}")
            continue
        found = _check_shard(folder / name, facts, contents)
        if found and contents:
            contents.unsure.add(name.split("-")[0])
        problems += found[:MOST]
        if len(found) > MOST:
            problems.append(f"{folder / name}: has {len(found) - MOST} more problems. {AGAIN}")
    for split in SPLITS:
        sure = contents if contents and split not in contents.unsure else None
        told = _miscounts(info, split, sure.tallies[split]) if sure else _missums(info, split)
        problems += (f"{folder / INFO_NAME}: split {split} has {what}. {AGAIN}" for what in told)
    return problems


def _shown(shards: list) -> Iterable:
    console = Console(stderr=True)
    return track(shards, "shards", console=console, transient=True, disable=not console.is_terminal)


def _misfits(folder: Path, info: dict[str, Any]) -> Iterator[str]:
    """Where dataset_info.json does not fit this package or rejects.jsonl."""
    path, found = folder / INFO_NAME, info["fingerprint"]
    try:
        expected = PreprocessConfig.from_dict(info["config"]).fingerprint
        if found != expected:
            yield (
                f"{path}: the crops have fingerprint {found}, this version of the package makes "
                f"{expected} from the same settings and will not train on them. Run `dfdetect "
                "preprocess` again."
            )
    except (TypeError, ValueError) as error:
        yield f"{path}: its config cannot be used: {error} Run `dfdetect preprocess` again."
    rejects = {reason: about["count"] for reason, about in _rejects(folder / REJECTS_NAME).items()}
    if rejects != info["rejects"]:
        yield (
            f"{folder / REJECTS_NAME}: has rejects {rejects}, {INFO_NAME} says {info['rejects']}. "
            f"{AGAIN}"
        )


def _miscounts(info: dict[str, Any], split: str, tally: Tally) -> Iterator[str]:
    """What dataset_info.json counts otherwise than the records."""
    for what, counted in tally.counts().items():
        if counted != (listed := info["splits"][split][what]):
            yield f"{what} {listed}, its records have {counted}"


def _missums(info: dict[str, Any], split: str) -> Iterator[str]:
    """What dataset_info.json counts otherwise than its own parts add up to."""
    part = info["splits"][split]
    records = sum(facts["records"] for name, facts in info["shards"].items() if _in(split, name))
    if records != part["clips"]:
        yield f"{part['clips']} clips, but its shards {records} records"
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


def _check_shard(path: Path, facts: dict[str, Any], contents: Contents | None) -> list[str]:
    if not path.is_file():
        return [f"{path}: is missing, {INFO_NAME} lists {facts['records']} records in it. {AGAIN}"]
    problems = list(_changed(path, facts))
    count, whole, before = 0, True, ""
    for record in read_records(path):
        name, wrong = contents.look(path.name, record) if contents else ("", [])
        said = f" ({name})" if name else ""
        if record.damage:
            said = f" (it says {name})" if name else f" (after {before})" if before else ""
            wrong, whole = [record.damage], False
        problems += (f"{path}: {record.place}{said} {what}. {AGAIN}" for what in wrong)
        count, before = count + 1, name
    if whole and count != facts["records"]:
        problems.append(
            f"{path}: holds {count} records, {INFO_NAME} says {facts['records']}. {AGAIN}"
        )
    return problems


def _changed(path: Path, facts: dict[str, Any]) -> Iterator[str]:
    size = path.stat().st_size
    if size != facts["bytes"]:
        yield f"{path}: has {size} bytes, {INFO_NAME} says {facts['bytes']}. {AGAIN}"
        return
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    if digest != facts["sha256"]:
        yield (
            f"{path}: its SHA-256 is {digest[:16]}..., {INFO_NAME} says "
            f"{facts['sha256'][:16]}...; the file was changed or damaged. {AGAIN}"
        )


# What the command shows.


def report(
    console: Console, folder: Path, info: dict[str, Any], facts: dict[str, Any], done: list[str]
) -> None:
    """Prints all that is known of the data set. done: sentences on what was verified and made."""
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
    console.print(summary(info), _clip_table(facts["splits"]))
    rejects = [
        f"{about['count']} {reason}: {first_few(about['first'] + [''] * (about['count'] - FIRST))}"
        for reason, about in sorted(facts["rejects"].items())
    ]
    rejects += [f"all are in {folder / REJECTS_NAME}"] if rejects else ["none"]
    lines = [("rejects", "\n".join(rejects)), ("audit", _audit_words(folder, facts["audit"]))]
    lines += [("note", note) for note in info["problems"]]
    lines += [("warning", warning) for warning in facts["warnings"]]
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
    for split, facts in splits.items():
        frames, side = facts.get("frames_per_clip") or {}, facts.get("face_side_px") or {}
        table.add_row(
            split,
            f"{facts['bytes'] / 1e6:,.1f}",
            _number(facts["bytes_per_clip"], lambda size: f"{size / 1e3:,.0f}"),
            _number(facts["fake_share"], "{:.0%}".format),
            _range(frames.get("min"), frames.get("median"), frames.get("max")),
            _number(facts.get("found_share"), "{:.1%}".format),
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


def _verified(info: dict[str, Any], problems: list[str], quick: bool) -> str:
    shards = info["shards"].values()
    size = sum(facts["bytes"] for facts in shards) / 1e6
    records = sum(facts["records"] for facts in shards)
    checked = "checksums" if quick else "checksums and what every record says"
    plural = "s" if len(problems) > 1 else ""
    found = f"{len(problems)} problem{plural}, named below" if problems else "nothing wrong"
    return f"{len(shards)} shards, {records} records, {size:,.1f} MB, {checked}: {found}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dfdetect inspect",
        description="What is in a folder of face-clip shards, and whether it is what was written.",
        epilog="Exit codes: 0 all is well, 1 something is wrong, 2 wrong usage.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", help="what `dfdetect preprocess` wrote")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.add_argument(
        "--quick", action="store_true", help="counts and checksums; do not look into the records"
    )
    parser.add_argument("--contact-sheet", metavar="PNG", help="draw a row of crops per clip")
    parser.add_argument("--rows", type=int, default=16, help="rows of it (default: %(default)s)")
    parser.add_argument(
        "--export-frames", metavar="DIR", help="write every crop as a file, and index.csv"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an earlier --export-frames"
    )
    only = parser.add_argument_group("which clips to draw or export")
    only.add_argument("--split", choices=SPLITS)
    only.add_argument("--method", help="such as Deepfakes, or original")
    only.add_argument("--label", choices=tuple(WORDS.values()))
    return parser


def _parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Exits with code 2 where flags contradict each other."""
    parser = _parser()
    args = parser.parse_args(argv)
    pictures = args.contact_sheet or args.export_frames
    if args.quick and pictures:
        parser.error("--quick does not look into the records; leave it out to draw or export.")
    if (args.split or args.method or args.label) and not pictures:
        parser.error("--split, --method and --label need --contact-sheet or --export-frames.")
    if args.overwrite and not args.export_frames:
        parser.error("--overwrite needs --export-frames.")
    if args.contact_sheet and not args.contact_sheet.lower().endswith(".png"):
        parser.error(f"--contact-sheet {args.contact_sheet}: it is a PNG file; name it .png.")
    if args.rows < 1:
        parser.error(f"--rows is {args.rows}; at least 1 is needed.")
    return args


def _make_pictures(args: argparse.Namespace, info: dict, contents: Contents) -> Iterator[str]:
    """Draws and exports what is asked for, without damaged records -> a sentence about each."""
    from pipelines.contact_sheet import export_frames, spread, write_contact_sheet

    wanted = (args.split, LABELS.get(args.label), args.method)
    groups = {
        key: contents.places[key]
        for key in sorted(contents.places, key=lambda key: (SPLITS.index(key[0]), *key[1:]))
        if all(one in (None, found) for one, found in zip(wanted, key, strict=True))
    }
    if not groups:
        raise ValueError(f"{args.folder}: none of its clips without a problem is asked for.")
    places = sorted(place for group in groups.values() for place in group)
    if args.contact_sheet:
        chosen = spread(groups, args.rows)
        shown = f"{len(chosen)} of {len(places)} clips"
        title = f"{info['dataset']}   {info['fingerprint']}   {shown}"
        write_contact_sheet(args.contact_sheet, list(_clips_at(args.folder, chosen)), title)
        yield f"{args.contact_sheet}: {shown}"
    if args.export_frames:
        clips = _clips_at(args.folder, places)
        count = export_frames(clips, args.export_frames, args.overwrite)
        yield f"{args.export_frames}: {count} crops of {len(places)} clips, and index.csv"


def _clips_at(folder: str, places: list[tuple[str, int]]) -> Iterator[tuple[Video, Clip]]:
    for shard, offset in places:
        video, clip, _ = _parse(next(read_records(Path(folder) / shard, offset)).data)
        yield video, clip


def _inspect(args: argparse.Namespace) -> tuple[dict, dict, list[str], list[str]]:
    """dataset_info.json, statistics, problems, and a sentence about each picture made."""
    folder = Path(args.folder)
    made: list[str] = []
    info = load_info(args.folder)
    facts = statistics(folder, info)
    if args.export_frames:
        from pipelines.contact_sheet import require_free

        require_free(args.export_frames, args.overwrite)  # now, not after an hour of reading
    contents = None if args.quick else Contents(folder, info)
    problems = verify(folder, info, contents)
    if contents:
        for split, tally in contents.tallies.items():
            facts["splits"][split].update(tally.statistics())
        try:
            if args.contact_sheet or args.export_frames:
                made.extend(_make_pictures(args, info, contents))
        except (OSError, ValueError) as error:  # what is found by then is worth telling
            problems.append(str(error))
    return info, facts, problems, made


def main(argv: list[str] | None = None) -> int:
    args = _parse_args(argv)
    try:
        info, facts, problems, made = _inspect(args)
    except (OSError, ValueError) as error:
        print(f"dfdetect inspect: {error}", file=sys.stderr)
        return 1
    if args.json:
        whole = {**info, "notes": info["problems"], "statistics": facts, "problems": problems}
        print(json.dumps(whole, indent=2, sort_keys=True, allow_nan=False))
    else:
        console = Console()
        # Redirected, it is as wide as a terminal often is, not 80 columns.
        console = console if console.is_terminal else Console(width=100)
        verified = _verified(info, problems, args.quick)
        report(console, Path(args.folder), info, facts, [verified, *made])
    for problem in problems:
        print(f"dfdetect inspect: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
