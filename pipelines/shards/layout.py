"""Layout of a data set's folder: names of its files; the shard of a video, and its place in it."""

from __future__ import annotations

import hashlib
import re

INFO_NAME = "dataset_info.json"  # written last: its presence marks a finished data set
REJECTS_NAME = "rejects.jsonl"
AUDIT_NAME = "split_audit.json"
MANIFEST_NAME = "manifest.csv"
JOB = "job"  # how the rest was made: the only files that may differ between two equal runs
INDEX = f"{JOB}/index"  # folder: which video's records lie where in a shard

_SHARD = re.compile(r"(train|val|test)-\d{5}-of-\d{5}\.tfrecord")


def shard_of(video_key: str, shards: int) -> int:
    """The shard of a video: a matter of its name alone, never of timing or workers."""
    return int.from_bytes(hashlib.sha256(video_key.encode()).digest()[:8]) % shards


def order_in_shard(video_key: str) -> bytes:
    """What the videos of a shard are sorted by: mixed, so that a reader who shuffles a part of the
    shard at a time meets all methods and people in it."""
    return hashlib.sha256(video_key.encode()).digest()


def shard_name(split: str, index: int, shards: int) -> str:
    return f"{split}-{index:05d}-of-{shards:05d}.tfrecord"


def is_shard_name(name: str) -> bool:
    return _SHARD.fullmatch(name) is not None


def split_of(shard: str) -> str:
    """The split in a shard's name."""
    return shard.split("-")[0]
