"""Swaps: another person's face, warped onto the landmarks and blended in."""

from __future__ import annotations

import cv2
import numpy as np

from pipelines.blends.canvas import Aligned
from pipelines.blends.methods.looks import coarsened, jitter, placed
from pipelines.blends.methods.masks import carried, draw_mask
from pipelines.blends.methods.registry import Edit, method
from pipelines.sample.identities import match_colour

FACES = {"face": 2, "face and forehead": 1, "inner face": 2}


@method("swap", needs_donor=True)
def swap(rng: np.random.Generator, frames: int, side: int) -> Edit:
    """As FaceSwap does it: landmarks, warp, colour transfer (Reinhard et al. 2001), blending by
    alpha or Poisson's equation (Perez et al. 2003), with the mask eroded and blurred."""
    mask = draw_mask(rng, FACES, grown=(-0.25, 0.0), edge=(0.1, 0.5))
    bent, strength = rng.uniform(0.5, 1.0), rng.uniform(0.6, 1.0)
    detail = rng.uniform(0.5, 1.5) * side  # half of them as sharp as the donor is
    is_seamless = rng.random() < 0.35
    strays = jitter(rng, frames, side)

    def edit(t: int, face: Aligned, donor: Aligned) -> tuple[np.ndarray, np.ndarray]:
        goal = donor.points + bent * (face.points - donor.points) + strays[t]
        here = carried(mask, face.points, side)
        over = placed(coarsened(donor.image, detail), donor.points, goal)
        over = match_colour(over, face.image, here, strength)
        return (cloned(over, face.image, here) if is_seamless else over), here

    return edit


def cloned(over: np.ndarray, under: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`over` with its gradients kept and its border that of `under`, where the mask is strong."""
    hard = (mask > 0.3).astype(np.uint8)
    # It solves for what lies within its own picture's border.
    hard[:2] = hard[-2:] = hard[:, :2] = hard[:, -2:] = 0
    x, y, width, height = cv2.boundingRect(hard)
    if min(width, height) < 3:
        return over
    middle = (x + width // 2, y + height // 2)
    return cv2.seamlessClone(over, under, 255 * hard, middle, cv2.NORMAL_CLONE)
