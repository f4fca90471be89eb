"""TensorProto <-> tensors.

Values are written into the field of their type (`float_val`, ...), as TensorFlow Serving does
(AsProtoField in predict_util.cc): there are clients that read nothing else. Both forms are read.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from serving.model_server.status import invalid
from serving.model_server.tensors import MOST_DIMENSIONS, Tensor, computed, dtype_of, flat

MOST_VALUES = 2**31 - 1
_FIELDS = {
    **dict.fromkeys((tf.int8, tf.uint8, tf.int16, tf.uint16, tf.int32), "int_val"),
    **dict.fromkeys((tf.float16, tf.bfloat16), "half_val"),
    tf.complex64: "scomplex_val",
    tf.complex128: "dcomplex_val",
    tf.float32: "float_val",
    tf.float64: "double_val",
    tf.int64: "int64_val",
    tf.uint32: "uint32_val",
    tf.uint64: "uint64_val",
    tf.bool: "bool_val",
    tf.string: "string_val",
}
_VIEWS = {  # bit patterns, and pairs of a real and an imaginary part
    **dict.fromkeys((tf.float16, tf.bfloat16), np.uint16),
    tf.complex64: np.float32,
    tf.complex128: np.float64,
}


def read(name: str, proto: tensor_pb2.TensorProto) -> Tensor:
    """Raises StatusError where the message is no tensor.

    A message of a few bytes may stand for any number of equal values: it may not for more than
    a message could hold.
    """
    sizes = [dim.size for dim in proto.tensor_shape.dim]
    wrong = invalid(f"tensor parsing error: {name}")
    if min(sizes, default=0) < 0 or math.prod(sizes) > MOST_VALUES or len(sizes) > MOST_DIMENSIONS:
        raise wrong
    try:
        return tf.make_ndarray(proto)
    except (TypeError, KeyError, MemoryError) as error:
        raise wrong from error
    except (ValueError, OverflowError):
        pass  # too many values or dimensions, bits beyond the type: TensorFlow itself takes them
    try:
        tensor = tf.io.parse_tensor(proto.SerializeToString(), proto.dtype)
    except tf.errors.OpError as error:
        raise wrong from error
    return computed(tensor)


def write(tensor: Tensor) -> tensor_pb2.TensorProto:
    dtype, values = dtype_of(tensor), flat(tensor)
    if dtype not in _FIELDS:
        return tf.make_tensor_proto(tensor)
    proto = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum)
    for size in tensor.shape:
        proto.tensor_shape.dim.add(size=size)
    if dtype in _VIEWS:
        values = values.view(_VIEWS[dtype])
    getattr(proto, _FIELDS[dtype]).extend(values.tolist())
    return proto
