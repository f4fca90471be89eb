"""Shard files: which record goes where, and writing them whole or not at all.

TFRecord framing: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import struct
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import google_crc32c
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipelines.clip import Video
from pipelines.config import RECORD_VERSION

INFO_NAME = "dataset_info.json"  # written last: its presence marks a finished data set
REJECTS_NAME = "rejects.jsonl"
AUDIT_NAME = "split_audit.json"
MANIFEST_NAME = "manifest.csv"
PARTS = "parts"  # folder of finished videos, until the shards are made of them
REJECT_MARK = ".reject"  # a file of this suffix stands for a video without a part
CHUNK_BYTES = 16 << 20
_SHARD = re.compile(r"(train|val|test)-\d{5}-of-\d{5}\.tfrecord")


def shard_of(video_key: str, shards: int) -> int:
    """The shard of a video: a matter of its name alone, never of timing or workers."""
    return int.from_bytes(hashlib.sha256(video_key.encode()).digest()[:8]) % shards


def shard_name(split: str, index: int, shards: int) -> str:
    return f"{split}-{index:05d}-of-{shards:05d}.tfrecord"


def is_shard_name(name: str) -> bool:
    return _SHARD.fullmatch(name) is not None


def frame(record: bytes) -> bytes:
    """A record as it stands in a TFRecord file: length, data, and a checksum of each."""
    length = struct.pack("<Q", len(record))
    return length + masked_crc(length) + record + masked_crc(record)


def masked_crc(data: bytes) -> bytes:
    """The checksum of the data as it stands in a TFRecord file, four bytes."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def write_atomically(path: str, chunks: Iterable[bytes]) -> dict[str, Any]:
    """Writes to a temporary name and renames at the end, on any Beam file system.

    Returns {"bytes", "sha256"} of what was written. Nothing is left behind on an error.
    """
    temporary = f"{path}.{uuid.uuid4().hex}.tmp"
    digest, size = hashlib.sha256(), 0
    try:
        with FileSystems.create(
            temporary, compression_type=CompressionTypes.UNCOMPRESSED
        ) as handle:
            for chunk in chunks:
                handle.write(chunk)
                digest.update(chunk)
                size += len(chunk)
        FileSystems.rename([temporary], [path])
    except BaseException:
        if FileSystems.exists(temporary):
            FileSystems.delete([temporary])
        raise
    return {"bytes": size, "sha256": digest.hexdigest()}


def write_records(path: str, records: Iterable[bytes]) -> dict[str, Any]:
    """Writes a TFRecord file -> {"records", "bytes", "sha256"}."""
    count = 0

    def frames() -> Iterator[bytes]:
        nonlocal count
        for record in records:
            yield frame(record)
            count += 1

    written = write_atomically(path, frames())
    return {"records": count, **written}


def count_records(path: str) -> int:
    """The number of records in a TFRecord file. Raises ValueError where it ends within one."""
    count = 0
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as handle:
        while header := handle.read(12):
            rest = int.from_bytes(header[:8], "little") + 4
            if len(header) < 12 or len(handle.read(rest)) < rest:
                raise ValueError(f"{path}: ends within record {count}; remove it.")
            count += 1
    return count


def part_name(video: Video, fingerprint: str) -> str:
    """The file of a video's finished clips: another name when anything about them would differ.

    So a job that is run again takes what an earlier one, killed or not, has finished. Where the
    video lies does not count, but for local files their size and time of change do.
    """
    facts: list[Any] = [RECORD_VERSION, fingerprint]
    facts.append(dataclasses.astuple(dataclasses.replace(video, uri="")))
    if os.path.exists(video.uri):
        stat = os.stat(video.uri)
        facts.append((stat.st_size, stat.st_mtime_ns))
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32] + ".tfrecord"


def join_parts(path: str, parts: Iterable[str]) -> dict[str, Any]:
    """Writes a shard from parts, one after the other -> {"bytes", "sha256"}."""

    def chunks() -> Iterator[bytes]:
        for part in parts:
            with FileSystems.open(part, compression_type=CompressionTypes.UNCOMPRESSED) as handle:
                while chunk := handle.read(CHUNK_BYTES):
                    yield chunk

    return write_atomically(path, chunks())


def write_json(path: str, value: Any) -> None:
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n"
    write_atomically(path, [text.encode()])
