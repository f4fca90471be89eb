"""Random draws that follow from a seed alone, for tf.data.

A seed is two integers, as TensorFlow's stateless generators take it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf


def draw(seed: tf.Tensor, low: float, high: float, shape: Sequence[int] = ()) -> tf.Tensor:
    """Uniform float32 numbers from `low` to `high`."""
    return tf.random.stateless_uniform(shape, seed, low, high)


def pick(seed: tf.Tensor, rows: Sequence) -> tf.Tensor:
    """One of the rows, which are numbers or sequences of as many numbers, as float32."""
    index = tf.random.stateless_uniform([], seed, 0, len(rows), tf.int32)
    return tf.constant(rows, tf.float32)[index]


def choose(seed: tf.Tensor, branches: Sequence[Callable[[], tf.Tensor]]) -> tf.Tensor:
    """The result of one of the branches; only that one is computed."""
    index = tf.random.stateless_uniform([], seed, 0, len(branches), tf.int32)
    return tf.switch_case(index, list(branches))
