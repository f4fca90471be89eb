"""Image filters of clips: colour transform, Gaussian blur, rescaling, sharpening.

They take and return x, float32 (H, W, T, 3) in 0 to 255, frames last as `geometry` says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

from trainer.input.draws import choose, draw

# Rows: brightness as in ITU-R BT.601, then two of colour.
_RGB_TO_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


def colour_transform(seed: tf.Tensor, strength: float) -> tf.Tensor:
    """A random colour change as one affine map of RGB in 0 to 255, (3, 4) float32.

    At strength 1: contrast 0.8 to 1.2, gain of each channel 0.94 to 1.06, saturation 0.7 to 1.3,
    hue turned by up to 12 degrees in YIQ, brightness shifted by up to 20. One matrix for all of
    it takes one pass over the pixels, where each step by itself and a detour by HSV take many.
    """
    seeds = tf.unstack(tf.random.split(seed, 5))

    def around(seed, reach, shape=()):
        return draw(seed, -reach * strength, reach * strength, shape)

    gain, contrast = 1.0 + around(seeds[0], 0.06, [3]), 1.0 + around(seeds[1], 0.2)
    saturation, angle = 1.0 + around(seeds[2], 0.3), around(seeds[3], math.radians(12))
    brightness = around(seeds[4], 20.0)
    cos, sin = saturation * tf.cos(angle), saturation * tf.sin(angle)
    one, zero = tf.ones([]), tf.zeros([])
    turn = tf.stack([[one, zero, zero], [zero, cos, -sin], [zero, sin, cos]])
    to_yiq = tf.constant(_RGB_TO_YIQ)
    matrix = contrast * gain[:, None] * (tf.linalg.inv(to_yiq) @ turn @ to_yiq)
    offset = brightness + 128.0 * (1.0 - contrast)  # contrast leaves mid-grey where it is
    return tf.concat([matrix, tf.fill([3, 1], offset)], axis=1)


def recoloured(x: tf.Tensor, transform: tf.Tensor) -> tf.Tensor:
    """RGB x (..., 3) mapped by an affine colour transform (3, 4)."""
    flat = tf.reshape(x, [-1, 3])
    flat = tf.matmul(flat, transform[:, :3], transpose_b=True) + transform[:, 3]
    return tf.reshape(flat, x.shape)


def padded(x: tf.Tensor, margin: int) -> tf.Tensor:
    """x (H, W, T, 3) with its mirror image around it, `margin` px wide."""
    return tf.pad(x, [[margin, margin], [margin, margin], [0, 0], [0, 0]], "SYMMETRIC")


def convolved(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """x (H, W, T, 3) filtered with kernel (h, w), or (h, w, T) for one of each frame.

    Only where the kernel lies within x: (H - h + 1, W - w + 1, T, 3).
    """
    height, width, frames, channels = x.shape
    if kernel.shape.rank == 2:
        kernel = tf.repeat(kernel[..., None], frames, axis=2)
    kernel = tf.repeat(kernel, channels, axis=2)[..., None]
    flat = tf.reshape(x, [1, height, width, frames * channels])
    flat = tf.nn.depthwise_conv2d(flat, kernel, [1] * 4, "VALID")
    return tf.reshape(flat, [*flat.shape[1:3], frames, channels])


def blurred(x: tf.Tensor, sigma: tf.Tensor, radius: int) -> tf.Tensor:
    """Gaussian blur of x (H, W, T, 3), sigma in px, cut off at `radius` px."""
    radius = min(radius, *x.shape[:2])
    weights = tf.exp(-0.5 * tf.square(tf.range(-radius, radius + 1.0) / sigma))
    weights /= tf.reduce_sum(weights)
    return convolved(convolved(padded(x, radius), weights[:, None]), weights[None])


DOWN = ("area", "bilinear", "bicubic")


def rescaled(
    x: tf.Tensor, factor: tf.Tensor, seed: tf.Tensor, down: Sequence[str] = DOWN
) -> tf.Tensor:
    """x (H, W, T, 3) made smaller by `factor` and as large as before, with random kernels.

    down: those to choose from for making it smaller.
    """
    height, width, frames, channels = x.shape
    seeds = tf.unstack(tf.random.split(seed, 2))
    sides = factor * tf.constant([height, width], tf.float32)
    small = tf.maximum(tf.cast(tf.round(sides), tf.int32), 1)
    flat = tf.reshape(x, [1, height, width, frames * channels])

    def resized(size, method):
        return lambda: tf.image.resize(flat, size, method, antialias=True)

    flat = choose(seeds[0], [resized(small, m) for m in down])
    flat = choose(seeds[1], [resized((height, width), m) for m in ("bilinear", "bicubic")])
    return tf.reshape(flat, x.shape)


def sharpened(x: tf.Tensor, amount: tf.Tensor) -> tf.Tensor:
    """x (H, W, T, 3) plus `amount` times what a 3 x 3 binomial blur takes away."""
    blur = tf.constant([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]) / 16.0
    identity = tf.pad(tf.ones([1, 1]), [[1, 1], [1, 1]])
    return convolved(padded(x, 1), identity + amount * (identity - blur))


def to_uint8(x: tf.Tensor) -> tf.Tensor:
    """x rounded to the nearest of 0 to 255."""
    return tf.cast(tf.clip_by_value(x, 0.0, 255.0) + 0.5, tf.uint8)
