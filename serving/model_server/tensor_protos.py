"""TensorProto <-> NumPy arrays.

Values are written into the field of their type (`float_val`, ...), as TensorFlow Serving does
(AsProtoField in predict_util.cc): there are clients that read nothing else. Both forms are read.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from serving.model_server.status import invalid

MOST_VALUES = 2**31 - 1
_FIELDS = {
    tf.float32: "float_val",
    tf.float64: "double_val",
    tf.int8: "int_val",
    tf.uint8: "int_val",
    tf.int16: "int_val",
    tf.uint16: "int_val",
    tf.int32: "int_val",
    tf.int64: "int64_val",
    tf.uint32: "uint32_val",
    tf.uint64: "uint64_val",
    tf.bool: "bool_val",
    tf.string: "string_val",
}


def read(name: str, proto: tensor_pb2.TensorProto) -> np.ndarray:
    """Raises StatusError where the message is no tensor.

    A message of a few bytes may stand for any number of equal values: it may not for more than
    a message could hold.
    """
    sizes = [dim.size for dim in proto.tensor_shape.dim]
    if min(sizes, default=0) < 0 or math.prod(sizes) > MOST_VALUES:
        raise invalid(f"tensor parsing error: {name}")
    try:
        return tf.make_ndarray(proto)
    except (TypeError, ValueError, KeyError, MemoryError) as error:
        raise invalid(f"tensor parsing error: {name}") from error


def write(array: np.ndarray) -> tensor_pb2.TensorProto:
    dtype = tf.string if array.dtype == object else tf.dtypes.as_dtype(array.dtype)
    if dtype not in _FIELDS:  # half, bfloat16, complex: bit patterns and pairs
        return tf.make_tensor_proto(array)
    proto = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    getattr(proto, _FIELDS[dtype]).extend(array.ravel().tolist())
    return proto
