"""Encoding of a file's video stream: codec, profile, GOP lengths, types of frames; decodes nothing.

Signs of a second compression are not looked for. A published method, Vázquez-Padín et al.,
"Detection of video double encoding with GOP size estimation" (WIFS 2012), needs the types of
macroblocks, which FFmpeg does not hand out.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np

from pipelines.video.probe import MAX_FRAMES, demux
from serving.provenance.printable import printable
from serving.provenance.slices import SliceReader


@dataclasses.dataclass(frozen=True)
class GopLengths:
    """Frames from one keyframe to the next, over the whole video. number: of such runs, the last
    of which ends with the video and counts for the others only where it is alone."""

    number: int
    shortest: int
    median: float
    longest: int


@dataclasses.dataclass(frozen=True)
class Encoding:
    """How the video stream is encoded, by its headers and packets.

    profile, pixel_format: "" where the stream does not say. bit_rate: bits a second of the video
    stream. frames, keyframes: numbers of them. frame_types: how many frames are I, P and B; empty
    for codecs other than H.264 and HEVC. encoder: what the encoder wrote into the stream.
    """

    codec: str
    profile: str
    pixel_format: str
    bit_rate: int | None
    frames: int
    keyframes: int
    gop: GopLengths | None
    frame_types: dict[str, int] = dataclasses.field(default_factory=dict)
    encoder: str = ""


def read_encoding(container: Any, stream: Any) -> Encoding:
    """Of an open container of PyAV and its video stream. Raises ValueError, and PyAV's errors, for
    what cannot be read."""
    context = stream.codec_context
    slices = None
    if context.name in ("h264", "hevc"):
        slices = SliceReader(context.name, context.extradata or b"")
    keyframes: list[int] = []
    types: Counter[str] = Counter()
    frames, size_bytes = 0, 0
    for packet in demux(container, stream):
        if not packet.size:
            continue
        if packet.is_keyframe:
            keyframes.append(frames)
        if slices and (kind := slices.frame_type(bytes(packet))):
            types[kind] += 1
        frames += 1
        size_bytes += packet.size
        if frames > MAX_FRAMES:
            raise ValueError(f"more than {MAX_FRAMES} frames")
    return Encoding(
        codec=printable(context.codec.long_name or context.name),
        profile=printable(context.profile),
        pixel_format=printable(context.pix_fmt),
        bit_rate=_bit_rate(stream, frames, size_bytes),
        frames=frames,
        keyframes=len(keyframes),
        gop=gop_lengths(keyframes, frames),
        frame_types=dict(sorted(types.items())),
        encoder=printable(slices.encoder if slices else ""),
    )


def gop_lengths(keyframes: list[int], frames: int) -> GopLengths | None:
    """keyframes: their places among the frames, ascending; None without one."""
    if not keyframes:
        return None
    runs = [after - before for before, after in pairwise([*keyframes, frames])]
    whole = runs[:-1] or runs
    return GopLengths(len(runs), min(whole), float(np.median(whole)), max(whole))


def _bit_rate(stream: Any, frames: int, size_bytes: int) -> int | None:
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    return round(8 * size_bytes * rate / frames) if rate and frames else None
