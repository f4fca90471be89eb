"""Writing of TFRecord files: parts from records, and shards from parts, whole or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipelines import storage
from pipelines.shards.framing import frame
from pipelines.shards.layout import INDEX

MAX_RECORD_BYTES = 256 << 20  # a clip of 16 crops takes 0.25 MB
CHUNK_BYTES = 16 << 20


@dataclasses.dataclass(frozen=True)
class Piece:
    """A video's records, one after the other in a file: a part of its own, or within a shard."""

    path: str
    offset: int  # in bytes
    bytes: int
    sha256: str
    records: int


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
