"""Shard files: which record goes where, and making them of pieces, whole or not at all.

TFRecord framing: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import google_crc32c

from pipelines import storage
from pipelines.beam.output import INDEX

MAX_RECORD_BYTES = 256 << 20  # a clip of 16 crops takes 0.25 MB
CHUNK_BYTES = 16 << 20
_SHARD = re.compile(r"(train|val|test)-\d{5}-of-\d{5}\.tfrecord")


@dataclasses.dataclass(frozen=True)
class Piece:
    """A video's records, one after the other in a file: a part of its own, or within a shard."""

    path: str
    offset: int  # in bytes
    bytes: int
    sha256: str
    records: int


def shard_of(video_key: str, shards: int) -> int:
    """The shard of a video: a matter of its name alone, never of timing or workers."""
    return int.from_bytes(hashlib.sha256(video_key.encode()).digest()[:8]) % shards


def place_in_shard(video_key: str) -> bytes:
    """What the videos of a shard are sorted by: mixed, so that a reader who shuffles a part of the
    shard at a time meets all methods and people in it."""
    return hashlib.sha256(video_key.encode()).digest()


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


def write_records(path: str, records: Iterable[bytes]) -> Piece:
    """Writes a TFRecord file."""
    count = 0

    def frames() -> Iterator[bytes]:
        nonlocal count
        for record in records:
            yield frame(record)
            count += 1

    written = storage.write_atomically(path, frames())
    return Piece(path, 0, written["bytes"], written["sha256"], count)


def read_part(path: str) -> Piece:
    """What a TFRecord file holds. Raises ValueError where it ends within a record."""
    count, size, digest = 0, 0, hashlib.sha256()
    with storage.open_file(path) as handle:
        while header := handle.read(12):
            rest = int.from_bytes(header[:8], "little") + 4
            if len(header) < 12 or len(data := handle.read(rest)) < rest:
                raise ValueError(f"{path}: ends within record {count}; remove it.")
            digest.update(header + data)
            size += len(header) + rest
            count += 1
    return Piece(path, 0, size, digest.hexdigest(), count)


def write_shard(output: str, name: str, pieces: Mapping[str, Piece]) -> dict[str, Any]:
    """Makes a shard of pieces, one after the other -> {"bytes", "sha256"}.

    pieces: by the names of their parts, in order. A shard that an earlier run made of the same
    parts stays as it is. Raises ValueError where a piece is not what it was when it was written.

    An index is there only while it fits its shard: it goes before the shard is replaced and comes
    back after, so a crash in between costs work and never mixes up records.
    """
    path, index_path = storage.join(output, name), storage.join(output, INDEX, f"{name}.json")
    if storage.exists(index_path):
        before = storage.read_json(index_path)
        if before["pieces"].keys() == pieces.keys() and storage.size(path) == before["bytes"]:
            return {key: before[key] for key in ("bytes", "sha256")}
    storage.remove(index_path)
    written = storage.write_atomically(path, _chunks(pieces.values()))
    places, offset = {}, 0
    for part, piece in pieces.items():
        moved = dataclasses.replace(piece, offset=offset)
        places[part] = {k: v for k, v in dataclasses.asdict(moved).items() if k != "path"}
        offset += piece.bytes
    storage.write_json(index_path, {"shard": name, "pieces": places, **written})
    return written


def _chunks(pieces: Iterable[Piece]) -> Iterator[bytes]:
    for piece in pieces:
        digest, left = hashlib.sha256(), piece.bytes
        with storage.open_file(piece.path) as handle:
            handle.seek(piece.offset)
            while left and (chunk := handle.read(min(CHUNK_BYTES, left))):
                digest.update(chunk)
                left -= len(chunk)
                yield chunk
        if digest.hexdigest() != piece.sha256:
            raise ValueError(
                f"{piece.path}: the {piece.bytes} bytes from {piece.offset} on are not those that "
                "were written; the file was changed or damaged. Make all again with --overwrite."
            )
