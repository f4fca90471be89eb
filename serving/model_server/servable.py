"""Servable: one loaded version of a model, named signatures, tensors -> tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from grpc import StatusCode
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from pipelines.model_contract import SAVED_MODEL_NAME
from serving.model_server.status import StatusError, invalid
from serving.model_server.tensors import Tensor, Tensors, computed, dtype_of, type_name

DEFAULT_SIGNATURE = "serving_default"


def _signature_defs(path: Path) -> dict[str, meta_graph_pb2.SignatureDef]:
    """As the file has them, with `__saved_model_init_op`: clients are told all of it."""
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((path / SAVED_MODEL_NAME).read_bytes())
    definitions = {}
    for name, signature in saved.meta_graphs[0].signature_def.items():
        definitions[name] = meta_graph_pb2.SignatureDef()
        definitions[name].CopyFrom(signature)
    return definitions


class Servable:
    """One version of one model. Its methods may be called by several threads at once."""

    def __init__(self, name: str, version: int, path: Path):
        """Loads the SavedModel in `path`. Raises OSError, tf.errors.OpError."""
        if not (path / SAVED_MODEL_NAME).is_file():
            raise FileNotFoundError(f"{path}: holds no {SAVED_MODEL_NAME}.")
        self.name, self.version, self.path = name, version, path
        self._loaded = tf.saved_model.load(str(path))  # holds the variables
        self._functions: dict[str, Any] = dict(self._loaded.signatures)
        self.signatures = _signature_defs(path)

    def run(self, signature: str, inputs: Mapping[str, Tensor]) -> Tensors:
        """All outputs of a signature, for inputs of its names, types and shapes.

        Raises StatusError, tf.errors.OpError.
        """
        function = self._functions.get(signature)
        if function is None:
            raise _no_signature(signature)
        specs = self.signatures[signature].inputs
        tensors = {key: tf.constant(value, specs[key].dtype) for key, value in inputs.items()}
        try:
            outputs = function(**tensors)
        except UnicodeDecodeError as error:  # an operation's error that quotes its input
            raise invalid(error.object.decode(errors="replace")) from error
        return {key: computed(value) for key, value in outputs.items()}

    def check(self, signature: str, inputs: Mapping[str, Tensor]) -> None:
        """Raises StatusError where inputs are not those of the signature.

        The words are those of TensorFlow Serving's predict_util.cc.
        """
        if signature not in self.signatures:
            raise _no_signature(signature)
        specs = self.signatures[signature].inputs
        if len(inputs) != len(specs):
            extra, missing = sorted(set(inputs) - set(specs)), sorted(set(specs) - set(inputs))
            given, wanted = ",".join(sorted(inputs)), ",".join(sorted(specs))
            raise invalid(
                f"input size does not match signature: {len(inputs)}!={len(specs)} "
                f"len({{{given}}}) != len({{{wanted}}}). Sent extra: {{{','.join(extra)}}}. "
                f"Missing but required: {{{','.join(missing)}}}."
            )
        for index, (key, value) in enumerate(sorted(inputs.items())):
            if key not in specs:
                raise invalid(
                    f"input tensor alias not found in signature: {key}. Inputs expected to be in "
                    f"the set {{{','.join(sorted(specs))}}}."
                )
            _check_tensor(index, key, value, specs[key])


def _no_signature(name: str) -> StatusError:
    return StatusError(StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')


def _check_tensor(index: int, key: str, value: Tensor, spec: meta_graph_pb2.TensorInfo) -> None:
    expected = tf.dtypes.as_dtype(spec.dtype)
    given = dtype_of(value)
    if given != expected:
        raise invalid(
            f"Expects arg[{index}] to be {type_name(expected)} but {type_name(given)} is provided"
        )
    shape = tf.TensorShape(spec.tensor_shape)
    if not shape.is_compatible_with(value.shape):
        raise invalid(f"input {key}: shape {list(value.shape)} is not compatible with {shape}")
