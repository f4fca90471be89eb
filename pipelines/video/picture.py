"""Display picture: what a player shows of a decoded frame, as upright SDR RGB in square pixels."""

from __future__ import annotations

from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

# ITU-T H.273; FFmpeg refuses to convert the former, which says no more than the latter.
RESERVED_MATRIX, UNSPECIFIED_MATRIX = 3, 2

# Numbers of ITU-T H.273 (07/2024), tables 2 to 4.
BT709, BT2020, UNSPECIFIED = 1, 9, 2
HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics
WIDE_GAMUTS = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}  # colour primaries

# 8K. A damaged header can claim more than memory holds.
MAX_SIDE_PX = 8192
MAX_PIXELS = 8192 * 4608
# Less than this from square is a header's rounding (FFmpeg's mov.c lets it pass, too).
SQUARE_WITHIN = 0.01
# Half of a DVD's width shown at 16:9 comes to 2.9; a damaged header names anything.
MAX_ASPECT = 8.0


def picture(frame: av.VideoFrame, aspect: float, colours: VideoReformatter) -> np.ndarray:
    """(H, W, 3) uint8 RGB.

    aspect: a pixel's width by its height, from `pixel_aspect`. colours: one for all frames of a
    video, since it has threads, and the tables for those that are not SDR take seconds to make.
    """
    return oriented(squared(_rgb(frame, colours), aspect), _display_matrix(frame))


def wide_colours(transfer: int, primaries: int) -> str:
    """What people call colours beyond SDR in BT.709, from their numbers in H.273; "" for others."""
    if transfer in HDR:
        return f"HDR ({HDR[transfer]}, {WIDE_GAMUTS.get(primaries, WIDE_GAMUTS[BT2020])})"
    return f"wide gamut ({WIDE_GAMUTS[primaries]})" if primaries in WIDE_GAMUTS else ""


def refused_size(width: int, height: int) -> str:
    """What is wrong with a picture of this size, for a sentence; "" of one that is read."""
    if max(width, height) <= MAX_SIDE_PX and width * height <= MAX_PIXELS and width and height:
        return ""
    limits = f"sides of 1 to {MAX_SIDE_PX} px and up to {MAX_PIXELS / 1e6:.0f} Mpx are read"
    return f"{width}x{height} px; {limits}"


def pixel_aspect(ratio: float | None) -> float:
    """A pixel's width by its height from what a file says of it: 1.0 for square or nonsense."""
    if not ratio or abs(ratio - 1) <= SQUARE_WITHIN:
        return 1.0
    return float(ratio) if 1 / MAX_ASPECT <= ratio <= MAX_ASPECT else 1.0


def square_size(width: int, height: int, aspect: float) -> tuple[int, int]:
    """(width, height) in square pixels: the side that lacks some is enlarged, so nothing is lost.

    What would be larger than any picture that is read has its other side reduced instead.
    """
    wide = max(width, round(width * aspect)), max(height, round(height / aspect))
    if max(wide) <= MAX_SIDE_PX and wide[0] * wide[1] <= MAX_PIXELS:
        return wide
    return max(1, min(width, round(width * aspect))), max(1, min(height, round(height / aspect)))


def squared(image: np.ndarray, aspect: float) -> np.ndarray:
    """The picture (H, W, 3) whose pixels are `aspect` times as wide as high, in square ones."""
    if aspect == 1.0:
        return image
    size = square_size(image.shape[1], image.shape[0], aspect)
    reduced = size[0] < image.shape[1] or size[1] < image.shape[0]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if reduced else cv2.INTER_CUBIC)


def oriented(image: np.ndarray, matrix: np.ndarray | None) -> np.ndarray:
    """The picture (H, W, 3) as a display matrix turns and mirrors it, one of eight ways.

    matrix: (9,) int, a b u c d v x y w, which brings the pixel (x, y) to (a x + c y, b x + d y):
    ISO/IEC 14496-12:2022, 8.3.2 (track header). The nearest of the eight is taken; scales and
    shifts are none of the picture's orientation.
    """
    if matrix is None:
        return image
    a, b, c, d = (int(matrix[i]) for i in (0, 1, 3, 4))
    right, down = a, d
    if abs(b) + abs(c) > abs(a) + abs(d):  # rows become columns
        image = image.swapaxes(0, 1)
        right, down = c, b
    image = image[:, ::-1] if right < 0 else image
    image = image[::-1] if down < 0 else image
    return np.ascontiguousarray(image)


def _display_matrix(frame: av.VideoFrame) -> np.ndarray | None:
    try:
        data: Any = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:
        # PyAV (18.1) lists no side data with a kind that it does not know, as the EXIF that
        # FFmpeg 8 hands on from Motion JPEG. It still tells how the matrix turns the picture.
        angle = np.deg2rad(frame.rotation)  # against the clock
        cos, sin = (round(float(value)) for value in (np.cos(angle), np.sin(angle)))
        return np.array([cos, -sin, 0, sin, cos, 0, 0, 0, 1], np.int32)
    return None if data is None else np.frombuffer(data, np.int32)


def _rgb(frame: av.VideoFrame, colours: VideoReformatter) -> np.ndarray:
    """(H, W, 3) uint8, by the matrix and range that the frame names (BT.601 where it does not).

    HDR and wide gamuts come as SDR in BT.709.
    """
    if frame.colorspace == RESERVED_MATRIX:
        frame.colorspace = UNSPECIFIED_MATRIX
    if wide_colours(frame.color_trc, frame.color_primaries):
        frame = _sdr(frame, colours)
    # A frame's own reformatter would start threads for it alone.
    return colours.reformat(frame, format="rgb24").to_ndarray()


def _sdr(frame: av.VideoFrame, colours: VideoReformatter) -> av.VideoFrame:
    """The frame as SDR RGB in BT.709, by FFmpeg's libswscale (9.5, cms.c: a tone curve with a
    knee after SMPTE ST 2094-10, and gamut mapping, in PQ-encoded IPT). HDR's reference white,
    203 cd/m2 (ITU-R BT.2408-7), is SDR's white.
    """
    is_hdr = frame.color_trc in HDR
    if is_hdr and frame.colorspace == UNSPECIFIED_MATRIX:
        frame.colorspace = BT2020
    if is_hdr and frame.color_primaries == UNSPECIFIED:
        frame.color_primaries = BT2020
    if frame.color_trc == UNSPECIFIED:
        frame.color_trc = BT709
    transfer = BT709 if is_hdr else frame.color_trc
    return colours.reformat(
        frame, format="rgb24", dst_color_trc=transfer, dst_color_primaries=BT709
    )
