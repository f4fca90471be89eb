"""JSON <-> messages of the Classify and Regress APIs.

https://www.tensorflow.org/tfx/serving/api_rest (which calls the answer's key `result`; the server
writes `results`) and json_tensor.cc.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow_serving.apis import classification_pb2, input_pb2, regression_pb2

from serving.model_server.json_answers import decimal
from serving.model_server.json_tensors import decode_base64, show
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
            "expected and was not request_input"
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
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {_kind(value)}")
    example = example_pb2.Example()
    for name, content in value.items():
        feature = example.features.feature[name]
        for item in content if isinstance(content, list) else [content]:
            _add(feature, name, item)
    return example


def _add(feature: feature_pb2.Feature, name: str, item: Any) -> None:
    if isinstance(item, dict) and set(item) == {"b64"} or isinstance(item, str):
        kind = "bytes_list"
        item = decode_base64(item) if isinstance(item, dict) else item.encode()
    elif isinstance(item, bool | int):
        kind, item = "int64_list", int(item)
        if not -(2**63) <= item < 2**63:
            raise invalid(f"Feature: {name} has uint64 element. Only int64 is supported.")
    elif isinstance(item, float):
        kind = "float_list"
        if math.isfinite(item) and abs(item) > 3.4028234663852886e38:
            raise invalid(f"Cannot convert JSON value: {item} to float without loss of precision.")
    else:
        raise invalid(f"Feature: {name} has element with unexpected JSON type: {_kind(item)}")
    present = feature.WhichOneof("kind")
    if present not in (None, kind):
        raise invalid(
            f"Unexpected element type in feature: {name} expecting type: {_WORDS[present]}"
        )
    getattr(feature, kind).value.append(item)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return str(value)
    names = {dict: "Object", list: "Array", str: "String", type(None): "Null"}
    return names.get(type(value), "Number")


def write_classes(result: classification_pb2.ClassificationResult) -> dict[str, Any]:
    """{"results": [[[label, score], ...] per example]}."""
    return {
        "results": [
            [[c.label, decimal(c.score)] for c in one.classes] for one in result.classifications
        ]
    }


def write_values(result: regression_pb2.RegressionResult) -> dict[str, Any]:
    """{"results": [value per example]}."""
    return {"results": [decimal(one.value) for one in result.regressions]}
