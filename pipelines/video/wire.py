"""Wire format of a process that decodes: JSON, then bytes; open files go along with a message.

No pickle: what comes from a process that a hostile file may have taken over is numbers and images,
never objects.
"""

from __future__ import annotations

import dataclasses
import json
import math
import socket
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipelines.video.picture import refused_size
from pipelines.video.probe import VideoInfo

MAX_BYTES = 256 << 20  # of a message
MAX_FILES = 2  # that go along with a message
FAULT_CHARS = 4000  # of a traceback: its end
_LENGTH = struct.Struct("!I")
_TIMES = ("pts", "keyframes", "horizons")


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


def pack_info(kind: str, info: VideoInfo, more: Sequence[bytes] = (), **values: Any) -> bytes:
    """A message about a file that was probed, with `more` bytes behind."""
    blobs = [np.array(getattr(info, name), "<i8").tobytes() for name in _TIMES]
    scalars = {
        field.name: getattr(info, field.name)
        for field in dataclasses.fields(info)
        if field.name not in _TIMES
    }
    return pack(kind, [*blobs, *more], info=scalars, **values)


def info_of(values: dict[str, Any], blobs: Sequence[bytes]) -> VideoInfo:
    """What `pack_info` tells of a file. Raises ValueError for what no file is."""
    try:
        times = {
            name: tuple(np.frombuffer(blob, "<i8").tolist())
            for name, blob in zip(_TIMES, blobs, strict=False)
        }
        notes = tuple(map(str, values["info"]["notes"]))
        info = VideoInfo(**{**values["info"], **times, "notes": notes})
        numbers = info.fps, info.time_base, info.aspect
        if not all(math.isfinite(number) and number >= 0 for number in numbers):
            raise ValueError(f"rates {numbers}")
        if refused := refused_size(info.width, info.height):
            raise ValueError(f"a frame of {refused}")
        if not info.pts or len(info.horizons) != info.frames or info.pts != tuple(sorted(info.pts)):
            raise ValueError(f"times of {info.frames} frames that are none")
        if not set(info.keyframes) <= set(info.pts):
            raise ValueError("keyframes that are no frames")
    except (KeyError, TypeError) as error:
        raise ValueError(f"not what a file is ({error!r})") from error
    return info


def for_log(fault: str) -> str:
    """A traceback as it may stand in a log, whatever a hostile file made of it."""
    lines = fault[-FAULT_CHARS:].split("\n")
    return "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in lines)


class Channel:
    """One end of a stream socket: messages, and open files that go along with them."""

    def __init__(self, end: socket.socket):
        self._socket = end

    def send(self, message: bytes, descriptors: Sequence[int] = ()) -> None:
        """descriptors: of open files that go along. Raises OSError."""
        length = _LENGTH.pack(len(message))
        if descriptors:
            socket.send_fds(self._socket, [length], descriptors)
            self._socket.sendall(message)
        else:
            self._socket.sendall(length + message)

    def acknowledge(self) -> None:
        """Says, outside of messages, that a picture in shared memory was copied. Raises OSError."""
        self._socket.sendall(b".")

    def await_acknowledgement(self) -> None:
        """Raises EOFError, OSError."""
        self._exactly(1)

    def receive(self) -> tuple[str, dict[str, Any], list[bytes], list[int]]:
        """(kind, values, blobs, descriptors). Raises EOFError, OSError, ValueError."""
        head, descriptors, _, _ = socket.recv_fds(self._socket, _LENGTH.size, MAX_FILES)
        head += self._exactly(_LENGTH.size - len(head)) if head else b""
        if not head:
            raise EOFError
        (length,) = _LENGTH.unpack(head)
        if length > MAX_BYTES:
            raise ValueError(f"a message of {length} bytes")
        return *unpack(self._exactly(length)), descriptors

    def _exactly(self, size: int) -> bytes:
        data = bytearray(size)
        self._fill(memoryview(data))
        return bytes(data)

    def _fill(self, view: memoryview) -> None:
        while view:
            if not (number := self._socket.recv_into(view)):
                raise EOFError
            view = view[number:]

    def close(self) -> None:
        self._socket.close()
