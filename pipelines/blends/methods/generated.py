"""Generated faces, in the manner of live face swappers: few pixels, smooth, then sharpened."""

from __future__ import annotations

import numpy as np

from pipelines.blends.canvas import CANVAS_SIDE, Aligned
from pipelines.blends.methods.looks import jitter, placed, rendered, to_uint8
from pipelines.blends.methods.masks import carried, draw_mask
from pipelines.blends.methods.registry import Edit, method
from pipelines.blends.methods.swap import FACES
from pipelines.blends.motion import wander
from pipelines.sample.identities import match_colour

RESOLUTIONS = (64, 96, 112, 128, 160, 192, 224, 256)  # px of the face square


@method("generated", needs_donor=True)
def generated(rng: np.random.Generator, frames: int, side: int) -> Edit:
    """Another person's face as a network would give it, with a slight flicker over time."""
    mask = draw_mask(rng, FACES, grown=(-0.2, 0.0), edge=(0.2, 0.6))
    resolution = CANVAS_SIDE * rng.choice(RESOLUTIONS)
    smooth, sharp = rng.uniform(12, 40), rng.uniform(0.0, 1.2)
    strength, bent = rng.uniform(0.8, 1.0), rng.uniform(0.7, 1.0)
    strays = 0.6 * jitter(rng, frames, side)
    flicker = 1 + 0.015 * wander(rng, frames, 8) + rng.uniform(0, 0.008) * rng.normal(size=frames)

    def edit(t: int, face: Aligned, donor: Aligned) -> tuple[np.ndarray, np.ndarray]:
        goal = donor.points + bent * (face.points - donor.points) + strays[t]
        here = carried(mask, face.points, side)
        over = placed(rendered(donor.image, resolution, smooth, sharp), donor.points, goal)
        over = match_colour(over, face.image, here, strength)
        return to_uint8(flicker[t] * over.astype(np.float32)), here

    return edit
