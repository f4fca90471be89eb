"""Claims of a container's tables, checked against the file's size before FFmpeg believes them.

An MP4's tables (ISO/IEC 14496-12:2022) promise samples for a few bytes: an entry of `stts` stands
for as many as it says, `stsz` and `trun` may give all of them one size. FFmpeg makes an entry of
its index for each before it reads any: 36 bytes a sample and track in 10,000,000. So a file may
claim no more of them than it could hold. Other containers that are read name each frame by bytes
of its own.
"""

from __future__ import annotations

import io
import zlib
from collections import Counter
from collections.abc import Iterator

import numpy as np

from pipelines.clip import VideoError
from pipelines.video.mp4_boxes import Box, Readable, read_box
from pipelines.video.source import VideoFile

# Samples for each byte. A frame has bytes; counts of QuickTime's compressed sound come to less than
# three for a byte.
PER_BYTE = 4
MAX_BOXES = 4_000_000  # nine hours of fragments of a few frames; going through them takes seconds
MAX_DEPTH = 16
# Boxes that hold boxes.
HOLDERS = (
    *(b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"udta", b"dinf"),
    *(b"moof", b"traf", b"mvex", b"wave", b"gmhd", b"sinf", b"schi", b"tref"),
)
TABLES = (b"stsz", b"stz2", b"stts", b"ctts", b"stsc", b"stco", b"co64", b"elst", b"trun")
# Of a longer table so much is looked at: its entries are bytes of the file, which bound them.
TABLE_BYTES = 64 << 20
MAX_HEADER_BYTES = 64 << 20  # of QuickTime's compressed one, inflated


def check_claims(file: VideoFile) -> None:
    """Raises VideoError "unreadable" for tables that promise more than a file of this size holds.

    Nothing is said of a file that is no MP4 or QuickTime, or whose boxes make no sense.
    """
    _Check(file.name, file.size).walk(file, 0, file.size, _Track())
    file.seek(0)


class _Track:
    """The tables of a track, of a fragment of one, or of what stands outside of all."""

    def __init__(self) -> None:
        self.samples: Counter[str] = Counter()
        self.edits = self.chunks = 0
        self.runs: list[np.ndarray] = []  # (N, 3): first chunk, samples in each from there on

    def add(self, kind: bytes, body: bytes) -> None:
        if kind in (b"stsz", b"stz2"):
            self.samples["stsz"] += _number(body, 8)
        elif kind == b"trun":
            self.samples["trun"] += _number(body, 4)
        elif kind in (b"stts", b"ctts"):
            self.samples[kind.decode()] += int(_entries(body, 2)[:, 0].sum())
        elif kind == b"stsc":
            self.runs.append(_entries(body, 3))
        elif kind in (b"stco", b"co64"):
            self.chunks += _number(body, 4)
        elif kind == b"elst":
            self.edits += len(_entries(body, 3))  # of 12 bytes and more

    def claims(self) -> Counter[str]:
        """Samples, by the table that promises them."""
        claimed = Counter(self.samples)
        for runs in self.runs:
            lengths = np.diff(runs[:, 0], append=self.chunks + 1).clip(0, self.chunks)
            claimed["stsc"] += sum(map(int.__mul__, lengths.tolist(), runs[:, 1].tolist()))
        # FFmpeg may go through all of a track's samples for each edit.
        claimed["elst"] = max(0, self.edits - 1) * max(claimed.values(), default=0)
        return claimed


def _number(body: bytes, at: int) -> int:
    return int.from_bytes(body[at : at + 4]) if len(body) >= at + 4 else 0


def _entries(body: bytes, columns: int) -> np.ndarray:
    """(N, columns) int64: those entries of a table that are there, behind flags and a number."""
    width = 4 * columns
    number = min(_number(body, 4), max(0, len(body) - 8) // width)
    return np.frombuffer(body, ">u4", number * columns, 8).reshape(-1, columns).astype(np.int64)


class _Check:
    """A way through all boxes of a file, which ends where they claim too much."""

    def __init__(self, name: str, size: int):
        self._name, self._size = name, size
        self._claimed: Counter[str] = Counter()
        self._boxes = 0

    def walk(self, file: Readable, start: int, end: int, track: _Track) -> None:
        """Raises VideoError as `check_claims`."""
        self._inside(file, start, end, track, MAX_DEPTH)
        self._account(track)

    def _inside(self, file: Readable, start: int, end: int, track: _Track, depth: int) -> None:
        for kind, at, stop in self._walked(file, start, end):
            if kind in HOLDERS and depth:
                of_its_own = kind in (b"trak", b"traf")
                tables = _Track() if of_its_own else track
                self._inside(file, at, stop, tables, depth - 1)
                if of_its_own:
                    self._account(tables)
            elif kind == b"cmov" and depth:
                header = self._inflated(file, at, stop)
                self._inside(io.BytesIO(header), 0, len(header), track, depth - 1)
            elif kind in (b"free", b"hoov") and _hides_header(file, at) and depth:
                self._inside(file, at, stop, track, depth - 1)
            elif kind in TABLES:
                file.seek(at)
                track.add(kind, file.read(min(stop - at, TABLE_BYTES)))

    def _walked(self, file: Readable, start: int, end: int) -> Iterator[Box]:
        """The boxes from start to end, up to one that makes no sense."""
        while box := read_box(file, start, end):
            self._boxes += 1
            if self._boxes > MAX_BOXES:
                raise self._refused(f"it has more than {MAX_BOXES} boxes, which is no video")
            start = min(end, box.end)
            if start < box.start:
                return
            yield Box(box.kind, box.start, start)

    def _inflated(self, file: Readable, start: int, end: int) -> bytes:
        """The header in a "cmov" box (QuickTime File Format, compressed movie resources)."""
        for kind, at, stop in self._walked(file, start, end):
            if kind == b"cmvd":
                file.seek(at + 4)  # behind the size that it claims
                inflate = zlib.decompressobj()
                try:
                    header = inflate.decompress(file.read(stop - at - 4), MAX_HEADER_BYTES)
                except zlib.error:
                    return b""
                if inflate.unconsumed_tail:
                    raise self._refused(f"its header has more than {MAX_HEADER_BYTES} bytes")
                return header
        return b""

    def _account(self, track: _Track) -> None:
        self._claimed += track.claims()
        for table, samples in self._claimed.items():
            if samples > (most := PER_BYTE * self._size):
                raise self._refused(
                    f"its tables ({table}) claim {samples} samples, and a file of {self._size} "
                    f"bytes holds {most} at most"
                )

    def _refused(self, what: str) -> VideoError:
        return VideoError("unreadable", "decode", f"{self._name}: {what}; get it again.")


def _hides_header(file: Readable, at: int) -> bool:
    """Whether an unused box holds a header, as FFmpeg looks for one (mov.c, mov_read_default)."""
    file.seek(at)
    return file.read(8)[4:] in (b"mvhd", b"cmov")
