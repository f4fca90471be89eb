"""Edit lists of an MP4 or QuickTime file (ISO/IEC 14496-12), which a demultiplexer applies without
telling of them."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator, Sequence

from pipelines.video.mp4_boxes import Readable, read_box
from serving.provenance.printable import MOST, printable

MAX_BOXES = 10_000  # that are looked at in a file
MAX_EDITS = 10_000  # of a track that are read
CONTAINERS = (b"moov", b"trak", b"edts", b"mdia")


@dataclasses.dataclass(frozen=True)
class Edit:
    """A part of a track's media that is shown. start_s: where in the media it begins; None where
    nothing is shown for so long. rate: 1.0 for the usual speed."""

    duration_s: float
    start_s: float | None
    rate: float


@dataclasses.dataclass(frozen=True)
class EditList:
    """The edits of a track, in order. kind: its handler, as vide and soun. media_s: length of its
    media. hidden_s: so much of the media, before, between and after the edits, is not shown.
    number: of the edits, of which the first MOST are here."""

    kind: str
    media_s: float
    hidden_s: float
    number: int
    edits: tuple[Edit, ...]


@dataclasses.dataclass
class _Track:
    kind: str = ""
    timescale: int = 0
    duration: int = 0
    edits: tuple[tuple[int, int, int], ...] = ()  # duration, media time, rate * 65536


def read_edit_lists(file: Readable) -> tuple[EditList, ...]:
    """The edit lists of an MP4 or QuickTime file; none of another. Raises ValueError where a box is
    cut off or there are more boxes than any file needs."""
    movie_timescale, tracks = 0, []
    for kind, end in _boxes(file):
        if kind == b"trak":
            tracks.append(_Track())
        elif kind == b"mvhd":
            movie_timescale, _ = _times(file)
        elif not tracks:
            continue
        elif kind == b"mdhd":
            tracks[-1].timescale, tracks[-1].duration = _times(file)
        elif kind == b"hdlr" and not tracks[-1].kind:
            tracks[-1].kind = _read(file, 12)[8:].decode("latin-1")
        elif kind == b"elst":
            tracks[-1].edits = tuple(_edits(file, end))
    return tuple(
        _edit_list(track, movie_timescale)
        for track in tracks
        if track.edits and track.timescale and movie_timescale
    )


def _boxes(file: Readable) -> Iterator[tuple[bytes, int]]:
    """(type, end) of each box, with the file at its contents; those within others after them."""
    file.seek(0, 2)
    position, whole = 0, file.tell()
    for _ in range(MAX_BOXES):
        box = read_box(file, position, whole)
        if box is None or (position == 0 and not _begins_a_file(box.kind)):
            return
        if box.end < box.start:
            raise ValueError(f"a box of {box.end - position} bytes at {position}")
        file.seek(box.start)
        yield box.kind, box.end
        position = box.start if box.kind in CONTAINERS else box.end
    raise ValueError(f"over {MAX_BOXES} boxes")


def _begins_a_file(kind: bytes) -> bool:
    return kind in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp")


def _read(file: Readable, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise ValueError("a box is cut off")
    return data


def _times(file: Readable) -> tuple[int, int]:
    """(timescale, duration in its units) of a movie or media header, 8.2.2 and 8.4.2."""
    long = _read(file, 4)[0] == 1
    _read(file, 16 if long else 8)  # when it was made and changed
    timescale, duration = struct.unpack(">IQ" if long else ">II", _read(file, 12 if long else 8))
    return timescale, duration


def _edits(file: Readable, end: int) -> Iterator[tuple[int, int, int]]:
    """(duration in the movie's units, media time in the media's, rate * 65536) of each, 8.6.6."""
    long = _read(file, 4)[0] == 1
    (count,) = struct.unpack(">I", _read(file, 4))
    entry = struct.Struct(">Qqi" if long else ">Iii")
    for _ in range(min(count, MAX_EDITS, (end - file.tell()) // entry.size)):
        yield entry.unpack(_read(file, entry.size))


def _edit_list(track: _Track, movie_timescale: int) -> EditList:
    edits = tuple(
        Edit(
            duration_s=round(duration / movie_timescale, 3),
            start_s=None if start < 0 else round(start / track.timescale, 3),
            rate=round(rate / 65536, 3),
        )
        for duration, start, rate in track.edits
    )
    media_s = round(track.duration / track.timescale, 3)
    hidden_s = round(max(0.0, media_s - _shown_s(edits, media_s)), 3)
    return EditList(printable(track.kind), media_s, hidden_s, len(edits), edits[:MOST])


def _shown_s(edits: Sequence[Edit], media_s: float) -> float:
    """Seconds of the media that are in any edit. One of no duration lasts to the end (8.6.6.1).

    An edit may end behind the media: with B-frames these begin as late as the first edit does.
    """
    spans = sorted(
        (edit.start_s, edit.start_s + edit.duration_s if edit.duration_s else media_s)
        for edit in edits
        if edit.start_s is not None
    )
    shown_s = last = 0.0
    for start, end in spans:
        shown_s += max(0.0, end - max(start, last))
        last = max(last, end)
    return shown_s
