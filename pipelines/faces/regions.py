"""Regions of a mean face, as maps of the distance to their borders: what face swaps replace.

The regions are hulls of landmarks, as in Li et al., "Face X-ray for More General Face Forgery
Detection", CVPR 2020 (arXiv:1912.13458), and in Self-Blended Images (arXiv:2204.08376). Of a clip
five landmarks are known; the others come from a mean face, which these place.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np

from pipelines.faces.align import TEMPLATE

CANVAS_PX = 96  # side of the canvas on which a region is drawn
CANVAS_LOW = -0.3  # the template's coordinate at its left and upper border
CANVAS_STEP = 1.6 / CANVAS_PX  # one pixel in the template's unit, the side of a tight face square

# The mean of landmarks 18 to 68 of the iBUG 300-W markup (Sagonas et al. 2013), brows' ends 0 and
# 1 apart: brows, ridge of the nose, nostrils, eyes, outer and inner lips. Mirrored about x = 0.49.
_HALF = {
    "brow": [(0.000, 0.106), (0.075, 0.039), (0.181, 0.019), (0.291, 0.034), (0.393, 0.077)],
    "eye": [(0.122, 0.216), (0.187, 0.179), (0.266, 0.180), (0.335, 0.232), (0.261, 0.245)]
    + [(0.183, 0.244)],
    "nose": [(0.490, 0.203), (0.490, 0.516), (0.367, 0.587), (0.426, 0.609), (0.490, 0.628)],
    "mouth": [(0.254, 0.780), (0.341, 0.745), (0.429, 0.727), (0.490, 0.743), (0.424, 0.902)]
    + [(0.338, 0.865), (0.490, 0.909)],
    # The outline from ear to chin, and the hairline; drawn after the same markup's mean.
    "jaw": [(-0.07, 0.24), (-0.05, 0.48), (0.00, 0.72), (0.10, 0.93), (0.27, 1.09), (0.49, 1.15)],
    "forehead": [(-0.03, -0.05), (0.10, -0.25), (0.30, -0.36), (0.49, -0.38)],
}
_MIDDLE = 0.49
# Of the mean face, in TEMPLATE's order: middles of the eyes, tip of the nose, corners of the mouth.
_FIVE = [(0.2255, 0.216), (0.7545, 0.216), (0.490, 0.516), (0.254, 0.780), (0.726, 0.780)]

# Each region is the union of hulls, and a hull is that of parts, of both halves or of one.
REGIONS: dict[str, tuple[tuple[str, ...], ...]] = {
    "face": (("brow", "jaw"),),
    "face and forehead": (("forehead", "brow", "jaw"),),
    "inner face": (("brow", "eye", "nose", "mouth"),),
    "lower face": (("nose", "jaw"),),
    "eyes and nose": (("eye", "nose"),),
    "eyes": (("eye",),),
    "mouth": (("mouth",),),
    "eyes, and mouth": (("eye",), ("mouth",)),
    "nose, and mouth": (("nose",), ("mouth",)),
}
# How often each is drawn, relative to the others: most swaps replace the face.
WEIGHTS = (3, 2, 3, 1, 1, 1, 1.5, 1, 0.5)
# What hulls of a few landmarks lack of the part that they are named for, in the template's unit.
_GROWN: dict[tuple[str, ...], float] = {("eye",): 0.06, ("mouth",): 0.04, ("nose",): 0.03}


def _points(part: str) -> np.ndarray:
    """(N, 2) of both halves, in the template's coordinates."""
    half = np.array(_HALF[part])
    both = np.concatenate([half, np.stack([2 * _MIDDLE - half[:, 0], half[:, 1]], axis=1)])
    homogeneous = np.concatenate([_FIVE, np.ones((5, 1))], axis=1)
    to_template = np.linalg.lstsq(homogeneous, TEMPLATE, rcond=None)[0]  # (3, 2)
    return np.concatenate([both, np.ones((len(both), 1))], axis=1) @ to_template


def _hull_distance(parts: tuple[str, ...]) -> np.ndarray:
    """(CANVAS_PX, CANVAS_PX) float32: how far within the hull a pixel lies; negative outside."""
    points = np.concatenate([_points(part) for part in parts])
    on_canvas = ((points - CANVAS_LOW) / CANVAS_STEP - 0.5).astype(np.float32)
    hull = cv2.convexHull(on_canvas)
    distance = np.array(
        [
            [cv2.pointPolygonTest(hull, (float(x), float(y)), True) for x in range(CANVAS_PX)]
            for y in range(CANVAS_PX)
        ]
    )
    return (distance * CANVAS_STEP + _GROWN.get(parts, 0.0)).astype(np.float32)


@functools.cache
def distance_maps() -> np.ndarray:
    """(len(REGIONS), CANVAS_PX, CANVAS_PX) float32: how far within its region a pixel lies, in the
    template's unit; negative outside."""
    return np.stack(
        [np.max([_hull_distance(parts) for parts in hulls], axis=0) for hulls in REGIONS.values()]
    )
