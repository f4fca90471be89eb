"""Counts of a shard and of a data set: the contents of dataset_info.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from pipelines.clip import LABEL_NAMES, SPLITS, Reject


def count_shard(videos: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a shard holds, from the records of its videos as ExtractFaces gives them."""
    clips = sum(video["piece"].records for video in videos)
    clip_labels: Counter[str] = Counter()
    for video in videos:
        clip_labels[str(video["label"])] += video["piece"].records
    return {
        "clip_labels": dict(clip_labels),
        "clips": clips,
        "records": clips,
        "videos": len(videos),
        "identities": sorted({name for video in videos for name in video["identities"]}),
        "sources": sorted({video["source"] for video in videos}),
        **{
            field + "s": dict(Counter(str(video[field]) for video in videos))
            for field in ("label", "method", "dataset")
        },
    }


def dataset_info(
    header: dict[str, Any], shards: dict[str, dict], rejects: Sequence[Reject]
) -> dict[str, Any]:
    """The contents of dataset_info.json: what the shards hold and how they were made.

    header: what it begins with. shards: by name, each what `write_shard` and `count_shard` give,
    with its split.
    """
    members = {
        split: [shard for shard in shards.values() if shard["split"] == split] for split in SPLITS
    }
    kept = ("records", "bytes", "sha256")
    return {
        **header,
        "splits": {split: _count_split(parts) for split, parts in members.items()},
        "shards": {name: {key: shard[key] for key in kept} for name, shard in shards.items()},
        "rejects": dict(Counter(line.reason for line in rejects)),
    }


def _count_split(shards: Sequence[dict[str, Any]]) -> dict[str, Any]:
    totals = {
        field: sum((Counter(shard[field]) for shard in shards), Counter())
        for field in ("labels", "clip_labels", "methods", "datasets")
    }
    return {
        "videos": sum(shard["videos"] for shard in shards),
        "clips": sum(shard["clips"] for shard in shards),
        "identities": len({name for shard in shards for name in shard["identities"]}),
        "sources": len({name for shard in shards for name in shard["sources"]}),
        **{
            field: {name: totals[field][str(label)] for label, name in LABEL_NAMES.items()}
            for field in ("labels", "clip_labels")
        },
        "methods": dict(totals["methods"]),
        "datasets": dict(totals["datasets"]),
    }
