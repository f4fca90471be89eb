"""Edits of a part of the face alone: a mouth that speaks otherwise, eyes that look elsewhere."""

from __future__ import annotations

import cv2
import numpy as np

from pipelines.blends.canvas import CANVAS_SIDE, Aligned
from pipelines.blends.methods.looks import jitter, recoloured, rendered
from pipelines.blends.methods.masks import carried, draw_mask, grid
from pipelines.blends.methods.registry import Edit, method
from pipelines.blends.motion import wander


@method("mouth")
def mouth(rng: np.random.Generator, frames: int, side: int) -> Edit:
    """As lip synchronisation: the mouth, at few pixels, opens and shuts at times of its own."""
    # As far as the chin: its region "lower face" begins beside the eyes.
    mask = draw_mask(rng, {"mouth": 1.0}, grown=(0.0, 1.0), edge=(0.3, 1.0))
    stretch = rng.uniform(0.15, 0.4) * wander(rng, frames, 4)
    return _part(rng, frames, side, mask, [[3, 4]], (0.34, 0.22), stretch, 0.006)


@method("eyes")
def eyes(rng: np.random.Generator, frames: int, side: int) -> Edit:
    """As gaze correction: the eyes, wider or narrower, shifted a little."""
    mask = draw_mask(rng, {"eyes": 1.0}, grown=(0.0, 0.3), edge=(0.3, 0.8))
    stretch = rng.uniform(0.1, 0.3) * (rng.choice([-1, 1]) + 0.5 * wander(rng, frames, 12))
    return _part(rng, frames, side, mask, [[0], [1]], (0.16, 0.1), stretch, 0.015)


def _part(
    rng: np.random.Generator,
    frames: int,
    side: int,
    mask: np.ndarray,
    landmarks: list[list[int]],
    radius: tuple[float, float],
    stretch: np.ndarray,
    shift: float,
) -> Edit:
    """landmarks: of which each centre is the mean. radius (x, y), shift: of the face square's side.
    stretch: (frames,) by which share what is around a centre becomes higher.
    """
    face_px = side / CANVAS_SIDE
    resolution = CANVAS_SIDE * rng.choice((64, 96, 128, 192))
    smooth, sharp = rng.uniform(8, 30), rng.uniform(0.0, 1.0)
    colour = rng.normal(0.0, (2.0, 1.5, 1.5)).astype(np.float32)
    offset = shift * face_px * rng.uniform(-1, 1, 2)
    strays = jitter(rng, frames, side)

    def edit(t: int, face: Aligned, donor: Aligned) -> tuple[np.ndarray, np.ndarray]:
        places = grid(side)
        for some in landmarks:
            away = grid(side) - face.points[some].mean(0)
            near = np.exp(-((away / (np.array(radius) * face_px)) ** 2).sum(-1))
            places[..., 1] -= near * away[..., 1] * stretch[t] / (1 + abs(stretch[t]))
            places -= near[..., None] * (offset + strays[t])
        places = places.astype(np.float32)
        over = cv2.remap(face.image, places[..., 0], places[..., 1], cv2.INTER_CUBIC)
        over = rendered(over, resolution, smooth, sharp)
        return recoloured(over, colour, 1.0), carried(mask, face.points, side)

    return edit
