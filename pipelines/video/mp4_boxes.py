"""Boxes of an MP4 or QuickTime file (ISO/IEC 14496-12:2022, 4.2): where each begins and ends."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Readable(Protocol):
    """A file of bytes that is open for reading."""

    def read(self, size: int = -1, /) -> bytes: ...

    def seek(self, offset: int, whence: int = 0, /) -> int: ...

    def tell(self) -> int: ...


class Box(NamedTuple):
    """start: of its contents, behind the header. end: where it says that it ends, which may lie
    behind what holds it, and before `start` where its size makes no sense."""

    kind: bytes
    start: int
    end: int


def read_box(file: Readable, position: int, end: int) -> Box | None:
    """The box whose header is at `position`; None where none has room there.

    end: of what holds it, to which a box of no size goes.
    """
    if position + 8 > end:
        return None
    file.seek(position)
    head = file.read(16)
    if len(head) < 8:
        return None
    size, kind, start = int.from_bytes(head[:4]), head[4:8], position + 8
    if size == 1 and len(head) == 16:
        size, start = int.from_bytes(head[8:]), position + 16
    return Box(kind, start, position + size if size else end)
