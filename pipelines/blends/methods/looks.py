"""Looks of a pasted face: resolution, sharpness, colour, and where its parts lie.

Pictures are (S, S, 3) uint8 RGB.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from pipelines.blends.methods.masks import grid
from pipelines.blends.motion import wander

Look = Callable[[np.ndarray], np.ndarray]


def to_uint8(image: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def coarsened(image: np.ndarray, side: float, up: int = cv2.INTER_CUBIC) -> np.ndarray:
    """Through `side` px of the canvas and back; as it is where it has fewer."""
    size = max(8, round(side))
    if size >= len(image):
        return image
    small = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, image.shape[1::-1], interpolation=up)


def sharpened(image: np.ndarray, amount: float, sigma: float) -> np.ndarray:
    """By unsharp masking."""
    blurred = cv2.GaussianBlur(image, (0, 0), sigma).astype(np.float32)
    return to_uint8(image + amount * (image - blurred))


def rendered(image: np.ndarray, side: float, smooth: float, sharp: float) -> np.ndarray:
    """As a network of `side` px for the canvas gives it: skin without pores but edges as they are
    (bilateral filter, Tomasi and Manduchi 1998), sharpened, then enlarged."""
    size = min(len(image), max(8, round(side)))
    small = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    small = sharpened(cv2.bilateralFilter(small, 5, smooth, 2.0), sharp, 1.0)
    return cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)


def recoloured(image: np.ndarray, shift: np.ndarray, gain: float) -> np.ndarray:
    """Lab values shifted by (3,), their contrast multiplied."""
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    mean = lab.mean((0, 1))
    lab = (lab - mean) * gain + mean + shift
    return to_uint8(255 * cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB))


def draw_look(rng: np.random.Generator) -> Look:
    """Of another source: fewer pixels or harder edges, and often other colours."""
    coarse, sharp = rng.uniform(0.25, 0.7), rng.uniform(0.4, 1.5)
    up = int(rng.choice([cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC], p=[0.1, 0.4, 0.5]))
    is_coarse, has_colour = rng.random() < 0.5, rng.random() < 2 / 3
    shift = rng.normal(0.0, (4.0, 3.0, 3.0)).astype(np.float32)
    gain = rng.uniform(0.88, 1.12)

    def look(image: np.ndarray) -> np.ndarray:
        if has_colour:
            image = recoloured(image, shift, gain)
        if is_coarse:
            return coarsened(image, coarse * len(image), up)
        return sharpened(image, sharp, len(image) / 200)

    return look


def jitter(rng: np.random.Generator, frames: int, side: int) -> np.ndarray:
    """(frames, 2) px by which a face strays that is pasted frame by frame: slowly, and a little
    from each frame to the next."""
    slow, quick = rng.uniform(0, 0.005) * side, rng.uniform(0, 0.0015) * side
    path = np.stack([wander(rng, frames, 4) for _ in range(2)], axis=1)
    return slow * path + quick * rng.normal(size=(frames, 2))


def placed(image: np.ndarray, points: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """The picture bent so that its points (5, 2) come to `goal`.

    By a thin-plate spline (Bookstein 1989), evaluated on a coarse grid, for it is smooth.
    """
    # Here, for it takes 0.3 s, and the methods' names are in the command's help.
    from scipy.interpolate import RBFInterpolator

    side, cells = len(image), 16
    at = (grid(cells).reshape(-1, 2) + 0.5) * (side / cells) - 0.5
    offsets = RBFInterpolator(goal, points - goal, kernel="thin_plate_spline", degree=1)(at)
    coarse = offsets.reshape(cells, cells, 2).astype(np.float32)
    places = grid(side) + cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR)
    return cv2.remap(
        image, places[..., 0], places[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
