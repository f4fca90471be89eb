"""What TensorFlow Serving 2.20 answers over gRPC where a request leaves something out or is wrong.

Expectations are from servables/tensorflow/{predict_util,predict_impl,classifier,regressor,
multi_inference,classification_service,regression_service,get_model_metadata_impl}.cc and
model_servers/{grpc_status_util,server_core}.cc at its tag 2.20.0, and from
tensorflow/cc/saved_model/util.cc of TensorFlow 2.20. Further ones are in test_conformance.py.

A real server: `python -m tests.fixtures.serving_models DIR` prints how to start it; then
`pytest THIS_FILE --target http://localhost:8501 --target-grpc localhost:8500`.
"""

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from tests.fixtures import serving_models

NAME = serving_models.NAME
INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


def refusal(method, request):
    """The code and the text that a request gets."""
    with pytest.raises(grpc.RpcError) as caught:
        method(request, 10)
    return caught.value.code(), caught.value.details()


def predict_request(signature="", outputs=(), name=NAME, version=1, **inputs):
    request = predict_pb2.PredictRequest(output_filter=outputs)
    request.model_spec.name, request.model_spec.signature_name = name, signature
    request.model_spec.version.value = version
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return request


def judge_request(made, signature):
    request = made()
    request.model_spec.name, request.model_spec.signature_name = NAME, signature
    request.model_spec.version.value = 1
    add_example(request)
    return request


def add_example(request, x=1.0):
    request.input.example_list.examples.add().features.feature["x"].float_list.value.append(x)


def tasks_request(*tasks):
    """tasks: (method, signature) or (method, signature, name of the model)."""
    request = inference_pb2.MultiInferenceRequest()
    for method, signature, *name in tasks:
        task = request.tasks.add(method_name=method)
        task.model_spec.name = name[0] if name else NAME
        task.model_spec.signature_name = signature
        task.model_spec.version.value = 1
    add_example(request)
    return request


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("Predict", predict_pb2.PredictRequest()),
        ("Classify", classification_pb2.ClassificationRequest()),
        ("Regress", regression_pb2.RegressionRequest()),
        ("GetModelMetadata", get_model_metadata_pb2.GetModelMetadataRequest()),
    ],
)
def test_a_request_names_a_model(predictions, method, request_):
    """predict_impl.cc, {classification,regression}_service.cc, get_model_metadata_impl.cc."""
    assert refusal(getattr(predictions, method), request_) == (INVALID, "Missing ModelSpec")
    request_.model_spec.SetInParent()
    if method == "GetModelMetadata":
        request_.metadata_field.append("signature_def")
    code, text = refusal(getattr(predictions, method), request_)
    assert (code, text) == (INVALID, "ModelSpec has no name specified.")


def test_several_inferences_without_a_task_name_no_model(predictions):
    """multi_inference_helper.cc."""
    code, text = refusal(predictions.MultiInference, inference_pb2.MultiInferenceRequest())
    assert (code, text) == (INVALID, "ModelSpec has no name specified.")


@pytest.mark.parametrize("length", [900, 5000, 100_000])
def test_the_text_of_an_error_is_cut_after_1024_bytes(predictions, length):
    """grpc_status_util.cc."""
    request = predict_request(outputs=["é" + "a" * length], x=[1.0])
    code, text = refusal(predictions.Predict, request)
    whole = f"output tensor alias not found in signature: é{'a' * length} Outputs expected"
    assert code == INVALID
    if length < 1000:
        assert text.startswith(whole) and not text.endswith("TRUNCATED")
    else:
        assert text == whole.encode()[:1024].decode() + "...TRUNCATED"


def test_so_is_that_of_a_model_that_is_not_there(predictions):
    request = predict_request(name="m" * 20_000, x=[1.0])
    code, text = refusal(predictions.Predict, request)
    assert code == NOT_FOUND and text.startswith("Servable not found for request: Specific(mmm")
    assert len(text) == 1024 + len("...TRUNCATED")


# Classify, Regress, MultiInference.

NO_CLASSES = [
    ("named", "Expected one input Tensor."),
    ("kinds", "Expected one input Tensor."),
    ("", "No classification inputs found in SignatureDef: inputs {"),
    ("echo", "No classification inputs found in SignatureDef: inputs {"),
    ("several", "Expected one or two output Tensors, found 3"),
    ("regress", 'to contain at least one of "classes" or "scores". Signature was: inputs {'),
    ("no", "No signature was found with the name: no"),
]
NO_VALUES = [
    ("named", "Expected one input Tensor."),
    ("classify", "Expected one output Tensor."),
    ("echo", "Expected one output Tensor."),
    ("", "No regression inputs found in SignatureDef: inputs {"),
    ("no", "No signature was found with the name: no"),
]


@pytest.mark.parametrize(("signature", "text"), NO_CLASSES)
def test_classify_refuses_a_signature_that_is_not_for_it(predictions, signature, text):
    """PreProcessClassification in classifier.cc."""
    request = judge_request(classification_pb2.ClassificationRequest, signature)
    code, details = refusal(predictions.Classify, request)
    assert code == INVALID and text in details


@pytest.mark.parametrize(("signature", "text"), NO_VALUES)
def test_regress_refuses_a_signature_that_is_not_for_it(predictions, signature, text):
    """PreProcessRegression in regressor.cc."""
    request = judge_request(regression_pb2.RegressionRequest, signature)
    code, details = refusal(predictions.Regress, request)
    assert code == INVALID and text in details


