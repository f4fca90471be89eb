"""Deterministic H.264: options of the encoder for generated videos, and clips sent through it."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np


def x264_options(crf: float) -> dict[str, str]:
    """Options of FFmpeg's libx264 at a constant rate factor, otherwise as FFmpeg sets it.

    One thread, since frames that are encoded side by side decide otherwise. No AVX-512: what
    x264's macroblock tree does with it depends on what was in memory before (of 15,000 clips of
    four frames, encoded over and over, 36 came out otherwise; none with AVX, which is as fast).
    AVX is what TensorFlow asks of a processor anyway; x264 for others leaves the word alone.
    """
    return {"crf": f"{crf:g}", "threads": "1", "x264-params": "asm=avx"}


def through_h264(clip: np.ndarray, crf: float, preset: str = "medium") -> np.ndarray:
    """Frames (T, H, W, 3) uint8 RGB through H.264 as one video, in order: the same, compressed.

    By libx264 in yuv420p at a constant rate factor, decoded by FFmpeg. At 25 frames a second,
    whatever the frames' distance in time. Encoder and decoder have one thread each.
    """
    frames, height, width = clip.shape[:3]
    # Half the colours' resolution needs even sides.
    even = np.pad(clip, [(0, 0), (0, height % 2), (0, width % 2), (0, 0)], mode="edge")
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = even.shape[2], even.shape[1], "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    encoder.options = {**x264_options(crf), "preset": preset}
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    packets = [
        packet
        for frame in (*(av.VideoFrame.from_ndarray(f, format="rgb24") for f in even), None)
        for packet in encoder.encode(frame)
    ]
    decoded = [frame for packet in (*packets, None) for frame in decoder.decode(packet)]
    if len(decoded) != frames:
        raise RuntimeError(f"H.264 gave {len(decoded)} frames for {frames}.")
    back = np.stack([frame.to_ndarray(format="rgb24") for frame in decoded])
    return back[:, :height, :width]
