"""Masks: regions of the mean face, deformed, grown or eroded, with an edge of some width."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from pipelines.faces.align import TEMPLATE
from pipelines.faces.regions import CANVAS_LOW, CANVAS_PX, CANVAS_STEP, REGIONS, distance_maps

_ON_MAP = (TEMPLATE - CANVAS_LOW) / CANVAS_STEP - 0.5  # (5, 2) px


def field(rng: np.random.Generator, side: int, knots: int) -> np.ndarray:
    """(side, side, 2) float32: a smooth random field, of deviation 0.5 at its knots."""
    coarse = rng.normal(0.0, 0.5, (knots, knots, 2)).astype(np.float32)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)


def grid(side: int) -> np.ndarray:
    """(side, side, 2) float32: the place x y of each pixel."""
    return np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).astype(np.float32)


def draw_mask(
    rng: np.random.Generator,
    regions: Mapping[str, float],
    grown: tuple[float, float] = (-0.15, 0.1),
    edge: tuple[float, float] = (0.1, 0.6),
) -> np.ndarray:
    """One of the regions, drawn by its weight: (CANVAS_PX, CANVAS_PX) float32, 0 to 1.

    grown, edge: from the least to the most by which it grows, and width of its edge, as shares of
    how far the region reaches inwards: a mouth has less to lose than a face.
    """
    weights = np.array(list(regions.values()))
    name = list(regions)[rng.choice(len(weights), p=weights / weights.sum())]
    distance = distance_maps()[list(REGIONS).index(name)]
    places = grid(CANVAS_PX) + 0.04 / CANVAS_STEP * field(rng, CANVAS_PX, 5)
    distance = cv2.remap(
        distance, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    reach = distance.max()
    ramp = (distance + rng.uniform(*grown) * reach) / (rng.uniform(*edge) * reach)
    ramp = np.clip(ramp, 0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def carried(mask: np.ndarray, points: np.ndarray, side: int) -> np.ndarray:
    """The mask where a face has its landmarks: (side, side) float32, 0 to 1."""
    homogeneous = np.concatenate([_ON_MAP, np.ones((5, 1))], axis=1)
    matrix = np.linalg.lstsq(homogeneous, points, rcond=None)[0].T  # (2, 3)
    return cv2.warpAffine(mask, matrix, (side, side), flags=cv2.INTER_LINEAR)
