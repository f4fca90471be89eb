"""Tensors of JSON requests, for any shape; what single requests give is in json_cases.py."""

import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tensorflow.core.protobuf import meta_graph_pb2

from serving.model_server.json_answers import write_response
from serving.model_server.json_tensors import loads, read_request
from serving.model_server.status import StatusError

TYPES = [tf.int8, tf.uint8, tf.int16, tf.int32, tf.uint32, tf.int64, tf.uint64, tf.bool]
SHAPES = arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=3)


def read(document, dtype=tf.int32):
    specs = {"x": meta_graph_pb2.TensorInfo(dtype=dtype.as_datatype_enum)}
    tensors, by_row = read_request(loads(json.dumps(document).encode()), "", specs)
    return tensors["x"], by_row


@given(
    st.sampled_from([*TYPES, tf.float32, tf.float64]).flatmap(
        lambda dtype: arrays.arrays(dtype.as_numpy_dtype, SHAPES)
    )
)
def test_a_tensor_comes_back_by_columns_and_by_rows(array):
    dtype = tf.dtypes.as_dtype(array.dtype)
    for key, answer in (("inputs", "outputs"), ("instances", "predictions")):
        if key == "instances" and not len(array):
            continue  # no rows are an error
        given, by_row = read({key: array.tolist()}, dtype)
        assert given.dtype == array.dtype and by_row == (key == "instances")
        # An empty list does not tell how deep it is.
        assert given.shape == array.shape or not array.size
        np.testing.assert_array_equal(given.ravel(), array.ravel())
        written = json.loads(write_response({"y": array}, by_row))[answer]
        np.testing.assert_array_equal(np.array(written, array.dtype).ravel(), array.ravel())


@pytest.mark.parametrize("index", [0, 1, 999, 1000, 2500])
@pytest.mark.parametrize("row", [["a", 1], [1], [[1], [2]], {"z": [1, 2]}])
def test_the_first_row_that_is_wrong_is_named_wherever_it_stands(index, row):
    rows = [[n, n] for n in range(3000)]
    rows[index], rows[-1] = row, None
    with pytest.raises(StatusError) as caught:
        read({"instances": rows})
    # Where the first row is the odd one, the second is unlike it, but for a wrong value.
    named = index if index or row in (["a", 1], {"z": [1, 2]}) else 1
    assert f"element: {named} " in caught.value.message or f"item {named} " in caught.value.message


@pytest.mark.parametrize("index", [0, 999, 1000, 2500])
def test_the_first_value_that_is_wrong_is_shown_wherever_it_stands(index):
    values = list(range(3000))
    values[index], values[-1] = 0.5 + index, "later"
    for document in ({"inputs": values}, {"inputs": [[0] * 3000, values]}):
        with pytest.raises(StatusError, match=f"^JSON Value: {index}.5 Type: Number is not of"):
            read(document)
