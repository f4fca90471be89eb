"""Tensors of a request and an answer: NumPy's arrays, and TensorFlow's beyond 64 dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

# np.ndarray, of `bytes` objects for strings. That has at most 64 dimensions, and TensorFlow at most
# 254: those in between are tf.Tensor, for which TensorFlow has no types.
Tensor: TypeAlias = Any
Tensors = dict[str, Tensor]
_MOST_DIMENSIONS_NUMPY, MOST_DIMENSIONS = 64, 254


def shaped(values: np.ndarray, shape: Sequence[int]) -> Tensor:
    """Values (n,) in the order of C -> a tensor of the shape; at most MOST_DIMENSIONS."""
    if len(shape) <= _MOST_DIMENSIONS_NUMPY:
        return values.reshape(shape)
    proto = tf.make_tensor_proto(values)  # tf.reshape makes less than 254
    del proto.tensor_shape.dim[:]
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return tf.io.parse_tensor(proto.SerializeToString(), proto.dtype)


def flat(tensor: Tensor) -> np.ndarray:
    """The values (n,) in the order of C."""
    return tensor.ravel() if isinstance(tensor, np.ndarray) else tf.reshape(tensor, [-1]).numpy()


def dtype_of(tensor: Tensor) -> tf.DType:
    return tf.string if tensor.dtype == object else tf.dtypes.as_dtype(tensor.dtype)


def computed(value: tf.Tensor) -> Tensor:
    """As NumPy's, where it can be."""
    if value.shape.rank > _MOST_DIMENSIONS_NUMPY:
        return value
    return np.asarray(value.numpy(), object if value.dtype == tf.string else None)


def type_name(dtype: tf.DType) -> str:
    """As TensorFlow's DataTypeString has it."""
    return {tf.float32: "float", tf.float64: "double", tf.float16: "half"}.get(dtype, dtype.name)
