"""Motion: smooth random curves over time, and the camera in a hand that looks at a picture."""

from __future__ import annotations

import math

import cv2
import numpy as np

NOISE_ROOM_PX = 64  # by which the noise of a frame may lie elsewhere than that of another


def wander(rng: np.random.Generator, frames: int, period: float) -> np.ndarray:
    """(frames,) within -1..1: a smooth random curve that bends every `period` frames."""
    knots = rng.normal(0.0, 0.5, (1, max(2, math.ceil(frames / max(period, 1.0)))))
    return np.clip(cv2.resize(knots, (frames, 1), interpolation=cv2.INTER_CUBIC)[0], -1, 1)


def hand_held(
    rng: np.random.Generator, frames: int, fps: float, size: tuple[int, int]
) -> np.ndarray:
    """(frames, 2, 3) float64: where each frame of a film of a picture of size (W, H) shows it.

    Slow pans, zooms and turns, and the tremor of a hand. Some are as steady as on a tripod.
    """
    still = 0.05 if rng.random() < 0.2 else 1.0
    short = min(size)
    slow, fast = (lambda: wander(rng, frames, fps * 1.2)), (lambda: wander(rng, frames, fps / 7))
    reach, shake = rng.uniform(0.01, 0.05) * still, rng.uniform(0.0005, 0.002) * still
    x, y = (short * (reach * slow() + shake * fast()) for _ in range(2))
    angle = np.radians(rng.uniform(-4, 4) + still * (1.5 * slow() + 0.1 * fast()))
    zoom = 1.0 + rng.uniform(0.05, 0.15) + still * 0.04 * slow()
    a, b = zoom * np.cos(angle), zoom * np.sin(angle)
    centre = (np.array(size) - 1) / 2
    matrices = np.empty((frames, 2, 3))
    matrices[:, 0, 0], matrices[:, 0, 1], matrices[:, 1, 0], matrices[:, 1, 1] = a, -b, b, a
    matrices[:, :, 2] = centre - matrices[:, :, :2] @ centre + np.stack([x, y], axis=1)
    return matrices


def moved(points: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """The points (N, 2) of the picture in each frame: (frames, N, 2)."""
    return np.einsum("fij,nj->fni", matrices[:, :, :2], points) + matrices[:, None, :, 2]


class Film:
    """Frames of a picture (H, W, 3) uint8 RGB as a camera takes them, with a noise of its own."""

    def __init__(self, image: np.ndarray, matrices: np.ndarray, rng: np.random.Generator):
        height, width = image.shape[:2]
        self._image, self._matrices = image, matrices
        tile = (height + NOISE_ROOM_PX, width + NOISE_ROOM_PX)
        noise = rng.standard_normal((*tile, 1), np.float32)
        noise = noise + 0.5 * rng.standard_normal((*tile, 3), np.float32)
        # A camera's noise has passed its own processing: it is not as fine as pixels are.
        self._noise = cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.4, 0.9))
        self._noise *= rng.uniform(0.5, 3.0) / self._noise.std()
        self._places = rng.integers(0, NOISE_ROOM_PX, (len(matrices), 2))

    def __iter__(self):
        height, width = self._image.shape[:2]
        for matrix, (y, x) in zip(self._matrices, self._places, strict=True):
            frame = cv2.warpAffine(
                self._image,
                matrix,
                (width, height),
                flags=cv2.INTER_CUBIC,
                borderMode=cv2.BORDER_REFLECT_101,
            )
            noisy = frame + self._noise[y : y + height, x : x + width]
            yield np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
