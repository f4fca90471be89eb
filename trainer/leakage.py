"""Leakage audit: hashes of a training's videos, sources and identities, kept with the model.

Data that the model is measured or calibrated on is checked against them without its shards.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from pipelines.atomic import write_json
from pipelines.clip import Video
from pipelines.shards import schema
from pipelines.shards.open import ClipDataset
from trainer.input.clips import leave_out, read_records, readable

SEEN_NAME = "seen.json"

KINDS = ("video", "source", "identity")


def hash_key(kind: str, dataset: str, name: str) -> str:
    """16 hex digits for a video, source or identity; names are a data set's own.

    It keeps lists of names out of the model. It hides no name that can be guessed. Raises
    ValueError for another kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; expected one of {', '.join(KINDS)}.")
    # As JSON, since a name may hold any separator.
    text = json.dumps([kind, dataset, name])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Seen:
    """Hashes, by `hash_key`, of videos, of the recordings they were made of, and of people."""

    videos: frozenset[str]
    sources: frozenset[str]
    identities: frozenset[str]

    def common(self, other: Seen) -> Seen:
        """What both have seen."""
        return Seen(
            self.videos & other.videos,
            self.sources & other.sources,
            self.identities & other.identities,
        )

    def to_dict(self) -> dict[str, list[str]]:
        """Sorted lists by name."""
        return {name: sorted(values) for name, values in vars(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Seen:
        """The inverse of `to_dict`. Raises KeyError or TypeError where it is something else."""
        return cls(*(frozenset(values[field.name]) for field in dataclasses.fields(cls)))


def collect(dataset: ClipDataset, split: str = "train", without: Sequence[str] = ()) -> Seen:
    """What a split's records hold, but for the fakes of some methods; nothing where it is empty.

    The records decide and not manifest.csv, which names rejected videos too and is not there
    for every folder of shards. Of a fake without a known source, none is noted. Only the context
    of a record is parsed: 0.3 ms for a clip of 16 frames at 224 px. Raises ValueError where a
    record is damaged.
    """
    names = ("video/id", "video/dataset", "source_id", "identities")
    spec = {name: schema.feature_spec()[0][name] for name in names}

    def parse(records):
        context, _, _ = tf.io.parse_sequence_example(records, spec)
        return [context[name] for name in names]

    videos, sources, identities = set(), set(), set()
    paths = [str(shard.path) for shard in dataset.shards(split)]
    records = leave_out(read_records(paths), without) if paths else None
    contexts = records.batch(64).map(parse, tf.data.AUTOTUNE) if records else ()
    for ids, datasets, source_ids, people in readable(contexts, dataset.folder):
        rows = (ids.numpy(), datasets.numpy(), source_ids.numpy(), people.to_list())
        for video, name, source, persons in zip(*rows, strict=True):
            videos.add((name, video))
            sources |= {(name, source)} if source else set()
            identities |= {(name, person) for person in persons}

    def hashed(kind, keys):
        return frozenset(hash_key(kind, d.decode(), name.decode()) for d, name in keys)

    return Seen(hashed("video", videos), hashed("source", sources), hashed("identity", identities))


def write_seen(folder: Path, seen: Seen) -> None:
    """Writes seen.json into a run's folder, at once or not at all."""
    write_json(folder / SEEN_NAME, seen.to_dict())


def read_seen(folder: Path) -> Seen | None:
    """What a training has seen, from the folder of its run or of its exported model; None where
    no record of it is kept. Raises ValueError where the file is damaged."""
    path = folder / SEEN_NAME
    if not path.is_file():
        return None
    try:
        return Seen.from_dict(json.loads(path.read_text()))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: is not what `dfdetect train` writes ({error!r}). Train again, or remove it "
            "to go without its check for leaks."
        ) from error


@dataclasses.dataclass(frozen=True)
class SeenCount:
    """How many of something the training has seen; None where that is not known."""

    seen: int | None
    of: int


@dataclasses.dataclass(frozen=True)
class Leakage:
    """What of an evaluation was seen in training.

    known: whether the model, or each of an ensemble, keeps a record of its training.
    """

    known: bool
    videos: SeenCount
    sources: SeenCount
    identities: SeenCount

    @property
    def kinds(self) -> dict[str, SeenCount]:
        return {"videos": self.videos, "sources": self.sources, "identities": self.identities}


def check_leakage(trainings: Sequence[Seen | None], videos: Sequence[Video]) -> Leakage:
    """How many of the videos, their sources and people any of the trainings has seen, which are
    those of a model or of the members of an ensemble.

    None where that is not known: a model keeps no record, or none of that kind, and no other has
    seen any. Names are compared within a data set.
    """
    nothing = Seen(frozenset(), frozenset(), frozenset())
    records = [seen or nothing for seen in trainings]

    def count(
        kind: str, names: set[tuple[str, str]], in_trainings: Sequence[frozenset[str]]
    ) -> SeenCount:
        hashes = {hash_key(kind, dataset, name) for dataset, name in names}
        seen = len(hashes.intersection(frozenset[str]().union(*in_trainings)))
        return SeenCount(seen if seen or all(in_trainings) else None, len(hashes))

    return Leakage(
        known=None not in trainings,
        videos=count(
            "video", {(v.dataset, v.id) for v in videos}, [seen.videos for seen in records]
        ),
        sources=count(
            "source",
            {(v.dataset, v.source_id) for v in videos if v.source_id},
            [seen.sources for seen in records],
        ),
        identities=count(
            "identity",
            {(v.dataset, name) for v in videos for name in v.identities},
            [seen.identities for seen in records],
        ),
    )
