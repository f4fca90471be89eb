"""Face alignment by a similarity transform, and the crop at one size."""

from __future__ import annotations

import cv2
import numpy as np

# Mean positions of the five landmarks in a tight face square of side 1: the template of
# ArcFace (Deng et al. 2019) at 112 px, divided by its side.
TEMPLATE = (
    np.array(
        [
            [38.2946, 51.6963],
            [73.5318, 51.5014],
            [56.0252, 71.7366],
            [41.5493, 92.3655],
            [70.7299, 92.2041],
        ]
    )
    / 112.0
)


def similarity(landmarks: np.ndarray, crop_size: int, margin: float) -> np.ndarray:
    """Least-squares rotation, scale and shift: landmarks (5, 2) px -> template, (2, 3) float32.

    Umeyama 1991. `margin` adds that share of the face square's side all around, split evenly.
    """
    target = ((TEMPLATE - 0.5) / (1 + margin) + 0.5) * crop_size
    # As complex numbers a similarity is z -> a z + b, and least squares has a closed form.
    z = landmarks[:, 0] + 1j * landmarks[:, 1]
    w = target[:, 0] + 1j * target[:, 1]
    dz, dw = z - z.mean(), w - w.mean()
    a = np.vdot(dz, dw) / max(np.vdot(dz, dz).real, 1e-9)
    b = w.mean() - a * z.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]], np.float32)


def crop(frame: np.ndarray, transform: np.ndarray, crop_size: int) -> np.ndarray:
    """The part of `frame` (H, W, 3) uint8 that `transform` (2, 3) maps to the crop.

    Beyond the frame's border its edge is mirrored, so no black wedge tells where it was.
    """
    return warp(frame, transform, (crop_size, crop_size))


def warp(
    image: np.ndarray,
    transform: np.ndarray,
    size: tuple[int, int],
    interpolation: int = cv2.INTER_LINEAR,
    border: int = cv2.BORDER_REFLECT_101,
) -> np.ndarray:
    """What `transform` (2, 3) maps of `image` (H, W) or (H, W, C) to a picture of size (W, H).

    What is made much smaller is reduced by area first, against aliasing.
    """
    scale = float(np.hypot(transform[0, 0], transform[1, 0]))
    if 0 < scale < 0.5:
        reduced = np.maximum(np.round(np.array(image.shape[1::-1]) * scale * 1.5), 1).astype(int)
        ratio = reduced / image.shape[1::-1]
        image = cv2.resize(image, reduced.tolist(), interpolation=cv2.INTER_AREA)
        transform = transform @ np.diag([*(1 / ratio), 1.0])
    return cv2.warpAffine(
        image, transform.astype(np.float64), size, flags=interpolation, borderMode=border
    )
