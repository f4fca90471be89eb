"""The inference methods of a loaded version: Predict, Classify, Regress, MultiInference.

Rules and error texts follow predict_util.cc, classifier.cc, regressor.cc and multi_inference.cc of
TensorFlow Serving 2.20 (servables/tensorflow/). As its releases do by default
(`enable_signature_method_name_check` off), a signature is judged by its inputs and outputs, not by
its method name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf
from grpc import StatusCode
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.model_server import tensor_protos
from serving.model_server.servable import DEFAULT_SIGNATURE, Servable
from serving.model_server.status import StatusError, invalid
from serving.model_server.tensors import Tensor, Tensors, dtype_of, flat

# How a signature is run for the named outputs, or for all where none is named: alone
# (`run_alone`), or in a batch with other callers' requests.
Run = Callable[[Servable, str, Mapping[str, Tensor], Sequence[str]], Tensors]

CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"


def run_alone(
    servable: Servable, signature: str, inputs: Mapping[str, Tensor], outputs: Sequence[str]
) -> Tensors:
    return servable.run(signature, inputs, outputs)


def predict(
    run: Run,
    servable: Servable,
    signature: str,
    inputs: Mapping[str, Tensor],
    output_filter: Sequence[str] = (),
) -> Tensors:
    """The outputs that the filter names, or all; no others are computed.

    Inputs that are left out have the signature's default values. Raises StatusError,
    tf.errors.OpError.
    """
    inputs = servable.complete(signature, inputs)
    outputs = servable.signatures[signature].outputs
    for index, name in enumerate(output_filter):
        if name not in outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected to be in "
                f"the set {{{','.join(sorted(outputs))}}}."
            )
        if name in output_filter[:index]:
            raise invalid(f"duplicate output tensor alias: {name}")
    return run(servable, signature, inputs, output_filter)


def predict_message(
    run: Run, servable: Servable, request: predict_pb2.PredictRequest
) -> predict_pb2.PredictResponse:
    signature = request.model_spec.signature_name or DEFAULT_SIGNATURE
    inputs = {key: tensor_protos.read(key, value) for key, value in request.inputs.items()}
    outputs = predict(run, servable, signature, inputs, request.output_filter)
    response = predict_pb2.PredictResponse(model_spec=model_spec(servable, signature))
    for name, array in outputs.items():
        response.outputs[name].CopyFrom(tensor_protos.write(array))
    return response


def model_spec(servable: Servable, signature: str = "") -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=servable.name, signature_name=signature)
    spec.version.value = servable.version
    return spec


def classify(
    run: Run, servable: Servable, signature: str, input: input_pb2.Input
) -> classification_pb2.ClassificationResult:
    """Raises StatusError, tf.errors.OpError.

    A message's strings are UTF-8: what a label has besides is U+FFFD.
    """
    labels, scores = classes(run, servable, signature, input)
    rows, width = (labels if labels is not None else scores).shape  # type: ignore[union-attr]
    result = classification_pb2.ClassificationResult()
    for row in range(rows):
        into = result.classifications.add()
        for column in range(width):
            label = "" if labels is None else labels[row, column].decode(errors="replace")
            score = 0.0 if scores is None else float(scores[row, column])
            into.classes.add(label=label, score=score)
    return result


def classes(
    run: Run, servable: Servable, signature: str, input: input_pb2.Input
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Labels (n, classes) bytes and scores (n, classes) float32; a signature may lack one.

    Raises StatusError, tf.errors.OpError.
    """
    _check_classification(_definition(servable, signature))
    examples = _serialized(input)
    outputs = run(servable, signature, {"inputs": examples}, ())
    labels, scores = outputs.get("classes"), outputs.get("scores")
    for name, tensor, dtype in (("classes", labels, tf.string), ("scores", scores, tf.float32)):
        if tensor is not None:
            _check_classes(name, tensor, dtype, len(examples))
    if labels is not None and scores is not None and labels.shape != scores.shape:
        raise invalid(
            f"Tensors class and score should match in dim_size(1). Got {labels.shape[1]} vs. "
            f"{scores.shape[1]}"
        )
    return labels, scores


def _check_classes(name: str, tensor: Tensor, dtype: tf.DType, examples: int) -> None:
    if len(tensor.shape) != 2:
        raise invalid(
            f"Expected Tensor shape: [batch_size num_classes] but got {_shape_text(tensor)}"
        )
    if dtype_of(tensor) != dtype:
        raise invalid(
            f"Expected {name} Tensor of {_enum_name(dtype)}. Got: {_enum_name(dtype_of(tensor))}"
        )
    if tensor.shape[0] != examples:
        raise invalid(f"Expected {name} output batch size of {examples}. Got: {tensor.shape[0]}")


def _shape_text(tensor: Tensor) -> str:
    return f"[{','.join(map(str, tensor.shape))}]"


def _enum_name(dtype: tf.DType) -> str:
    return types_pb2.DataType.Name(dtype.as_datatype_enum)


