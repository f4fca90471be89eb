"""Generated identities: base portraits mixed, reshaped and recoloured."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from pipelines.sample.portraits import CENTRE, FIVE, POINTS, SIDE
from pipelines.sample.warp import Bump, move, warp

_GRID = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), -1).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Identity:
    """image: (SIDE, SIDE, 3) uint8 RGB. points: (N, 2) px, the five landmarks first."""

    image: np.ndarray
    points: np.ndarray


def ellipse(centre, radius, softness: float) -> np.ndarray:
    """(SIDE, SIDE) float32: 1 inside, 0 outside, with a border of relative width `softness`."""
    distance = np.sqrt((((_GRID - centre) / radius) ** 2).sum(-1))
    return np.clip((1 - distance) / softness + 0.5, 0, 1).astype(np.float32)


def match_colour(image: np.ndarray, like: np.ndarray, mask: np.ndarray, strength: float):
    """Mean and deviation of LAB inside `mask` moved to those of `like` (Reinhard et al. 2001)."""
    inside = mask > 0.5
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    goal = cv2.cvtColor(like.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    mean, std = lab[inside].mean(0), lab[inside].std(0) + 1e-3
    wanted = (lab - mean) / std * (goal[inside].std(0) + 1e-3) + goal[inside].mean(0)
    return to_rgb(lab + strength * (wanted - lab))


def to_rgb(lab: np.ndarray) -> np.ndarray:
    """Float LAB -> uint8 RGB."""
    return np.clip(cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB) * 255, 0, 255).astype(
        np.uint8
    )


def _shape(rng: np.random.Generator) -> list[Bump]:
    """A face's own proportions."""
    left, right, nose, mouth_l, mouth_r = FIVE
    mouth = (mouth_l + mouth_r) / 2
    u = lambda size: float(rng.uniform(-size, size))  # noqa: E731
    apart, eye_x, eye_y = u(3.0), u(0.18), u(0.18)
    eye = ((eye_x, 0), (0, eye_y))
    return [
        Bump(tuple(left), (20, 14), (-apart, 0), eye),
        Bump(tuple(right), (20, 14), (apart, 0), eye),
        Bump(tuple(nose), (20, 26), (0, u(3.0)), ((u(0.22), 0), (0, u(0.12)))),
        Bump(tuple(mouth), (34, 18), (0, u(2.5)), ((u(0.2), 0), (0, u(0.25)))),
        Bump(tuple(CENTRE), (80, 90), (0, 0), ((u(0.1), 0), (0, u(0.06)))),
        Bump(tuple(mouth + [0, 18]), (62, 30), (0, u(5.0)), ((u(0.14), 0), (0, 0))),
        Bump(tuple((left + right) / 2 - [0, 16]), (52, 14), (0, u(3.5))),
    ]


def make_identity(portraits: list[np.ndarray], index: int, seed: int) -> Identity:
    """Person `index` of the set with this seed."""
    rng = np.random.default_rng([seed, index])
    image = portraits[index % len(portraits)]
    if len(portraits) > 1:
        step = int(rng.integers(1, len(portraits)))
        other = portraits[(index + step) % len(portraits)]
        wide = ellipse(CENTRE, (66, 80), 0.7)
        other = match_colour(other, image, wide, 0.9)
        share = (rng.uniform(0.0, 0.6) * wide)[..., None]
        image = (image * (1 - share) + other * share).astype(np.uint8)
    bumps = _shape(rng)
    image = warp(image, bumps)
    points = move(bumps, POINTS)
    if rng.random() < 0.5:
        image, points = _mirror(image, points)
    return Identity(_recolour(image, rng), points)


def _mirror(image: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Left and right exchanged; every point keeps its place in the order (outline: by angle)."""
    flipped = points * [-1, 1] + [SIDE - 1, 0]
    return np.ascontiguousarray(image[:, ::-1]), np.concatenate(
        [flipped[[1, 0, 2, 4, 3]], np.roll(flipped[5:][::-1], len(flipped[5:]) // 2 + 1, axis=0)]
    )


def _recolour(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Skin, hair, background and light of this person."""
    lab = np.asarray(cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), float)
    head = ellipse(CENTRE - [0, 14], (84, 108), 0.5)[..., None]
    face = ellipse(CENTRE, (60, 76), 0.5)[..., None]
    lab += face * rng.normal(0, (7, 3, 4))  # skin
    lab += head * (1 - face) * rng.normal(0, (9, 4, 6))  # hair
    lab += (1 - head) * rng.normal(0, (10, 9, 11))  # clothes and background
    angle = rng.uniform(0, 2 * np.pi)
    slope = ((_GRID - SIDE / 2) / SIDE) @ np.array([np.cos(angle), np.sin(angle)])
    lab[..., 0] *= rng.uniform(0.85, 1.1) * (1 + rng.uniform(0, 0.35) * slope)
    return to_rgb(lab)
