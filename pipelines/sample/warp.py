"""Smooth image warps: sums of bumps, each moving one part of the picture, fading out around it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np

GRID_PX = 4  # the warp is evaluated this coarsely and interpolated: it is smooth


@dataclasses.dataclass(frozen=True)
class Bump:
    """Near `centre` a point p moves by `shift` + `linear` @ (p - centre); far away, not at all.

    centre, radius, shift: (2,) px, x y. linear: (2, 2); diag(0.1, 0) widens by 10 %.
    """

    centre: tuple[float, float]
    radius: tuple[float, float]
    shift: tuple[float, float] = (0.0, 0.0)
    linear: tuple[tuple[float, float], tuple[float, float]] = ((0.0, 0.0), (0.0, 0.0))


def displacement(bumps: Sequence[Bump], points: np.ndarray) -> np.ndarray:
    """How far each of the points (..., 2) was moved to get where it is -> (..., 2) px."""
    total = np.zeros_like(points, dtype=np.float64)
    for bump in bumps:
        offset = points - np.array(bump.centre)
        # The fourth power is flat inside, so a head moves as a whole, and ends softly.
        weight = np.exp(-(np.sum((offset / np.array(bump.radius)) ** 2, -1, keepdims=True) ** 2))
        total += weight * (np.array(bump.shift) + offset @ np.array(bump.linear).T)
    return total


def move(bumps: Sequence[Bump], points: np.ndarray) -> np.ndarray:
    """Where the points (N, 2) of the picture are after the warp."""
    moved = points.astype(np.float64)
    for _ in range(12):  # fixed point of q = p + d(q); a contraction for moderate bumps
        moved = points + displacement(bumps, moved)
    return moved


def warp(image: np.ndarray, bumps: Sequence[Bump]) -> np.ndarray:
    """The picture (H, W, C) after the warp; its edge is mirrored where something is missing."""
    height, width = image.shape[:2]
    x = np.linspace(0, width - 1, width // GRID_PX + 1)
    y = np.linspace(0, height - 1, height // GRID_PX + 1)
    coarse = displacement(bumps, np.stack(np.meshgrid(x, y), -1))
    # Resize by the corner-aligned map that linspace used.
    map_x = np.tile(np.linspace(0, len(x) - 1, width, dtype=np.float32), (height, 1))
    map_y = np.tile(np.linspace(0, len(y) - 1, height, dtype=np.float32)[:, None], (1, width))
    fine = cv2.remap(coarse.astype(np.float32), map_x, map_y, cv2.INTER_LINEAR)
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    source = grid - fine
    return cv2.remap(
        image, source[..., 0], source[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
