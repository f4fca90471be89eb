"""Wire format between the web server and a decoding process: JSON, then the bytes of crops.

No pickle: what comes from a process that a hostile file may have taken over is numbers and images,
never objects.
"""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipelines.clip import Clip
from pipelines.video.probe import VideoMetadata

MAX_BYTES = 256 << 20  # of a message; a clip of 16 crops takes 0.25 MB
FAULT_CHARS = 4000  # of a traceback: its end
_LENGTH = struct.Struct("!I")
_SHAPES: dict[str, tuple[int, ...]] = {
    "times_s": (),
    "boxes": (4,),
    "landmarks": (5, 2),
    "confidence": (),
    "transforms": (2, 3),
}


def pack(kind: str, blobs: Sequence[bytes] = (), **values: Any) -> bytes:
    text = json.dumps({"kind": kind, "sizes": [len(b) for b in blobs], **values}).encode()
    return b"".join([_LENGTH.pack(len(text)), text, *blobs])


def unpack(message: bytes) -> tuple[str, dict[str, Any], list[bytes]]:
    """(kind, values, blobs). Raises ValueError for what `pack` does not make."""
    try:
        (length,) = _LENGTH.unpack_from(message)
        start = _LENGTH.size + length
        values = json.loads(message[_LENGTH.size : start])
        blobs = []
        for size in values.pop("sizes"):
            blobs.append(message[start : start + size])
            start += size
        return values.pop("kind"), values, blobs
    except (struct.error, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a message of this protocol ({error!r})") from error


def pack_clip(clip: Clip) -> bytes:
    arrays = {name: getattr(clip, name).tolist() for name in _SHAPES}
    scalars = {"index": clip.index, "track": clip.track, "fps": clip.fps, "notes": clip.notes}
    return pack("clip", clip.images, **scalars, **arrays)


def clip_of(values: dict[str, Any], blobs: list[bytes]) -> Clip:
    """The inverse of `pack_clip`. Raises ValueError."""
    try:
        arrays = {
            name: np.array(values[name], np.float32).reshape(len(blobs), *shape)
            for name, shape in _SHAPES.items()
        }
        return Clip(
            index=int(values["index"]),
            track=int(values["track"]),
            fps=float(values["fps"]),
            images=blobs,
            notes=tuple(map(str, values["notes"])),
            **arrays,
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a clip ({error!r})") from error


def metadata_of(values: dict[str, Any]) -> VideoMetadata:
    """Of a message with the fields of VideoMetadata. Raises ValueError."""
    names = {field.name for field in dataclasses.fields(VideoMetadata)}
    if set(values) != names:
        raise ValueError(f"metadata with {sorted(values)}; expected {sorted(names)}")
    return VideoMetadata(**{**values, "sampled": tuple(map(tuple, values["sampled"]))})
