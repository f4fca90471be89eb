"""JSON requests of the Predict API -> tensors; the way back is in json_answers.py.

The format is documented at https://www.tensorflow.org/tfx/serving/api_rest; where that is silent,
rules and error texts follow TensorFlow Serving's json_tensor.cc (2.20). In short:

- row format {"instances": [...]} -> {"predictions": [...]}, column format {"inputs": ...} ->
  {"outputs": ...}; a single input or output goes without its name;
- binary strings are {"b64": ...}; of the outputs only those whose name ends in `_bytes` are;
- NaN, Infinity and -Infinity are numbers in both directions;
- a number for float or double is rounded, Infinity beyond the type's range; one for int8, uint8
  or int16 must have 32 bits, and its upper ones are dropped;
- unknown keys beside these, and unknown names within "inputs", are ignored; within a row of
  "instances" they are an error;
- of an object's key that is repeated the first counts.

Regular lists are read at the speed of C; where one is not, each value is looked at in its turn,
to find the first that is wrong and the words for it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import tensorflow as tf
from grpc import StatusCode
from tensorflow.core.protobuf import meta_graph_pb2

from serving.model_server import json_parser
from serving.model_server.json_base64 import decode_base64, is_base64
from serving.model_server.json_parser import Repeated, members
from serving.model_server.json_text import show
from serving.model_server.status import StatusError, invalid
from serving.model_server.tensors import MOST_DIMENSIONS, Tensor, Tensors, shaped, type_name

Specs = Mapping[str, meta_graph_pb2.TensorInfo]

_FLOATS = (tf.float32, tf.float64)
# Which integers a value of a type may be.
_RANGES = {
    **dict.fromkeys((tf.int8, tf.uint8, tf.int16, tf.int32), (-(2**31), 2**31 - 1)),
    tf.int64: (-(2**63), 2**63 - 1),
    tf.uint32: (0, 2**32 - 1),
    tf.uint64: (0, 2**64 - 1),
}
INTEGERS = tuple(_RANGES)
_JSON_TYPES = {dict: "Object", Repeated: "Object", list: "Array", str: "String", type(None): "Null"}


def loads(body: bytes) -> dict[str, Any]:
    """The request's object. Raises StatusError."""
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        document = json_parser.parse(body)
    except json_parser.ParseError as error:
        raise invalid(f"JSON Parse error: {error}") from error
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {show(document)} Is not object")
    return document