@pytest.mark.parametrize("made", ["Classification", "Regression"])
def test_no_examples_are_refused(predictions, made):
    module = {"Classification": classification_pb2, "Regression": regression_pb2}[made]
    method, signature = {
        "Classification": (predictions.Classify, "classify"),
        "Regression": (predictions.Regress, "regress"),
    }[made]
    request = judge_request(getattr(module, f"{made}Request"), signature)
    for kind in ("example_list", "example_list_with_context"):
        request.input.Clear()
        getattr(request.input, kind).SetInParent()
        assert refusal(method, request) == (INVALID, "Input is empty.")


@pytest.mark.parametrize(
    ("tasks", "code", "text"),
    [
        ([(CLASSIFY, "regress")], INVALID, "at least one of"),
        ([(REGRESS, "regress"), (CLASSIFY, "named")], INVALID, "Expected one input Tensor."),
        ([(REGRESS, "no")], INVALID, "Requested signature not found in model graph: no"),
        ([(REGRESS, "regress")] * 2, INVALID, "Duplicate evaluation of signature: regress"),
        (
            [(REGRESS, "regress"), (CLASSIFY, "classify", "other")],
            INVALID,
            "must access the same model name.",
        ),
        ([(REGRESS, "regress"), (CLASSIFY, "classify", "")], INVALID, "an empty model name."),
        (
            [("tensorflow/serving/predict", "")],
            grpc.StatusCode.UNIMPLEMENTED,
            "Unsupported signature method_name: tensorflow/serving/predict",
        ),
    ],
)
def test_several_inferences_are_refused_for_one(predictions, tasks, code, text):
    """multi_inference.cc."""
    found, details = refusal(predictions.MultiInference, tasks_request(*tasks))
    assert found == code and text in details


def test_several_inferences_say_which_signature_answered(predictions):
    request = tasks_request((CLASSIFY, "classify"), (REGRESS, "regress"))
    results = predictions.MultiInference(request, 10).results
    assert [r.model_spec.signature_name for r in results] == ["classify", "regress"]
    assert [r.model_spec.version.value for r in results] == [1, 1]


# Predict.


def test_only_the_outputs_that_are_asked_for_are_computed(predictions):
    """PreProcessPrediction in predict_util.cc names what the session fetches."""

    def ask(*outputs):
        request = predict_request("", outputs, serving_models.FLAT, x=[-4.0])
        return predictions.Predict(request, 10).outputs

    assert list(ask("half")["half"].float_val) == [0.0]
    for outputs in ((), ("root",), ("half", "root")):
        request = predict_request("", outputs, serving_models.FLAT, x=[-4.0])
        code, text = refusal(predictions.Predict, request)
        assert code == INVALID and "Negative." in text


def test_an_input_that_is_left_out_has_its_default(predictions):
    """VerifyRequestInputsSize in predict_util.cc, GetInputValues in saved_model/util.cc."""

    def ask(**inputs):
        return list(
            predictions.Predict(predict_request("scaled", **inputs), 10).outputs["y"].float_val
        )

    assert ask(x=[1.0, 2.0]) == [3.0, 6.0]
    assert ask(x=[1.0, 2.0], scale=[5.0]) == [5.0, 10.0]


NO_INPUT = (
    "Signature input alias: x(feed name: {0}_x:0) not found in request and no default value "
    "provided. Inputs expected to be in the request {{{1}}}, or default input alias set: {1}"
)
TOO_MANY = (
    "input size does not match signature: 3!=2 len({x,y,z}) != len({scale,x}). Sent extra: {y,z}. "
    "Missing but required: {scale}."
)
TOO_FEW = (
    "input size does not match signature: 1!=2 len({a}) != len({a,b}). Sent extra: {}. "
    "Missing but required: {b}."
)
UNKNOWN = "Inputs contains invalid name. Used request inputs: x, request input: x,z"


@pytest.mark.parametrize(
    ("signature", "inputs", "text"),
    [
        ("scaled", ["scale"], NO_INPUT.format("scaled", "scale")),
        ("scaled", ["x", "z"], UNKNOWN),
        ("scaled", ["x", "y", "z"], TOO_MANY),
        ("named", ["a"], TOO_FEW),
        ("named", [], "input size does not match signature: 0!=2"),
        ("", ["z"], "alias: x(feed name: serving_default_x:0) not found in request and no default"),
    ],
)
def test_inputs_that_are_not_those_of_the_signature_are_named(predictions, signature, inputs, text):
    """As above."""
    request = predict_request(signature, **{name: [1.0] for name in inputs})
    code, details = refusal(predictions.Predict, request)
    assert code == INVALID and text in details


# Configuration.


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (
            {},
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            "ModelServerConfig::model_platform.",
        ),
        (
            {"model_platform": "tensorflow", "model_type": "TENSORFLOW"},
            "Illegal setting both ModelServerConfig::model_type (deprecated) and "
            "ModelServerConfig::model_platform.",
        ),
        ({"model_type": "OTHER"}, "ModelServerConfig::model_type choice 2 not supported."),
    ],
)
def test_a_model_has_one_platform(states, settings, text):
    """GetPlatform in server_core.cc."""
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.config.add(name=NAME, base_path="/models", **settings)
    assert refusal(states.HandleReloadConfigRequest, request) == (INVALID, text)
