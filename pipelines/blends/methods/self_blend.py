"""Self-blends: a changed copy of the face, pasted onto itself.

Shiohara & Yamasaki, "Detecting Deepfakes with Self-Blended Images", CVPR 2022 (arXiv:2204.08376).
Only the copy is changed: what surrounds the face is that of the real video.
"""

from __future__ import annotations

import cv2
import numpy as np

from pipelines.blends.canvas import Aligned
from pipelines.blends.methods.looks import draw_look, jitter
from pipelines.blends.methods.masks import carried, draw_mask, field, grid
from pipelines.blends.methods.registry import Edit, method
from pipelines.faces.regions import REGIONS, WEIGHTS

RATIOS = (0.5, 0.75, 1.0, 1.0, 1.0)  # the paper's, but for its faintest


@method("self-blend")
def self_blend(rng: np.random.Generator, frames: int, side: int) -> Edit:
    """The paper's scale of up to 5 %, shift of up to 3 % across and 1.5 % along, and an elastic
    deformation of up to about 1 % of the side."""
    mask = draw_mask(rng, dict(zip(REGIONS, WEIGHTS, strict=True))) * rng.choice(RATIOS)
    look = draw_look(rng)
    scale = rng.uniform(0.95, 1.05)
    shift = rng.uniform(-1, 1, 2) * (0.03, 0.015) * side
    wave = 0.01 * side * field(rng, side, 6)
    strays = jitter(rng, frames, side)
    middle = (side - 1) / 2

    def edit(t: int, face: Aligned, donor: Aligned) -> tuple[np.ndarray, np.ndarray]:
        places = (grid(side) - middle - shift - strays[t]) / scale + middle + wave
        places = places.astype(np.float32)
        copy = cv2.remap(
            face.image,
            places[..., 0],
            places[..., 1],
            cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        return look(copy), carried(mask, face.points, side)

    return edit
