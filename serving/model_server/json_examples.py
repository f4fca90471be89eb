"""JSON requests of the Classify and Regress APIs -> messages.

https://www.tensorflow.org/tfx/serving/api_rest and json_tensor.cc (2.20).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow_serving.apis import input_pb2

from serving.model_server.json_base64 import decode_base64, is_base64
from serving.model_server.json_parser import members
from serving.model_server.json_tensors import as_bytes, json_type
from serving.model_server.json_text import is_whole, show
from serving.model_server.status import invalid

_WORDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def read_examples(document: Mapping[str, Any]) -> input_pb2.Input:
    """The request's examples, with their context if there is one. Raises StatusError."""
    request_input = input_pb2.Input()
    into: Any = request_input.example_list
    if "context" in document:
        into = request_input.example_list_with_context
        into.context.CopyFrom(_example(document["context"]))
    if "examples" not in document:
        raise invalid(
            f"JSON Value: {show(document)} When method is classify, key 'examples' is "
            "expected and was not found"
        )
    examples = document["examples"]
    if not isinstance(examples, list):
        raise invalid(
            f"JSON Value: {show(document)} Expecting 'examples' value to be an list/array"
        )
    if not examples:
        raise invalid(f"JSON Value: {show(document)} 'examples' value is an empty array")
    into.examples.extend(_example(value) for value in examples)
    return request_input


def _example(value: Any) -> example_pb2.Example:
    """A name ends at a NUL, and of one that is repeated the last value counts."""
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {json_type(value)}")
    example = example_pb2.Example()
    for name, content in members(value):
        feature = feature_pb2.Feature()
        name = name.split("\0")[0]
        for item in content if isinstance(content, list) else [content]:
            _add(feature, name, item)
        # A name that is no UTF-8 cannot be a key of the message.
        example.features.feature[as_bytes(name).decode(errors="replace")].CopyFrom(feature)
    return example


def _add(feature: feature_pb2.Feature, name: str, item: Any) -> None:
    kind = _kind(name, item)
    present = feature.WhichOneof("kind")
    if present not in (None, kind):
        raise invalid(
            f"Unexpected element type in feature: {name} expecting type: {_WORDS[present]}"
        )
    values = getattr(feature, kind).value
    if kind == "bytes_list":
        values.append(as_bytes(item) if isinstance(item, str) else decode_base64(item))
    elif kind == "float_list":
        with np.errstate(over="ignore"):  # Infinity
            values.append(float(np.float32(float(item))))
    elif item >= 2**63:
        raise invalid(f"Feature: {name} has uint64 element. Only int64 is supported.")
    else:
        values.append(int(item))


def _kind(name: str, item: Any) -> str:
    """The list of a feature that a value belongs to."""
    if isinstance(item, str) or is_base64(item):
        return "bytes_list"
    if isinstance(item, bool) or is_whole(item):
        return "int64_list"
    if isinstance(item, int | float):
        return "float_list"
    raise invalid(f"Feature: {name} has element with unexpected JSON type: {json_type(item)}")