def signature_name(document: Mapping[str, Any]) -> str:
    """Which signature the request asks for; "" for the default one. Raises StatusError."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {show(document)} not formatted correctly. 'signature_name' key must be "
            "a string value."
        )
    return name


def json_type(value: Any) -> str:
    """The word for its type in an error."""
    return str(value) if isinstance(value, bool) else _JSON_TYPES.get(type(value), "Number")


def read_request(document: Mapping[str, Any], name: str, specs: Specs) -> tuple[Tensors, bool]:
    """The inputs, and whether they came in row format. Raises StatusError."""
    if not specs:
        raise invalid(f"Failed to get input map for signature: {name or 'DEFAULT'}")
    by_row = "instances" in document
    if by_row and "inputs" in document:
        raise invalid(
            f"JSON Value: {show(document)} Not formatted correctly expecting only one of "
            "'inputs' or 'instances' keys to exist "
        )
    if by_row:
        rows = document["instances"]
        if not isinstance(rows, list):
            raise invalid(f"JSON Value: {show(document)} Expecting 'instances' to be an list/array")
        if not rows:
            raise invalid(f"JSON Value: {show(document)} No values in 'instances' array")
        read = _read_rows(rows, specs)
    elif "inputs" in document:
        read = _read_columns(document["inputs"], specs)
    else:
        raise invalid("Missing 'inputs' or 'instances' key")
    return {name: _tensor(name, *values) for name, values in read.items()}, by_row


_AT_ONCE = 1000  # values or rows that are passed over in the search for one that is wrong

# Values in the order of C, (n,), and the shape that they have.
_Values = tuple[np.ndarray, Sequence[int]]


def _tensor(name: str, values: np.ndarray, shape: Sequence[int]) -> Tensor:
    if len(shape) > MOST_DIMENSIONS:
        raise invalid(f"tensor parsing error: {name}")
    return shaped(values, shape)


def _is_named(value: Any) -> bool:
    """An object of names, not one of base64."""
    return isinstance(value, dict) and not is_base64(value)


def _read_columns(inputs: Any, specs: Specs) -> dict[str, _Values]:
    if not _is_named(inputs):
        if len(specs) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        inputs = {next(iter(specs)): inputs}
    read = {}
    for name, spec in specs.items():
        if name not in inputs:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        read[name] = _values(inputs[name], spec)
    return read


def _read_rows(rows: list[Any], specs: Specs) -> dict[str, _Values]:
    if not isinstance(rows[0], dict) and len(specs) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    named = _is_named(rows[0])
    return _alike(rows, named, specs) or _read_each(rows, named, specs)


def _alike(rows: list[Any], named: bool, specs: Specs) -> dict[str, _Values] | None:
    """Rows of one form, all at once; None where they are not."""
    columns: dict[str, list[Any]]
    if named:
        columns = {name: [] for name in specs}
        for row in rows:
            if type(row) is not dict or row.keys() != specs.keys():
                return None
            for name, value in row.items():
                columns[name].append(value)
    else:
        columns = {next(iter(specs)): rows}
    read: dict[str, _Values] = {}
    for name, column in columns.items():
        shape = _shape(column)
        values = _flat([column], shape, tf.dtypes.as_dtype(specs[name].dtype))
        if values is None:
            return None
        read[name] = values, shape
    return read


def _read_each(rows: list[Any], named: bool, specs: Specs) -> dict[str, _Values]:
    """Reads row by row: finds the first that is wrong, and takes what json_tensor.cc takes.

    There a name ends at a NUL, and a name that a row has twice adds its values twice, of which
    the first are used.
    """
    read: dict[str, list[np.ndarray]] = {}
    shapes: dict[str, Sequence[int]] = {}
    done = 0
    while done < len(rows):  # pass over what is as it should be
        alike = _alike(rows[done : done + _AT_ONCE], named, specs)
        if alike is None or any(
            shape[1:] != shapes.setdefault(n, shape[1:]) for n, (_, shape) in alike.items()
        ):
            break
        for name, (values, _) in alike.items():
            read.setdefault(name, []).append(values)
        done += _AT_ONCE
    for index, row in enumerate(rows[done:], done):
        if _is_named(row) != named:
            expected, got = ("object", "list") if named else ("value/list", "object")
            raise invalid(f"Expecting {expected} but got {got} at item {index} of input list")
        plain = [(next(iter(specs)), row)]
        items = [(name.split("\0")[0], v) for name, v in members(row)] if named else plain
        for name, value in items:
            try:
                values, shape = _row_values(name, value, specs, shapes)
            except StatusError as error:
                key = f" key: {name}" if named else ""
                raise invalid(
                    f"Failed to process element: {index}{key} of 'instances' list. Error: "
                    f"{error.code.name}: {error.message}"
                ) from error
            read.setdefault(name, []).append(values)
            shapes[name] = shape
        if named and {name for name, _ in items} != specs.keys():
            raise invalid(
                f"Failed to process element: {index} of 'instances' list. JSON object: "
                f"{show(row)} keys must be equal to: {','.join(sorted(specs))}"
            )
    return {
        name: (np.concatenate(values)[: len(rows) * math.prod(shapes[name])], made)
        for name, values in read.items()
        if (made := [len(rows), *shapes[name]])
    }


def _row_values(
    name: str, value: Any, specs: Specs, shapes: Mapping[str, Sequence[int]]
) -> _Values:
    if name not in specs:
        raise invalid(f"JSON object: does not have named input: {name}")
    values, shape = _values(value, specs[name])
    first = shapes.get(name, shape)
    if math.prod(shape) != math.prod(first):
        sizes = math.prod(first), math.prod(shape)
        raise invalid(f"Expecting tensor size: {sizes[0]} but got: {sizes[1]}")
    if shape != first:
        texts = [f"[{','.join(map(str, s))}]" for s in (first, shape)]
        raise invalid(f"Expecting shape {texts[0]} but got: {texts[1]}")
    return values, shape


def _values(value: Any, spec: meta_graph_pb2.TensorInfo) -> _Values:
    """A nested list -> values of the spec's type, of whatever shape. Raises StatusError."""
    dtype = tf.dtypes.as_dtype(spec.dtype)
    shape = _shape(value)
    values = _flat([value], shape, dtype)
    if values is None:
        _refuse(value, shape, dtype)
    return values, shape


