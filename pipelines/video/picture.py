"""Display picture: what a player shows of a decoded frame, as upright RGB in square pixels."""

from __future__ import annotations

from typing import Any

import av
import cv2
import numpy as np

# ITU-T H.273; FFmpeg refuses to convert the former, which says no more than the latter.
RESERVED_MATRIX, UNSPECIFIED_MATRIX = 3, 2

# 8K. A damaged header can claim more than memory holds.
MAX_SIDE_PX = 8192
MAX_PIXELS = 8192 * 4608
# Less than this from square is a header's rounding (FFmpeg's mov.c lets it pass, too).
SQUARE_WITHIN = 0.01
# Half of a DVD's width shown at 16:9 comes to 2.9; a damaged header names anything.
MAX_ASPECT = 8.0


def picture(frame: av.VideoFrame, aspect: float) -> np.ndarray:
    """(H, W, 3) uint8 RGB. aspect: a pixel's width by its height, from `pixel_aspect`."""
    return oriented(squared(_rgb(frame), aspect), _display_matrix(frame))


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
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    return None if data is None else np.frombuffer(data, np.int32)


def _rgb(frame: av.VideoFrame) -> np.ndarray:
    """(H, W, 3) uint8, by the matrix and range that the frame names (BT.601 where it does not)."""
    if frame.colorspace == RESERVED_MATRIX:
        frame.colorspace = UNSPECIFIED_MATRIX
    return frame.to_ndarray(format="rgb24")
