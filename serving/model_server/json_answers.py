"""JSON responses of the Predict API, from tensors; the format's rules are in json_tensors.py."""

from __future__ import annotations

import binascii
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from serving.model_server.json_tensors import INTEGERS
from serving.model_server.servable import Tensors, type_name
from serving.model_server.status import invalid


def dumps(document: Any) -> bytes:
    """JSON as TensorFlow Serving writes it; strings that are no UTF-8 go through as they are."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogateescape")


def write_response(outputs: Tensors, by_row: bool) -> dict[str, Any]:
    """The response's object. Raises StatusError for types that JSON has no place for."""
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    if by_row:
        _refuse_unequal_rows(outputs)
    values = {name: _plain(name, outputs[name]) for name in sorted(outputs)}
    if len(values) == 1:
        return {"predictions" if by_row else "outputs": next(iter(values.values()))}
    if not by_row:
        return {"outputs": values}
    rows = zip(*values.values(), strict=True)
    return {"predictions": [dict(zip(values, row, strict=True)) for row in rows]}


def _refuse_unequal_rows(outputs: Tensors) -> None:
    batch = 0
    for name, array in sorted(outputs.items()):
        if not array.ndim:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if array.shape[0] < 1:
            raise invalid(f"Tensor name: {name} has invalid batch size: {array.shape[0]}")
        if batch not in (0, array.shape[0]):
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {array.shape[0]} "
                f"expecting: {batch}"
            )
        batch = array.shape[0]


def _plain(name: str, array: np.ndarray) -> Any:
    if array.dtype == object:
        return _mapped(array, _as_base64 if name.endswith("_bytes") else _as_text)
    dtype = tf.dtypes.as_dtype(array.dtype)
    if dtype == tf.float32:
        return _mapped(array, decimal)
    if dtype == tf.float64 or dtype == tf.bool or dtype in INTEGERS:
        return array.tolist()
    raise invalid(f"Failed to write JSON value for tensor type: {type_name(dtype)}")


def _mapped(array: np.ndarray, convert: Callable[[Any], Any]) -> Any:
    converted = np.empty(array.size, object)
    converted[:] = [convert(value) for value in array.ravel().tolist()]
    return converted.reshape(array.shape).tolist()


def _as_text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _as_base64(value: bytes) -> dict[str, str]:
    return {"b64": binascii.b2a_base64(value, newline=False).decode()}


def decimal(value: float) -> float:
    """The number that TensorFlow Serving writes for a float32: six digits where they suffice to
    get it back, else nine."""
    short = float(f"{value:.6g}")
    return short if np.float32(short) == np.float32(value) else float(f"{value:.9g}")
