"""The inference methods of a loaded version: Predict, Classify, Regress, MultiInference.

Rules and error texts follow predict_util.cc, classifier.cc, regressor.cc and multi_inference.cc of
TensorFlow Serving 2.20 (servables/tensorflow/). As its releases do by default
(`enable_signature_method_name_check` off), a signature is judged by its inputs and outputs, not by
its method name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from grpc import StatusCode
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
from serving.model_server.servable import DEFAULT_SIGNATURE, Servable, Tensors
from serving.model_server.status import StatusError, invalid

# How a signature is run for the named outputs, or for all where none is named: alone
# (`run_alone`), or in a batch with other callers' requests.
Run = Callable[[Servable, str, Mapping[str, np.ndarray], Sequence[str]], Tensors]

CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"


def run_alone(
    servable: Servable, signature: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]
) -> Tensors:
    return servable.run(signature, inputs, outputs)


def predict(
    run: Run,
    servable: Servable,
    signature: str,
    inputs: Mapping[str, np.ndarray],
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
    """Raises StatusError, tf.errors.OpError."""
    _check_classification(_definition(servable, signature))
    examples = _serialized(input)
    outputs = run(servable, signature, {"inputs": examples}, ())
    classes, scores = outputs.get("classes"), outputs.get("scores")
    for name, array, dtype in (("classes", classes, object), ("scores", scores, np.float32)):
        if array is not None:
            _check_classes(name, array, dtype, len(examples))
    if classes is not None and scores is not None and classes.shape != scores.shape:
        raise invalid(
            f"Tensors class and score should match in dim_size(1). Got {classes.shape[1]} vs. "
            f"{scores.shape[1]}"
        )
    width = (classes if classes is not None else scores).shape[1]  # type: ignore[union-attr]
    result = classification_pb2.ClassificationResult()
    for row in range(len(examples)):
        into = result.classifications.add()
        for column in range(width):
            label = classes[row, column].decode() if classes is not None else ""
            score = float(scores[row, column]) if scores is not None else 0.0
            into.classes.add(label=label, score=score)
    return result


def _check_classes(name: str, array: np.ndarray, dtype: type, examples: int) -> None:
    if array.ndim != 2:
        raise invalid(
            f"Expected Tensor shape: [batch_size num_classes] but got {list(array.shape)}"
        )
    if array.dtype != dtype:
        word = "DT_STRING" if dtype is object else "DT_FLOAT"
        raise invalid(f"Expected {name} Tensor of {word}. Got: {array.dtype}")
    if array.shape[0] != examples:
        raise invalid(f"Expected {name} output batch size of {examples}. Got: {array.shape[0]}")


def regress(
    run: Run, servable: Servable, signature: str, input: input_pb2.Input
) -> regression_pb2.RegressionResult:
    """Raises StatusError, tf.errors.OpError."""
    _check_regression(_definition(servable, signature))
    examples = _serialized(input)
    values = run(servable, signature, {"inputs": examples}, ())["outputs"]
    if values.shape not in ((len(examples),), (len(examples), 1)):
        raise invalid(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"{list(values.shape)}"
        )
    if values.dtype != np.float32:
        raise invalid(f"Expected output Tensor of DT_FLOAT.  Got: {values.dtype}")
    result = regression_pb2.RegressionResult()
    for value in values.ravel().tolist():
        result.regressions.add(value=value)
    return result


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
