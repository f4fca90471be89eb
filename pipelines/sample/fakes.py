"""Classical face manipulation, frame by frame: swaps between people, and self-blending."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.interpolate import LinearNDInterpolator

from pipelines.sample.identities import match_colour, to_rgb
from pipelines.sample.portraits import SIDE


def _mask(points: np.ndarray, grow: float, feather_px: float) -> np.ndarray:
    """(SIDE, SIDE) float32 in 0..1: the points' hull, scaled by `grow`, with a soft edge."""
    hull = cv2.convexHull(points.astype(np.float32))[:, 0]
    hull = hull.mean(0) + grow * (hull - hull.mean(0))
    mask = np.zeros((SIDE, SIDE), np.float32)
    cv2.fillConvexPoly(mask, np.round(hull).astype(np.int32), 1.0)
    return cv2.GaussianBlur(mask, (0, 0), feather_px)


def _blend(over: np.ndarray, under: np.ndarray, mask: np.ndarray) -> np.ndarray:
    share = mask[..., None]
    return np.round(over * share + under * (1 - share)).astype(np.uint8)


def _coarsen(image: np.ndarray, factor: float) -> np.ndarray:
    """Through a lower resolution and back, as a synthesised face of few pixels is."""
    size = max(8, round(SIDE * factor))
    small = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)


def piecewise_affine(image: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The part of `image` within the points `source` (N, 2), moved onto `target` by triangles.

    Outside the targets' hull the result is black.
    """
    low = np.maximum(np.floor(target.min(0)).astype(int), 0)
    high = np.minimum(np.ceil(target.max(0)).astype(int) + 1, SIDE)
    grid = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True))), -1)
    maps = LinearNDInterpolator(target, source, fill_value=-1e4)(grid).astype(np.float32)
    out = np.zeros_like(image)
    out[low[1] : high[1], low[0] : high[0]] = cv2.remap(
        image, maps[..., 0], maps[..., 1], cv2.INTER_LINEAR
    )
    return out


def face_swap(
    target: np.ndarray,
    target_points: np.ndarray,
    donor: np.ndarray,
    donor_points: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """The donor's face on the target's head, in each of the frames (F, H, W, 3) uint8.

    As FaceForensics++'s FaceSwap: landmarks, triangulated warp, colour transfer, blending.
    """
    colour, detail = rng.uniform(0.45, 0.85), rng.uniform(0.3, 0.5)
    grow, feather = rng.uniform(0.8, 0.93), rng.uniform(1.0, 2.5)
    poisson = rng.random() < 0.2
    frames = []
    for image, goal, face, points in zip(target, target_points, donor, donor_points, strict=True):
        goal = goal + rng.normal(0, 0.35, goal.shape)  # a landmark detector's jitter
        moved = piecewise_affine(_coarsen(face, detail), points, goal)
        mask = _mask(goal[5:], grow, feather)
        if poisson:
            x, y, w, h = cv2.boundingRect((mask > 0.5).astype(np.uint8))
            middle = (x + w // 2, y + h // 2)
            hard = ((mask > 0.5) * 255).astype(np.uint8)
            frames.append(cv2.seamlessClone(moved, image, hard, middle, cv2.NORMAL_CLONE))
        else:
            frames.append(_blend(match_colour(moved, image, mask, colour), image, mask))
    return np.array(frames)


def self_blend(target: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each frame's face blended onto itself with other statistics and a shifted boundary.

    Shiohara & Yamasaki 2022, "Detecting Deepfakes with Self-Blended Images".
    """
    shift = rng.choice([-1, 1], 2) * rng.uniform(1.5, 3.5, 2)
    scale = 1 + rng.choice([-1, 1]) * rng.uniform(0.03, 0.06)
    colour = rng.choice([-1, 1], 3) * rng.uniform((3, 2, 2), (7, 5, 5))
    detail = rng.uniform(0.3, 0.5)
    grow, feather = rng.uniform(0.75, 0.95), rng.uniform(0.8, 2.0)
    frames = []
    for image, here in zip(target, points, strict=True):
        centre = here[:5].mean(0)
        matrix = np.array([[scale, 0, 0], [0, scale, 0]], np.float64)
        matrix[:, 2] = (1 - scale) * centre + shift + rng.normal(0, 0.3, 2)
        moved = cv2.warpAffine(
            _coarsen(image, detail), matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT
        )
        lab = cv2.cvtColor(moved.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) + colour
        frames.append(_blend(to_rgb(lab), image, _mask(here[5:], grow, feather)))
    return np.array(frames)
