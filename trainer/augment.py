"""Augmentation of training clips: one draw per clip, the same for all of its frames."""

from __future__ import annotations

import tensorflow as tf


def augment_clip(clip: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Varies clip uint8 (T, H, W, 3) as `seed`, two integers, says: mirror, light, shift, zoom."""
    seeds = tf.unstack(tf.random.split(seed, 6))
    side = clip.shape[1]
    if side is None:
        raise ValueError("augment_clip needs clips of a known size.")
    x = tf.cast(clip, tf.float32) / 255.0
    x = tf.where(tf.random.stateless_uniform([], seeds[0]) < 0.5, tf.reverse(x, [2]), x)
    x = x + tf.random.stateless_uniform([], seeds[1], -0.1, 0.1)
    x = tf.image.adjust_contrast(x, tf.random.stateless_uniform([], seeds[2], 0.8, 1.2))
    grey = tf.image.rgb_to_grayscale(x)
    x = grey + (x - grey) * tf.random.stateless_uniform([], seeds[3], 0.8, 1.2)
    # A window of 90 to 100 % of the side, at a random place, resized to the full side.
    share = tf.random.stateless_uniform([], seeds[4], 0.9, 1.0)
    corner = tf.random.stateless_uniform([2], seeds[5]) * (1.0 - share)
    box = tf.concat([corner, corner + share], axis=0)
    frames = tf.shape(x)[0]
    x = tf.image.crop_and_resize(x, tf.tile(box[None], [frames, 1]), tf.range(frames), [side, side])
    x = tf.cast(tf.round(tf.clip_by_value(x, 0.0, 1.0) * 255.0), tf.uint8)
    return tf.ensure_shape(x, clip.shape)
