"""Animation of a portrait: head pose, speech, blinks and light, smooth over time."""

from __future__ import annotations

import numpy as np

from pipelines.sample.identities import Identity
from pipelines.sample.portraits import CENTRE
from pipelines.sample.warp import Bump, move, warp

FPS = 25


def _drift(rng: np.random.Generator, frames: int, low_hz: float, high_hz: float) -> np.ndarray:
    """A smooth random curve within -1..1: three sines."""
    t = np.arange(frames) / FPS
    hz, phase = rng.uniform(low_hz, high_hz, 3), rng.uniform(0, 2 * np.pi, 3)
    return np.sin(2 * np.pi * hz * t[:, None] + phase).mean(1)


def _blinks(rng: np.random.Generator, frames: int) -> np.ndarray:
    """0 open to 1 shut; a blink takes a quarter of a second."""
    centre = rng.uniform(0, frames) + np.arange(-2, 3) * rng.uniform(30, 60)
    distance = np.abs(np.arange(frames)[:, None] - centre).min(1)
    return np.clip(1 - distance / 3.5, 0, 1)


def animate(
    identity: Identity, rng: np.random.Generator, frames: int
) -> tuple[np.ndarray, np.ndarray]:
    """A talking head: images (frames, H, W, 3) uint8 and its points (frames, N, 2) px."""
    left, right, nose, mouth_l, mouth_r = identity.points[:5]
    mouth = (mouth_l + mouth_r) / 2
    x, y, turn, zoom, yaw, nod = (_drift(rng, frames, 0.1, 0.6) for _ in range(6))
    speech = np.clip(_drift(rng, frames, 1.5, 4.0) + 0.15, 0, 1) * rng.uniform(4, 8)
    smile = _drift(rng, frames, 0.2, 0.8) * 0.08
    shut = _blinks(rng, frames)
    light = 1 + 0.06 * _drift(rng, frames, 0.1, 0.5)
    images, points = [], []
    for i in range(frames):
        a, s = 0.07 * turn[i], 0.03 * zoom[i]
        lid = ((0.0, 0.0), (0.0, -0.75 * float(shut[i])))
        bumps = [
            # The head as a whole, then what stands out of it: parallax reads as a turn.
            Bump(tuple(CENTRE), (105, 118), (6 * x[i], 4 * y[i]), ((s, -a), (a, s))),
            Bump(tuple(nose), (46, 56), (4.5 * yaw[i], 3.0 * nod[i])),
            Bump(tuple(CENTRE), (70, 86), (2.5 * yaw[i], 1.5 * nod[i])),
            Bump(tuple(mouth + [0, 12]), (34, 18), (0, float(speech[i]))),
            Bump(tuple(mouth), (36, 14), (0, 0), ((float(smile[i]), 0), (0, 0))),
            Bump(tuple(left), (15, 7), (0, 0), lid),
            Bump(tuple(right), (15, 7), (0, 0), lid),
        ]
        images.append(np.clip(warp(identity.image, bumps) * light[i], 0, 255).astype(np.uint8))
        points.append(move(bumps, identity.points))
    return np.array(images), np.array(points)


def sensor_noise(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """What a camera adds to the frames, float32: the last step of real and fake alike."""
    return rng.uniform(1.5, 3.0) * rng.standard_normal(shape, np.float32)
