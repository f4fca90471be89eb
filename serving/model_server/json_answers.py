"""Tensors -> JSON responses, to the byte as TensorFlow Serving's json_tensor.cc (2.20) writes them.

But for two things: the order of names is that of the alphabet, there that of a hash; and columns of
more than 10,000 values are on one line, as rows always are. With a line and the blanks before it
for each value an image of 224 x 224 pixels is 5.5 MB, on one line 0.8 MB.
"""

from __future__ import annotations

import binascii
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from serving.model_server.json_tensors import INTEGERS
from serving.model_server.json_text import decimals, indent, string
from serving.model_server.status import invalid
from serving.model_server.tensors import Tensor, Tensors, dtype_of, flat, type_name

_MOST_LINES = 10_000


def dumps(document: Any) -> bytes:
    """Messages (of a status, of metadata), as protobuf writes them: one space for each level."""
    return _bytes(json.dumps(document, ensure_ascii=False, indent=1) + "\n")


def error(message: str) -> bytes:
    return _bytes(_object({"error": string(message)}, 0))


def _bytes(text: str) -> bytes:
    """Strings that are no UTF-8 go through as they are."""
    return text.encode("utf-8", "surrogateescape")


def _object(members: dict[str, str], level: int) -> str:
    """Members as text, a line for each; `level` is how deep the object lies in others."""
    lines = (f"{indent(level + 1)}{string(name)}: {value}" for name, value in members.items())
    return "{" + ",".join(lines) + indent(level) + "}"


def write_response(outputs: Tensors, by_row: bool) -> bytes:
    """The body of an answer. Raises StatusError for types that JSON has no place for."""
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    outputs = dict(sorted(outputs.items()))
    key, text = ("predictions", _rows(outputs)) if by_row else ("outputs", _columns(outputs))
    return _bytes(_object({key: text}, 0))


def _columns(outputs: Tensors) -> str:
    level = 1 if len(outputs) == 1 else 2
    texts = {n: _nested(_leaves(n, t, level), t.shape, level)[0] for n, t in outputs.items()}
    return next(iter(texts.values())) if level == 1 else _object(texts, 1)


def _rows(outputs: Tensors) -> str:
    batch = _batch(outputs)
    level = 2 if len(outputs) == 1 else 3
    columns = {
        name: _lines(_leaves(name, tensor, level, 1), tensor.shape)
        for name, tensor in outputs.items()
    }
    if not batch:
        return "[]"
    if level == 2:
        return f"[{', '.join(*columns.values())}{indent(1)}]"
    rows = zip(*columns.values(), strict=True)
    objects = [indent(2) + _object(dict(zip(columns, row, strict=True)), 2) for row in rows]
    return f"[{','.join(objects)}{indent(1)}]"


def _batch(outputs: Tensors) -> int:
    """How many rows all outputs have."""
    batch = -1
    for name, tensor in outputs.items():
        if not tensor.shape:
            raise invalid(f"Tensor name: {name} has no shape information ")
        rows = tensor.shape[0]
        if batch not in (-1, rows):
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {rows} expecting: {batch}"
            )
        batch = rows
    return batch


def _nested(texts: list[str], shape: Sequence[int], level: int) -> list[str]:
    """Values as text -> one text, with a line for each value and each bracket."""
    if len(texts) > _MOST_LINES:
        return _lines(texts, shape, 0)
    for axis in reversed(range(len(shape))):
        inner, outer = indent(level + axis + 1), indent(level + axis)
        texts = _grouped(texts, shape, axis, ("[" + inner, "," + inner, outer + "]"))
    return texts


def _lines(texts: list[str], shape: Sequence[int], first: int = 1) -> list[str]:
    """Values as text -> a text for each index of the axes before `first`, on one line."""
    for axis in reversed(range(first, len(shape))):
        texts = _grouped(texts, shape, axis, ("[", ", ", "]"))
    return texts


def _grouped(
    texts: list[str], shape: Sequence[int], axis: int, marks: tuple[str, str, str]
) -> list[str]:
    count, size = math.prod(shape[:axis]), shape[axis]
    if not size:
        return ["[]"] * count
    start, between, end = marks
    groups = (texts[i : i + size] for i in range(0, count * size, size))
    return [start + between.join(group) + end for group in groups]


def _leaves(name: str, tensor: Tensor, level: int, skipped: int = 0) -> list[str]:
    """Every value as text; `level` is how deep the tensor lies, less `skipped` of its axes."""
    values, dtype = flat(tensor), dtype_of(tensor)
    if not values.size:
        return []
    if dtype == tf.string:
        if name.endswith("_bytes"):
            return [_base64(value, level + len(tensor.shape) - skipped) for value in values]
        return [string(value.decode("utf-8", "surrogateescape")) for value in values]
    if dtype in (tf.float32, tf.float64):
        return decimals(values)
    if dtype == tf.bool:
        return ["true" if value else "false" for value in values.tolist()]
    if dtype in INTEGERS:
        return list(map(str, values.tolist()))
    raise invalid(f"Failed to write JSON value for tensor type: {type_name(dtype)}")


def _base64(value: bytes, level: int) -> str:
    return _object({"b64": f'"{binascii.b2a_base64(value, newline=False).decode()}"'}, level)


def write_classes(labels: np.ndarray | None, scores: np.ndarray | None) -> bytes:
    """Labels (n, classes) bytes and scores (n, classes) float32, either may be missing.

    {"results": [[[label, score], ...] per example]}
    """
    shape = (labels if labels is not None else scores).shape  # type: ignore[union-attr]
    names = ['""'] * math.prod(shape) if labels is None else _leaves("", labels, 0)
    numbers = ["0.0"] * math.prod(shape) if scores is None else decimals(scores.ravel())
    pairs = [f"[{name}, {number}]" for name, number in zip(names, numbers, strict=True)]
    return _bytes(_object({"results": f"[{', '.join(_lines(pairs, shape))}{indent(1)}]"}, 0))


def write_values(values: np.ndarray) -> bytes:
    """{"results": [value per example]}, of float32 (n,)."""
    return _bytes(_object({"results": f"[{', '.join(decimals(values))}]"}, 0))
