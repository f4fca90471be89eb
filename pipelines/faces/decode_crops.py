"""Decoding of encoded crops to pixels without TensorFlow, the same as an exported model does it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

# As TensorFlow's decoders: RGB, and whatever orientation EXIF tells of is left alone.
_FLAGS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION


class CropError(ValueError):
    """An encoded crop that is no image, or one of another size."""


def decode_crops(
    clips: Sequence[Sequence[bytes]], frames: int, side_px: int
) -> tuple[np.ndarray, np.ndarray]:
    """Clips of up to `frames` JPEG or PNG crops, b"" for no face -> uint8 RGB (B, T, H, W, 3) and
    mask bool (B, T), filled up with black frames that the mask leaves out.

    Of the crops that this package makes, the pixels are those of tf.io.decode_jpeg with
    INTEGER_ACCURATE, which training reads. Raises CropError.
    """
    pixels = np.zeros((len(clips), frames, side_px, side_px, 3), np.uint8)
    mask = np.zeros((len(clips), frames), bool)
    for b, clip in enumerate(clips):
        if len(clip) > frames:
            raise CropError(f"Clip {b} has {len(clip)} frames; the model takes up to {frames}.")
        for t, image in enumerate(clip):
            if image:
                pixels[b, t] = _decode(image, side_px, f"Frame {t} of clip {b}")
                mask[b, t] = True
    return pixels, mask


def _decode(image: bytes, side_px: int, which: str) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(image, np.uint8), _FLAGS)
    if pixels is None:
        raise CropError(f"{which} is no JPEG or PNG image: {image[:8]!r}...")
    if pixels.shape[:2] != (side_px, side_px):
        height, width = pixels.shape[:2]
        raise CropError(f"{which} is {width}x{height} px; the model takes {side_px}x{side_px}.")
    return pixels
