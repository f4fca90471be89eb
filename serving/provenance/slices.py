"""Slice headers of H.264 and HEVC: the types of frames, without decoding them.

Rec. ITU-T H.264 (08/2021) 7.3.3 and H.265 (08/2021) 7.3.6.1: the type stands at the beginning of a
slice's header.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

FrameType = Literal["I", "P", "B"]
HEAD = 64  # bytes of a NAL unit that hold what is read here
START_CODE = re.compile(rb"\x00\x00\x01")
H264_TYPES: dict[int, FrameType] = {0: "P", 1: "B", 2: "I", 3: "P", 4: "I"}  # SP and SI, too
HEVC_TYPES: dict[int, FrameType] = {0: "B", 1: "P", 2: "I"}
MAX_SEI = 4096  # bytes of a message that names the encoder


class _Bits:
    """Bits of a NAL unit's payload, from which emulation prevention is taken out."""

    def __init__(self, payload: bytes):
        data = payload.replace(b"\x00\x00\x03", b"\x00\x00")
        self._bits = f"{int.from_bytes(data, 'big'):0{8 * len(data)}b}" if data else ""
        self._at = 0

    def take(self, count: int) -> int:
        """An unsigned number of so many bits. Raises ValueError behind the end."""
        bits = self._bits[self._at : self._at + count]
        if len(bits) < count:
            raise ValueError("a header is cut off")
        self._at += count
        return int(bits, 2) if bits else 0

    def golomb(self) -> int:
        """An Exp-Golomb code, ue(v) of H.264 9.1. Raises ValueError."""
        zeros = self._bits.find("1", self._at) - self._at
        if not 0 <= zeros <= 32:
            raise ValueError("no Exp-Golomb code")
        self._at += zeros
        return self.take(zeros + 1) - 1


class SliceReader:
    """Reads the types of frames of a stream.

    codec: "h264" or "hevc". extradata: the stream's configuration, from which the length of a NAL
    unit's size follows (ISO/IEC 14496-15) and, of HEVC, its picture parameter sets.
    """

    def __init__(self, codec: str, extradata: bytes):
        self._hevc = codec == "hevc"
        self._extra_bits: dict[int, int] = {}  # of each picture parameter set of HEVC
        self._size_bytes = 0  # 0: start codes are between NAL units, Annex B
        self.encoder = ""
        if extradata[:1] == b"\x01":
            at = 21 if self._hevc else 4
            self._size_bytes = (extradata[at] & 3) + 1 if len(extradata) > at else 4
            self._read_configuration(extradata)
        else:
            for unit in _by_start_codes(extradata):
                self._note(unit)

    def _read_configuration(self, extradata: bytes) -> None:
        """The parameter sets of an HEVCDecoderConfigurationRecord."""
        at = 23
        if not self._hevc or len(extradata) < at:
            return
        for _ in range(extradata[22]):
            count, at = int.from_bytes(extradata[at + 1 : at + 3], "big"), at + 3
            for _ in range(count):
                size = int.from_bytes(extradata[at : at + 2], "big")
                self._note(extradata[at + 2 : at + 2 + size])
                at += 2 + size

    def frame_type(self, packet: bytes) -> FrameType | None:
        """That of the frame in a packet: B where any of its slices is, else P where any is; None
        where it cannot be told."""
        types = set()
        units = _by_size(packet, self._size_bytes) if self._size_bytes else _by_start_codes(packet)
        for unit in units:
            try:
                types.add(self._slice_type(unit))
            except (ValueError, IndexError):
                return None
            self._note(unit)
        ordered: tuple[FrameType, ...] = ("B", "P", "I")
        return next((kind for kind in ordered if kind in types), None)

    def _slice_type(self, unit: bytes) -> FrameType | None:
        """None of a NAL unit that is no slice. Raises ValueError, IndexError."""
        if not self._hevc:
            if unit[0] & 31 not in (1, 2, 5):
                return None
            bits = _Bits(unit[1:HEAD])
            bits.golomb()  # first_mb_in_slice
            return H264_TYPES[bits.golomb() % 5]
        kind = unit[0] >> 1 & 63
        if kind > 21 or (unit[0] & 1) << 5 | unit[1] >> 3:  # no slice, or of another layer
            return None
        bits = _Bits(unit[2:HEAD])
        if not bits.take(1):  # only the first segment of a picture has it for certain
            return None
        if 16 <= kind <= 23:
            bits.take(1)  # no_output_of_prior_pics_flag
        bits.take(self._extra_bits.get(bits.golomb(), 0))
        return HEVC_TYPES.get(bits.golomb())

    def _note(self, unit: bytes) -> None:
        """What later slices need of a NAL unit, and what it says of the encoder."""
        if not unit:
            return
        if self._hevc and unit[0] >> 1 & 63 == 34:  # a picture parameter set, 7.3.2.3.1
            bits = _Bits(unit[2:HEAD])
            number = bits.golomb()
            bits.golomb()  # pps_seq_parameter_set_id
            bits.take(2)  # dependent_slice_segments_enabled_flag, output_flag_present_flag
            self._extra_bits[number] = bits.take(3)
        prefix = 39 if self._hevc else 6
        kind = unit[0] >> 1 & 63 if self._hevc else unit[0] & 31
        if kind == prefix and not self.encoder:
            self.encoder = _encoder_of(unit[2 if self._hevc else 1 : MAX_SEI])


def _encoder_of(sei: bytes) -> str:
    """The text of a first message that is user data unregistered (D.1.7: type 5, a UUID, data), in
    which x264, x265 and others say what they are; "" of another."""
    if sei[:1] != b"\x05":
        return ""
    at = 1
    while at < len(sei) and sei[at] == 255:  # the size, a byte for every 255
        at += 1
    text = sei[at + 1 + 16 :].split(b"\x00")[0].rstrip(b"\x80")
    return text.decode("ascii") if re.fullmatch(rb"[ -~]{4,}", text) else ""


def _by_size(data: bytes, size_bytes: int) -> Iterator[bytes]:
    at = 0
    while at + size_bytes < len(data):
        size = int.from_bytes(data[at : at + size_bytes], "big")
        at += size_bytes
        yield data[at : at + size]
        at += size


def _by_start_codes(data: bytes) -> Iterator[bytes]:
    starts = [match.end() for match in START_CODE.finditer(data)]
    for start, end in zip(starts, [*starts[1:], len(data) + 3], strict=True):
        yield data[start : end - 3]
