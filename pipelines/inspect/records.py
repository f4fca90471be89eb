"""Records of shards, read one at a time with their framing verified and damage named."""

from __future__ import annotations

import dataclasses
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import DecodeError

from pipelines.clip import Clip, Video
from pipelines.shards.framing import masked_crc
from pipelines.shards.open import COPY_AGAIN

HEADER = struct.Struct("<QI")  # of a record: the length of its data, and that length's checksum


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
            if handle.read(4) != masked_crc(data) and not damage:
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
    return int.from_bytes(masked_crc(struct.pack("<Q", length)), "little")


def parse_record(data: bytes) -> tuple[Video, Clip, str]:
    """As `schema.parse`. Raises ValueError whatever is wrong with the data."""
    from pipelines.shards.schema import parse  # loads TensorFlow, which framing does not need

    try:
        return parse(data)
    except (DecodeError, AttributeError, IndexError, TypeError) as error:
        raise ValueError(f"It cannot be parsed ({error}).") from error


def read_clips(folder: str | Path, split: str) -> Iterator[tuple[Video, Clip]]:
    """All clips of a split, in the order of the shards. Raises ValueError at a damaged record."""
    for path in sorted(Path(folder).glob(f"{split}-*.tfrecord")):
        for record in read_records(path):
            if record.damage:
                raise ValueError(f"{path}: {record.place} {record.damage}. {COPY_AGAIN}")
            video, clip, _ = parse_record(record.data)
            yield video, clip


def clip_name(video: Video, clip: Clip) -> str:
    return f"{video.key}, clip {clip.index}, track {clip.track}"
