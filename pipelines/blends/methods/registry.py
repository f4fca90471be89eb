"""The registry of methods, each a function that draws the edit of one video."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from pipelines.blends.canvas import Aligned

# (number of the frame, its face, the donor's face) -> what is pasted, (S, S, 3) uint8, and how much
# of it, (S, S) float32 0 to 1. The donor is the face itself for methods that need none.
Edit = Callable[[int, Aligned, Aligned], tuple[np.ndarray, np.ndarray]]
# (randomness, frames of the video, S) -> its edit: all that stays the same over time is drawn here.
Draw = Callable[[np.random.Generator, int, int], Edit]


@dataclasses.dataclass(frozen=True)
class Method:
    """draw: makes the edit. needs_donor: whether it takes another person's face."""

    draw: Draw
    needs_donor: bool


METHODS: dict[str, Method] = {}


def method(name: str, needs_donor: bool = False) -> Callable[[Draw], Draw]:
    """Registers a function by the name that --methods and data sets give it."""

    def register(draw: Draw) -> Draw:
        METHODS[name] = Method(draw, needs_donor)
        return draw

    return register