def regress(
    run: Run, servable: Servable, signature: str, input: input_pb2.Input
) -> regression_pb2.RegressionResult:
    """Raises StatusError, tf.errors.OpError."""
    result = regression_pb2.RegressionResult()
    for value in values(run, servable, signature, input).tolist():
        result.regressions.add(value=value)
    return result


def values(run: Run, servable: Servable, signature: str, input: input_pb2.Input) -> np.ndarray:
    """float32 (n,). Raises StatusError, tf.errors.OpError."""
    _check_regression(_definition(servable, signature))
    examples = _serialized(input)
    tensor = run(servable, signature, {"inputs": examples}, ())["outputs"]
    if not (len(tensor.shape) == 1 or len(tensor.shape) == 2 and tensor.shape[1] == 1):
        raise invalid(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"{_shape_text(tensor)}"
        )
    if tensor.shape[0] != len(examples):
        raise invalid(
            f"Input batch size did not match output batch size: {len(examples)} vs. "
            f"{tensor.shape[0]}"
        )
    if dtype_of(tensor) != tf.float32:
        raise invalid(f"Expected output Tensor of DT_FLOAT.  Got: {_enum_name(dtype_of(tensor))}")
    return flat(tensor)


def _definition(servable: Servable, signature: str) -> SignatureDef:
    if signature not in servable.signatures:
        raise invalid(f"No signature was found with the name: {signature}")
    return servable.signatures[signature]


def _check_classification(definition: SignatureDef) -> None:
    """PreProcessClassification in classifier.cc."""
    if len(definition.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(definition.outputs) not in (1, 2):
        raise invalid(f"Expected one or two output Tensors, found {len(definition.outputs)}")
    if "inputs" not in definition.inputs:
        raise invalid(f"No classification inputs found in SignatureDef: {definition}")
    if not {"classes", "scores"} & set(definition.outputs):
        raise invalid(
            'Expected classification signature outputs to contain at least one of "classes" or '
            f'"scores". Signature was: {definition}'
        )


def _check_regression(definition: SignatureDef) -> None:
    """PreProcessRegression in regressor.cc."""
    if len(definition.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(definition.outputs) != 1:
        raise invalid("Expected one output Tensor.")
    if "inputs" not in definition.inputs:
        raise invalid(f"No regression inputs found in SignatureDef: {definition}")
    if "outputs" not in definition.outputs:
        raise invalid(f"No regression outputs found in SignatureDef: {definition}")


def example_count(input: input_pb2.Input) -> int:
    kind = input.WhichOneof("kind")
    return len(getattr(input, kind).examples) if kind else 0


def _serialized(input: input_pb2.Input) -> np.ndarray:
    """Examples (n,) as strings; a context is merged into each by appending their bytes."""
    if input.WhichOneof("kind") == "example_list_with_context":
        examples = input.example_list_with_context.examples
        context = input.example_list_with_context.context.SerializeToString()
    else:
        examples, context = input.example_list.examples, b""
    if not examples:
        raise invalid("Input is empty.")
    serialized = np.empty(len(examples), object)
    serialized[:] = [context + example.SerializeToString() for example in examples]
    return serialized


def multi_inference(
    run: Run, servable: Servable, request: inference_pb2.MultiInferenceRequest
) -> inference_pb2.MultiInferenceResponse:
    """Raises StatusError, tf.errors.OpError: before anything runs where a task is at fault."""
    signatures = _check_tasks(servable, request.tasks)
    response = inference_pb2.MultiInferenceResponse()
    for task, signature in zip(request.tasks, signatures, strict=True):
        result = response.results.add()
        result.model_spec.CopyFrom(model_spec(servable, signature))
        if task.method_name == CLASSIFY:
            classes = classify(run, servable, signature, request.input)
            result.classification_result.CopyFrom(classes)
        else:
            values = regress(run, servable, signature, request.input)
            result.regression_result.CopyFrom(values)
    return response


def _check_tasks(servable: Servable, tasks: Sequence[inference_pb2.InferenceTask]) -> list[str]:
    """The signature of each task."""
    signatures: list[str] = []
    for task in tasks:
        if not task.model_spec.name:
            raise invalid("Found ModelSpec with an empty model name.")
        if task.model_spec.name != tasks[0].model_spec.name:
            raise invalid(
                "All ModelSpecs in a MultiInferenceRequest must access the same model name."
            )
        signature = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if signature in signatures:
            raise invalid(f"Duplicate evaluation of signature: {signature}")
        signatures.append(signature)
        if signature not in servable.signatures:
            raise invalid(f"Requested signature not found in model graph: {signature}")
        if task.method_name == CLASSIFY:
            _check_classification(servable.signatures[signature])
        elif task.method_name == REGRESS:
            _check_regression(servable.signatures[signature])
        else:
            raise StatusError(
                StatusCode.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}"
            )
    return signatures
