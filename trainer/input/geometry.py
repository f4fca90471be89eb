"""Geometry of clips: affine transforms, warps and smooth random displacements.

Inside the augmentation a clip is frames-last, (H, W, T, 3): every draw holds for all frames, so
the frames are channels to each filter, which on a CPU is 4 to 15 times as fast as a batch of
frames (measured at 16 x 224 x 224).
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf


def frames_last(clip: tf.Tensor) -> tf.Tensor:
    """(T, H, W, C) -> (H, W, T, C). Raises ValueError for a clip of unknown shape."""
    if not clip.shape.is_fully_defined():
        raise ValueError(
            f"The clip's shape is {clip.shape}; all of it must be known. Use tf.ensure_shape."
        )
    return tf.transpose(clip, [1, 2, 0, 3])


def frames_first(x: tf.Tensor) -> tf.Tensor:
    """(H, W, T, C) -> (T, H, W, C)."""
    return tf.transpose(x, [2, 0, 1, 3])


def pixel_grid(height: int, width: int) -> tf.Tensor:
    """(H, W, 2) float32: x y of every pixel's centre."""
    rows = tf.range(height, dtype=tf.float32)
    columns = tf.range(width, dtype=tf.float32)
    return tf.stack(tf.meshgrid(columns, rows), axis=-1)


def similarity(
    centre: tf.Tensor, angle: tf.Tensor, scale: tf.Tensor, shift: tf.Tensor
) -> tf.Tensor:
    """(2, 3) float32: turns by `angle` radians and scales about `centre` (2,), then shifts."""
    cos, sin = scale * tf.cos(angle), scale * tf.sin(angle)
    linear = tf.stack([tf.stack([cos, -sin]), tf.stack([sin, cos])])
    offset = centre + shift - tf.linalg.matvec(linear, centre)
    return tf.concat([linear, offset[:, None]], axis=1)


def transformed(points: tf.Tensor, transform: tf.Tensor) -> tf.Tensor:
    """Points (..., 2), x y, mapped by an affine transform (2, 3)."""
    return tf.linalg.matvec(transform[:, :2], points) + transform[:, 2]


def inverse(transform: tf.Tensor) -> tf.Tensor:
    """The affine transforms (..., 2, 3) that undo these.

    Zero for those that shrink areas to a thousandth or less, as landmarks in one point do.
    """
    a, b, x = tf.unstack(transform[..., 0, :], axis=-1)
    c, d, y = tf.unstack(transform[..., 1, :], axis=-1)
    rows = [[d, -b, b * y - d * x], [-c, a, c * x - a * y]]
    adjugate = tf.stack([tf.stack(row, axis=-1) for row in rows], axis=-2)
    area = a * d - b * c
    area = tf.where(tf.abs(area) > 1e-3, area, 0.0)
    return tf.math.divide_no_nan(adjugate, area[..., None, None])


def fitted(points: np.ndarray, landmarks: tf.Tensor) -> tf.Tensor:
    """Least-squares affine transforms from points (N, 2) to landmarks (T, N, 2): (T, 2, 3).

    Always finite, since the points are constants: landmarks in one point give a transform onto it.
    """
    homogeneous = np.concatenate([points, np.ones((len(points), 1))], axis=1)  # (N, 3)
    solve = tf.constant(np.linalg.pinv(homogeneous), tf.float32)  # (3, N)
    return tf.einsum("kn,tnc->tck", solve, landmarks)


def sample(images: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
    """Bilinear samples of images (H, W, ...) at points (h, w, 2), x y px -> float32 (h, w, ...).

    Beyond the border the image is mirrored, so no black wedge tells that it was moved.
    """
    height, width = images.shape[:2]
    size = tf.constant([width, height], tf.float32)
    last = tf.maximum(size - 1.0, 1.0)
    points = last - tf.abs(last - tf.math.floormod(tf.abs(points), 2.0 * last))
    corner = tf.clip_by_value(tf.floor(points), 0.0, tf.maximum(size - 2.0, 0.0))
    right, down = tf.unstack(points - corner, axis=-1)  # (h, w)
    x, y = tf.unstack(tf.cast(corner, tf.int32), axis=-1)
    flat = tf.reshape(images, [height * width, -1])

    def neighbour(dx: int, dy: int, weight: tf.Tensor) -> tf.Tensor:
        rows, columns = tf.minimum(y + dy, height - 1), tf.minimum(x + dx, width - 1)
        # Gathering before casting moves a quarter of the bytes when the images are uint8.
        pixels = tf.gather(flat, rows * width + columns)  # (h, w, F)
        return tf.cast(pixels, tf.float32) * weight[..., None]

    mixed = tf.add_n(
        [
            neighbour(0, 0, (1 - right) * (1 - down)),
            neighbour(1, 0, right * (1 - down)),
            neighbour(0, 1, (1 - right) * down),
            neighbour(1, 1, right * down),
        ]
    )
    return tf.reshape(mixed, points.shape[:2] + images.shape[2:])


def smooth_noise(seed: tf.Tensor, cells: tuple[int, int], size: tuple[int, int]) -> tf.Tensor:
    """Two random fields that vary slowly, (height, width, 2) float32 in about -1 to 1.

    Uniform noise on a coarse grid of `cells`, interpolated bicubically to `size`.
    """
    coarse = tf.random.stateless_uniform([*cells, 2], seed, -1.0, 1.0)
    return tf.image.resize(coarse, size, "bicubic")
