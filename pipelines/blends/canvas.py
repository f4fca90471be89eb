"""The aligned canvas on which faces are edited, cut from a frame and pasted back into it.

It is the square of `pipelines.faces.regions`: a tight face square with 0.3 of its side around it.
A pasted face so is sampled twice, as face swappers do it, which work on aligned crops, too.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from pipelines.faces.align import similarity, warp

MARGIN = 0.6  # of the canvas around the face square, both sides together
CANVAS_SIDE = 1 + MARGIN  # of face squares


@dataclasses.dataclass(frozen=True, eq=False)
class Aligned:
    """A face on a canvas of S px. image: (S, S, 3) uint8 RGB. points: (5, 2) px, its landmarks.

    to_canvas: (2, 3), from px of the frame that it was cut from.
    """

    image: np.ndarray
    points: np.ndarray
    to_canvas: np.ndarray


def face_side(landmarks: np.ndarray) -> float:
    """Side in px of the face square of landmarks (5, 2)."""
    matrix = similarity(landmarks, 1, 0.0)
    return 1 / max(float(np.hypot(matrix[0, 0], matrix[1, 0])), 1e-6)


def onto_canvas(landmarks: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks (5, 2) px of a frame in px of a canvas of `side`, and the (2, 3) float64 there."""
    matrix = similarity(landmarks, side, MARGIN).astype(np.float64)
    return landmarks @ matrix[:, :2].T + matrix[:, 2], matrix


def align(frame: np.ndarray, landmarks: np.ndarray, side: int) -> Aligned:
    """The face of a frame (H, W, 3) uint8 on a canvas of `side` px."""
    points, matrix = onto_canvas(landmarks, side)
    return Aligned(warp(frame, matrix, (side, side), cv2.INTER_CUBIC), points, matrix)


def paste(frame: np.ndarray, face: Aligned, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The frame with `image` (S, S, 3) in the place of the face's, as far as `mask` says.

    mask: (S, S) float32, 0 to 1. Where it is 0 the frame stays as it is, byte for byte.
    """
    side = len(mask)
    to_frame = cv2.invertAffineTransform(face.to_canvas)
    corners = np.array([[x, y, 1] for x in (0, side) for y in (0, side)]) @ to_frame.T
    low = np.maximum(np.floor(corners.min(0)), 0).astype(int)
    high = np.minimum(np.ceil(corners.max(0)) + 1, frame.shape[1::-1]).astype(int)
    if (low >= high).any():
        return frame
    to_frame[:, 2] -= low
    width, height = (int(n) for n in high - low)
    share = warp(mask, to_frame, (width, height), border=cv2.BORDER_CONSTANT)[..., None]
    over = warp(image, to_frame, (width, height), cv2.INTER_CUBIC)
    result = frame.copy()
    patch = result[low[1] : high[1], low[0] : high[0]]
    patch[:] = np.clip(np.rint(patch + share * (over.astype(np.float32) - patch)), 0, 255)
    return result
