"""Cut detection: shot boundaries between sampled frames, by how much the picture changes.

The measure is that of PySceneDetect's ContentDetector (scenedetect/detectors/content_detector.py):
the mean absolute difference of two pictures in HSV, each channel as much as the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

THUMB_SIZE = (16, 9)  # W, H
CUT = 27.0  # its default threshold


def thumb(image: np.ndarray) -> np.ndarray:
    """The picture (H, W, 3) uint8 RGB at `THUMB_SIZE`, (9, 16, 3) uint8: motion within it and
    noise hardly show, another picture does."""
    return cv2.resize(image, THUMB_SIZE, interpolation=cv2.INTER_AREA)


def change(before: np.ndarray, after: np.ndarray) -> float:
    """How much one `thumb` differs from another, 0 to 255."""
    a, b = (cv2.cvtColor(x, cv2.COLOR_RGB2HSV).astype(np.float32) for x in (before, after))
    return float(np.abs(a - b).mean())


def is_cut(before: np.ndarray, after: np.ndarray) -> bool:
    return change(before, after) >= CUT


def cuts(thumbs: Sequence[np.ndarray]) -> list[int]:
    """Numbers of those pictures that begin a shot, the first aside."""
    return [i for i in range(1, len(thumbs)) if is_cut(thumbs[i - 1], thumbs[i])]