def _shape(value: Any) -> list[int]:
    """Of the first value in each list."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape


def _flat(values: list[Any], shape: Sequence[int], dtype: tf.DType) -> np.ndarray | None:
    """Values of the shape -> (n,) in the order of C; None where one is not of it or of the type."""
    for size in shape:
        if set(map(type, values)) != {list} or set(map(len, values)) != {size}:
            return None
        values = list(itertools.chain.from_iterable(values))
    return _strings(values) if dtype == tf.string else _numbers(values, dtype)


def _numbers(leaves: list[Any], dtype: tf.DType) -> np.ndarray | None:
    """None where a value is not of the type."""
    types = set(map(type, leaves))
    if not leaves:
        return np.empty(0, dtype.as_numpy_dtype)
    if dtype == tf.bool and types == {bool}:
        return np.array(leaves, bool)
    if dtype in _FLOATS and types <= {int, float}:
        with np.errstate(over="ignore"):  # of a float: Infinity
            return np.array(leaves, np.float64).astype(dtype.as_numpy_dtype)
    if dtype in _RANGES and types == {int}:
        low, high = _RANGES[dtype]
        if low <= min(leaves) and max(leaves) <= high:
            wide = np.uint64 if dtype == tf.uint64 else np.int64
            return np.array(leaves, wide).astype(dtype.as_numpy_dtype)
    return None


def _strings(leaves: list[Any]) -> np.ndarray | None:
    """None where a value is no string and no base64."""
    strings = np.empty(len(leaves), object)
    try:
        strings[:] = [
            decode_base64(leaf) if isinstance(leaf, dict) else as_bytes(leaf) for leaf in leaves
        ]
    except (StatusError, AttributeError):
        return None
    return strings


def as_bytes(text: str) -> bytes:
    """A string as it was sent, be it UTF-8 or not."""
    return text.encode("utf-8", "surrogateescape")


def _refuse(value: Any, shape: list[int], dtype: tf.DType) -> NoReturn:
    """Raises the error of the first value that breaks the shape of the first ones, or the type."""
    rest: list[Iterator[Any]] = [iter([value])]
    while rest:
        for item in rest[-1]:
            level = len(rest) - 1
            if isinstance(item, list):
                _check_list(item, level, shape)
                rest.append(_suspects(item, shape[level + 1 :], dtype))
                break
            if level != len(shape):
                raise invalid(
                    f"JSON Value: {show(item)} found at incorrect level: {level + 1} in the JSON "
                    f"DOM. Expected at level: {len(shape)}"
                )
            _check_leaf(item, dtype)
        else:
            rest.pop()
    raise AssertionError("a value is refused, and nothing is wrong with it")


def _suspects(values: list[Any], shape: list[int], dtype: tf.DType) -> Iterator[Any]:
    """Passes over many at once that are as they should be."""
    for start in range(0, len(values), _AT_ONCE):
        some = values[start : start + _AT_ONCE]
        if len(shape) > MOST_DIMENSIONS or _flat(some, shape, dtype) is None:
            yield from some


def _check_list(value: list[Any], level: int, shape: list[int]) -> None:
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )


def _check_leaf(value: Any, dtype: tf.DType) -> None:
    if isinstance(value, dict):
        if dtype != tf.string:
            raise _type_error(value, dtype)
        decode_base64(value)
    elif dtype != tf.string and dtype != tf.bool and dtype not in (*_FLOATS, *_RANGES):
        text = f"Conversion of JSON Value: {show(value)} to type: {type_name(dtype)}"
        raise StatusError(StatusCode.UNIMPLEMENTED, text)
    elif (_strings([value]) if dtype == tf.string else _numbers([value], dtype)) is None:
        raise _type_error(value, dtype)


def _type_error(value: Any, dtype: tf.DType) -> StatusError:
    return invalid(
        f"JSON Value: {show(value)} Type: {json_type(value)} is not of expected type: "
        f"{type_name(dtype)}"
    )
