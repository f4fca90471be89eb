"""Servable: one loaded version of a model, named signatures, tensors -> tensors."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from grpc import StatusCode
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from pipelines.model_contract import SAVED_MODEL_NAME
from serving.model_server import tensor_protos
from serving.model_server.pruning import pruned
from serving.model_server.status import StatusError, invalid
from serving.model_server.tensors import Tensor, Tensors, computed, dtype_of, type_name

DEFAULT_SIGNATURE = "serving_default"
_MOST_PRUNED = 32  # sets of outputs whose functions a version keeps


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
        self._pruned = functools.lru_cache(_MOST_PRUNED)(self._prune)

    def run(
        self, signature: str, inputs: Mapping[str, Tensor], outputs: Sequence[str] = ()
    ) -> Tensors:
        """The named outputs of a signature, or all, for inputs of its names, types and shapes.

        Where some are named no others are computed. Raises StatusError, tf.errors.OpError.
        """
        function = self._functions.get(signature)
        if function is None:
            raise _no_signature(signature)
        if outputs and set(outputs) != set(self.signatures[signature].outputs):
            function = self._pruned(signature, frozenset(outputs))
        specs = self.signatures[signature].inputs
        tensors = {key: tf.constant(value, specs[key].dtype) for key, value in inputs.items()}
        try:
            results = function(**tensors)
        except UnicodeDecodeError as error:  # an operation's error that quotes its input
            raise invalid(error.object.decode(errors="replace")) from error
        return {key: computed(results[key]) for key in outputs or results}

    def _prune(self, signature: str, outputs: frozenset[str]) -> Any:
        return pruned(self._functions[signature], outputs)

    def complete(self, signature: str, inputs: Mapping[str, Tensor]) -> Tensors:
        """The inputs, with the default values of those that are left out.

        Raises StatusError where they are not those of the signature, with the words of
        predict_util.cc (TensorFlow Serving 2.20) and of cc/saved_model/util.cc (TensorFlow 2.20).
        """
        if signature not in self.signatures:
            raise _no_signature(signature)
        definition = self.signatures[signature]
        specs, defaults = definition.inputs, definition.defaults
        given, wanted = ",".join(sorted(inputs)), ",".join(sorted(specs))
        if len(inputs) > len(specs) or (len(inputs) < len(specs) and not defaults):
            extra, missing = sorted(set(inputs) - set(specs)), sorted(set(specs) - set(inputs))
            raise invalid(
                f"input size does not match signature: {len(inputs)}!={len(specs)} "
                f"len({{{given}}}) != len({{{wanted}}}). Sent extra: {{{','.join(extra)}}}. "
                f"Missing but required: {{{','.join(missing)}}}."
            )
        values = {}
        for index, (key, spec) in enumerate(sorted(specs.items())):
            if key in inputs:
                values[key] = inputs[key]
            elif key in defaults:
                values[key] = tensor_protos.read(key, defaults[key])
            else:
                raise invalid(
                    f"Signature input alias: {key}(feed name: {spec.name}) not found in request "
                    "and no default value provided. Inputs expected to be in the request "
                    f"{{{given}}}, or default input alias set: {','.join(sorted(defaults))}"
                )
            _check_tensor(index, key, values[key], spec)
        if not inputs.keys() <= specs.keys():
            used = ",".join(sorted(inputs.keys() & specs.keys()))
            raise invalid(
                f"Inputs contains invalid name. Used request inputs: {used}, request input: {given}"
            )
        return values


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
