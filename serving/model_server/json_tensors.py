"""JSON requests of the Predict API -> tensors; the way back is in json_answers.py.

The format is documented at https://www.tensorflow.org/tfx/serving/api_rest; where that is silent,
rules and error texts follow TensorFlow Serving's json_tensor.cc and its tests. In short:

- row format {"instances": [...]} -> {"predictions": [...]}, column format {"inputs": ...} ->
  {"outputs": ...}; a single input or output goes without its name;
- binary strings are {"b64": ...}; of the outputs only those whose name ends in `_bytes` are;
- NaN, Infinity and -Infinity are numbers in both directions;
- unknown keys beside these, and unknown names within "inputs", are ignored; within a row of
  "instances" they are an error.

Regular lists are read at the speed of C; a list that is not takes the slow way, which finds the
place and the words for the error.
"""

from __future__ import annotations

import binascii
import itertools
import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from grpc import StatusCode
from tensorflow.core.protobuf import meta_graph_pb2

from serving.model_server.servable import Tensors, type_name
from serving.model_server.status import StatusError, invalid

Specs = Mapping[str, meta_graph_pb2.TensorInfo]

_FLOATS = (tf.float32, tf.float64)
INTEGERS = (tf.int8, tf.uint8, tf.int16, tf.int32, tf.uint32, tf.int64, tf.uint64)
_JSON_TYPES = {
    dict: "Object",
    list: "Array",
    str: "String",
    int: "Number",
    float: "Number",
    type(None): "Null",
}
_SHOWN = 200  # characters of a value in an error
_MOST_DIMENSIONS = 64  # of a NumPy array
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def loads(body: bytes) -> dict[str, Any]:
    """The request's object. Raises StatusError."""
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        document = json.loads(body.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        reason = "Invalid value." if error.msg == "Expecting value" else error.msg
        raise invalid(f"JSON Parse error: {reason} at offset: {error.pos}") from error
    except (ValueError, RecursionError) as error:
        raise invalid(f"JSON Parse error: {error}") from error
    if _SURROGATE.search(body):
        _refuse_half_pairs(document)
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {show(document)} Is not object")
    return document


def _refuse_half_pairs(document: Any) -> None:
    """Half of a UTF-16 pair is no character, and cannot be written in UTF-8."""
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        text = "JSON Parse error: The surrogate pair in string is invalid."
        raise invalid(text) from error


def signature_name(document: Mapping[str, Any]) -> str:
    """Which signature the request asks for; "" for the default one. Raises StatusError."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {show(document)} not formatted correctly. 'signature_name' key must be "
            "a string value."
        )
    return name


def read_request(document: Mapping[str, Any], name: str, specs: Specs) -> tuple[Tensors, bool]:
    """The inputs, and whether they came in row format. Raises StatusError."""
    if not specs:
        raise invalid(f"Failed to get input map for signature: {name or 'DEFAULT'}")
    if "instances" in document and "inputs" in document:
        raise invalid(
            f"JSON Value: {show(document)} Not formatted correctly expecting only one of "
            "'inputs' or 'instances' keys to exist "
        )
    if "instances" in document:
        rows = document["instances"]
        if not isinstance(rows, list):
            raise invalid(f"JSON Value: {show(document)} Excepting 'instances' to be an list/array")
        if not rows:
            raise invalid(f"JSON Value: {show(document)} No values in 'instances' array")
        return _read_rows(rows, specs), True
    if "inputs" in document:
        return _read_columns(document["inputs"], specs), False
    raise invalid("Missing 'inputs' or 'instances' key")


def _is_named(value: Any) -> bool:
    """An object of names, not one of base64."""
    return isinstance(value, dict) and not _is_base64(value)


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def _read_columns(inputs: Any, specs: Specs) -> Tensors:
    if not _is_named(inputs):
        if len(specs) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        inputs = {next(iter(specs)): inputs}
    for name in specs:
        if name not in inputs:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: _tensor(inputs[name], spec) for name, spec in specs.items()}


def _read_rows(rows: list[Any], specs: Specs) -> Tensors:
    if not isinstance(rows[0], dict) and len(specs) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    named = _is_named(rows[0])
    names = set(specs) if named else {next(iter(specs))}
    for index, row in enumerate(rows):
        if named and not _is_named(row):
            raise invalid(f"Expecting object but got list at item {index} of input list")
        if not named and _is_named(row):
            raise invalid(f"Expecting value/list but got object at item {index} of input list")
        if named and set(row) != names:
            _refuse_names(index, row, names)
    columns = {name: [row[name] for row in rows] if named else rows for name in names}
    try:
        return {name: _tensor(column, specs[name]) for name, column in columns.items()}
    except StatusError:
        for name, column in columns.items():
            _refuse_row(column, specs[name], f" key: {name}" if named else "")
        raise


def _refuse_names(index: int, row: Mapping[str, Any], names: set[str]) -> None:
    for name in row:
        if name not in names:
            raise invalid(
                f"Failed to process element: {index} key: {name} of 'instances' list. Error: "
                f"INVALID_ARGUMENT: JSON object: does not have named input: {name}"
            )
    raise invalid(
        f"Failed to process element: {index} of 'instances' list. JSON object: {show(row)} must "
        f"only have keys: {','.join(sorted(names))}"
    )


def _refuse_row(column: list[Any], spec: meta_graph_pb2.TensorInfo, key: str) -> None:
    """Raises the error of the first row that is wrong by itself, or unlike the first one."""
    first: tuple[int, ...] | None = None
    for index, value in enumerate(column):
        try:
            shape = _tensor(value, spec).shape
            first = shape if first is None else first
            if math.prod(shape) != math.prod(first):
                sizes = math.prod(first), math.prod(shape)
                raise invalid(f"Expecting tensor size: {sizes[0]} but got: {sizes[1]}")
            if shape != first:
                shapes = [f"[{','.join(map(str, s))}]" for s in (first, shape)]
                raise invalid(f"Expecting shape {shapes[0]} but got: {shapes[1]}")
        except StatusError as error:
            raise invalid(
                f"Failed to process element: {index}{key} of 'instances' list. Error: "
                f"{error.code.name}: {error.message}"
            ) from error


def _tensor(value: Any, spec: meta_graph_pb2.TensorInfo) -> np.ndarray:
    """A nested list -> an array of the spec's type, of whatever shape. Raises StatusError."""
    shape = []
    level = value
    while isinstance(level, list):
        shape.append(len(level))
        if not level:
            break
        level = level[0]
    if len(shape) > _MOST_DIMENSIONS:
        raise invalid(f"Lists {len(shape)} deep, expected at most {_MOST_DIMENSIONS}")
    flat = [value]
    for size in shape:
        if set(map(type, flat)) != {list} or set(map(len, flat)) != {size}:
            _refuse_level(value, 0, shape)
        flat = list(itertools.chain.from_iterable(flat))
    if list in set(map(type, flat)):
        _refuse_level(value, 0, shape)
    return _leaves(flat, tf.dtypes.as_dtype(spec.dtype)).reshape(shape)


def _refuse_level(value: Any, level: int, shape: list[int]) -> None:
    """Raises the error of the first value that breaks the shape of the first ones."""
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(
                f"JSON Value: {show(value)} found at incorrect level: {level + 1} in the JSON "
                f"DOM. Expected at level: {len(shape)}"
            )
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    for item in value:
        _refuse_level(item, level + 1, shape)


def _leaves(flat: list[Any], dtype: tf.DType) -> np.ndarray:
    types = set(map(type, flat))
    if dtype == tf.string:
        return _strings(flat, types)
    if dtype == tf.bool:
        _refuse_types(flat, types, {bool}, dtype)
    elif dtype in _FLOATS:
        _refuse_types(flat, types, {int, float}, dtype)
        return _floats(flat, types, dtype)
    elif dtype in INTEGERS:
        _refuse_types(flat, types, {int}, dtype)
        if flat and not dtype.min <= min(flat) <= max(flat) <= dtype.max:
            wrong = next(v for v in flat if not dtype.min <= v <= dtype.max)
            raise _type_error(wrong, dtype)
    else:
        raise StatusError(
            StatusCode.UNIMPLEMENTED,
            f"Conversion of JSON Value: {show(flat[:1])} to type: {type_name(dtype)}",
        )
    return np.array(flat, dtype.as_numpy_dtype)


def _refuse_types(flat: list[Any], types: set[type], allowed: set[type], dtype: tf.DType) -> None:
    if types - allowed:
        raise _type_error(next(v for v in flat if type(v) not in allowed), dtype)


def _type_error(value: Any, dtype: tf.DType) -> StatusError:
    kind = str(value) if isinstance(value, bool) else _JSON_TYPES[type(value)]
    return invalid(
        f"JSON Value: {show(value)} Type: {kind} is not of expected type: {type_name(dtype)}"
    )


def _floats(flat: list[Any], types: set[type], dtype: tf.DType) -> np.ndarray:
    """Refuses whole numbers that the type cannot hold, and decimals beyond its range.

    A whole number beyond 64 bits is read as a decimal is.
    """
    bits, limit = (24, float(dtype.max)) if dtype == tf.float32 else (53, math.inf)
    if int in types:
        whole = (1 << bits) - 1
        large = (v for v in flat if type(v) is int and abs(v) > whole)
        wrong = next((v for v in large if -(2**63) <= v < 2**64 or abs(v) >= 2**1023), None)
        if wrong is not None:
            raise _lossy(wrong, dtype)
    wide = np.array(flat, np.float64)
    beyond = np.isfinite(wide) & (np.abs(wide) > limit)
    if beyond.any():
        raise _lossy(flat[int(beyond.argmax())], dtype)
    return wide.astype(dtype.as_numpy_dtype)


def _lossy(value: int | float, dtype: tf.DType) -> StatusError:
    return invalid(
        f"Cannot convert JSON value: {show(value)} to {type_name(dtype)} without loss of precision."
    )


def _strings(flat: list[Any], types: set[type]) -> np.ndarray:
    strings = np.empty(len(flat), object)
    if types == {dict}:
        strings[:] = [decode_base64(value) for value in flat]
        return strings
    for index, value in enumerate(flat):
        if isinstance(value, str):
            strings[index] = value.encode()
        elif isinstance(value, dict):
            strings[index] = decode_base64(value)
        else:
            raise _type_error(value, tf.string)
    return strings


def decode_base64(value: dict[str, Any]) -> bytes:
    """{"b64": ...} -> bytes; white space is skipped and padding may be missing.

    Raises StatusError.
    """
    if not _is_base64(value):
        raise invalid(f"JSON Value: {show(value)} not formatted correctly for base64 data")
    text = value["b64"]
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:  # also of characters beyond ASCII
        bare = "".join(text.split()).rstrip("=")
    try:
        return binascii.a2b_base64(bare + "=" * (-len(bare) % 4), strict_mode=True)
    except ValueError as error:
        raise invalid("Unable to base64 decode") from error


def show(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
