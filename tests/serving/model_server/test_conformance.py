"""What TensorFlow Serving 2.20 answers, as a table, asked of our server and of the real one.

Requests and responses are written from https://www.tensorflow.org/tfx/serving/api_rest, the
protos of tensorflow-serving-api, and the sources and tests of TensorFlow Serving at its tag 2.20.0
(http_rest_api_util.cc, http_rest_api_handler.cc, json_tensor.cc and their tests). What is below
the API is in test_http_conformance.py, what is gRPC's in test_grpc_conformance.py, which also say
how to try a real server. What JSON is and becomes has tables of its own, json_cases.py and
json_document_cases.py.

A real server: `python -m tests.fixtures.serving_models DIR` prints how to start it; then
`pytest THIS_FILE --target http://localhost:8501 --target-grpc localhost:8500`.
"""

import dataclasses
import gzip
import json
import math
from typing import Any

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from tests.fixtures import serving_models
from tests.serving.model_server import json_cases, json_document_cases

MODEL = f"/v1/models/{serving_models.NAME}"
V1 = f"{MODEL}/versions/1"


@dataclasses.dataclass(frozen=True)
class Case:
    """A request and its answer: `answer` is the body, or a part of the error's text."""

    source: str
    name: str
    path: str
    body: Any = None  # None: GET; a string goes as it is
    answer: Any = ""
    status: int = 200
    method: str = ""
    headers: tuple[tuple[str, str], ...] = ()


# Files of TensorFlow Serving 2.20.0.
HANDLER = "model_servers/http_rest_api_handler.cc"
PATHS = "model_servers/http_rest_api_util.cc"
CORE = "model_servers/server_core.cc"
STATUS = "model_servers/get_model_status_impl.cc"
HTTP = "util/net_http/server/internal/evhttp_request.cc"
TENSORS = "util/json_tensor.cc"
PREDICT = "servables/tensorflow/predict_util.cc"
CLASSIFY = "servables/tensorflow/classifier.cc"
REGRESS = "servables/tensorflow/regressor.cc"


def ask(signature, **body):
    return {"signature_name": signature, **body}


OK = {"error_code": "OK", "error_message": ""}
AVAILABLE = [{"version": v, "state": "AVAILABLE", "status": OK} for v in ("2", "1")]
ROWS = [
    Case(
        TENSORS,
        "rows of one input",
        f"{V1}:predict",
        {"instances": [1.0, 2.0]},
        {"predictions": [2.5, 3]},
    ),
    Case(
        TENSORS,
        "columns of one input",
        f"{V1}:predict",
        {"inputs": [1.0, 2.0]},
        {"outputs": [2.5, 3]},
    ),
    Case(TENSORS, "columns by name", f"{V1}:predict", {"inputs": {"x": [3]}}, {"outputs": [3.5]}),
    Case(
        TENSORS, "rows by name", f"{V1}:predict", {"instances": [{"x": 3}]}, {"predictions": [3.5]}
    ),
    Case(CORE, "the latest version", f"{MODEL}:predict", {"inputs": [1]}, {"outputs": [3.5]}),
    Case(PATHS, "a label", f"{MODEL}/labels/stable:predict", {"inputs": [1]}, {"outputs": [2.5]}),
    Case(
        PATHS,
        "another label",
        f"{MODEL}/labels/canary:predict",
        {"inputs": [1]},
        {"outputs": [3.5]},
    ),
    Case(
        PATHS,
        "a quoted name",
        "/v1/models/half%5Fplus_two:predict",
        {"inputs": [1]},
        {"outputs": [3.5]},
    ),
    Case(
        PATHS,
        "any case",
        f"/V1/MODELS/{serving_models.NAME}:predict",
        {"inputs": [1]},
        {"outputs": [3.5]},
    ),
    Case(
        TENSORS,
        "the signature by name",
        f"{V1}:predict",
        ask("serving_default", instances=[3.0, 4.0]),
        {"predictions": [3.5, 4.0]},
    ),
    Case(
        TENSORS, "an empty signature name", f"{V1}:predict", ask("", inputs=[1]), {"outputs": [2.5]}
    ),
    Case(
        TENSORS,
        "unknown keys are ignored",
        f"{V1}:predict",
        {"inputs": [1], "a": 1},
        {"outputs": [2.5]},
    ),
    Case(
        TENSORS,
        "unknown inputs too",
        f"{V1}:predict",
        {"inputs": {"x": [1], "a": 1}},
        {"outputs": [2.5]},
    ),
    Case(TENSORS, "no rows in columns", f"{V1}:predict", {"inputs": []}, {"outputs": []}),
    Case(
        TENSORS,
        "two inputs and outputs in rows",
        f"{V1}:predict",
        ask("named", instances=[{"a": [1, 2], "b": 3}, {"a": [0.5, 0], "b": -1}]),
        {"predictions": [{"total": 6.0, "twice": 6}, {"total": -0.5, "twice": -2}]},
    ),
    Case(
        TENSORS,
        "two inputs and outputs in columns",
        f"{V1}:predict",
        ask("named", inputs={"a": [[1, 2], [0.5, 0]], "b": [3, -1]}),
        {"outputs": {"total": [6.0, -0.5], "twice": [6, -2]}},
    ),
    Case(
        TENSORS,
        "bytes come back as base64 where the name says so",
        f"{V1}:predict",
        ask("echo", instances=[{"b64": "AGE="}, "hé"]),
        {
            "predictions": [
                {"image_bytes": {"b64": "AGE="}, "text": "\0a"},
                {"image_bytes": {"b64": "aMOp"}, "text": "hé"},
            ]
        },
    ),
    Case(
        TENSORS,
        "base64 by name",
        f"{V1}:predict",
        ask("echo", inputs={"image_bytes": [{"b64": "YQ=="}]}),
        {"outputs": {"image_bytes": [{"b64": "YQ=="}], "text": ["a"]}},
    ),
    Case(
        PREDICT,
        "a scalar",
        f"{V1}:predict",
        ask("total", inputs=[1.5, 2]),
        {"outputs": 3.5},
    ),
    Case(
        TENSORS,
        "tokens that are no JSON come in",
        f"{V1}:predict",
        '{"inputs": [NaN, Infinity, -Infinity]}',
        {"outputs": [math.nan, math.inf, -math.inf]},
    ),
    Case(
        TENSORS,
        "a whole number beyond 64 bits is a decimal",
        f"{V1}:predict",
        '{"inputs": [100000000000000000000, -100000000000000000000]}',
        {"outputs": [5e19, -5e19]},
    ),
    Case(
        PREDICT,
        "and go out",
        f"{V1}:predict",
        ask("special", instances=[0, -1, 1]),
        {"predictions": [-math.inf, math.nan, 0.0]},
    ),
    Case(
        HTTP,
        "gzip",
        f"{V1}:predict",
        gzip.compress(b'{"inputs": [1, 2]}'),
        {"outputs": [2.5, 3.0]},
        headers=(("Content-Encoding", "gzip"),),
    ),
    Case(
        TENSORS,
        "classify",
        f"{V1}:classify",
        ask("classify", examples=[{"x": 2.0}, {"x": [7.5]}]),
        {"results": [[["small", 8.0], ["large", 2.0]], [["small", 2.5], ["large", 7.5]]]},
    ),
    Case(
        TENSORS,
        "regress",
        f"{V1}:regress",
        ask("regress", examples=[{"x": 80.0}, {"x": 1.0}]),
        {"results": [42.0, 2.5]},
    ),
    Case(
        TENSORS,
        "a context shared by the examples",
        f"{V1}:regress",
        ask("regress", context={"x": 80.0}, examples=[{"y": 1}, {"z": "a"}]),
        {"results": [42.0, 42.0]},
    ),
    Case(STATUS, "the status of all versions", MODEL, None, {"model_version_status": AVAILABLE}),
    Case(STATUS, "of one", V1, None, {"model_version_status": AVAILABLE[1:]}),
    Case(
        STATUS,
        "the status ignores labels",
        f"{MODEL}/labels/stable",
        None,
        {"model_version_status": AVAILABLE},
    ),
]
BAD = "/v1/models/other"
ERRORS = [
    Case(PREDICT, "a wrong rank", f"{V1}:predict", {"inputs": {"x": [[[1.0]]]}}, "", 400),
    Case(
        HANDLER,
        "no such signature",
        f"{V1}:predict",
        ask("no", inputs=[1]),
        "not found in signature",
        400,
    ),
    Case(
        PREDICT,
        "inputs of unequal first dimensions",
        f"{V1}:predict",
        ask("named", inputs={"a": [[1, 2], [3, 4]], "b": [1, 2, 3]}),
        "",
        400,
    ),
    Case(
        PREDICT,
        "what the model refuses",
        f"{V1}:predict",
        ask("root", inputs=[-1]),
        "negative number",
        400,
    ),
    Case(CORE, "no such model", f"{BAD}:predict", {"inputs": [1]}, "Servable not found", 404),
    Case(CORE, "no such version", f"{MODEL}/versions/9:predict", {"inputs": [1]}, "not found", 404),
    Case(CORE, "no such label", f"{MODEL}/labels/no:predict", {"inputs": [1]}, "Unrecognized", 400),
    Case(TENSORS, "bad JSON comes before no model", f"{BAD}:predict", "{", "JSON Parse error", 400),
    Case(STATUS, "the status of no model", BAD, None, "Could not find any versions of model", 404),
    Case(STATUS, "of no version", f"{MODEL}/versions/9", None, "Could not find version 9", 404),
    Case(CORE, "metadata of no model", f"{BAD}/metadata", None, "Servable not found", 404),
    Case(CORE, "metadata of no label", f"{MODEL}/labels/no/metadata", None, "Unrecognized", 400),
    Case(HANDLER, "all models", "/v1/models", None, "Missing model name", 400),
    Case(HANDLER, "no path", "/v1/foo", None, "Malformed request: GET /v1/foo", 400),
    Case(HANDLER, "get for post", f"{MODEL}:predict", None, "Malformed request", 400),
    Case(HANDLER, "post for get", f"{MODEL}/metadata", {}, "Malformed request", 400),
    Case(HANDLER, "post to all models", "/v1/models", {}, "Malformed request", 400),
    Case(HANDLER, "another method", f"{MODEL}:predict", {}, "Malformed request", 400, method="PUT"),
    Case(
        HANDLER, "a verb in capitals", f"{MODEL}:PREDICT", {"inputs": [1]}, "Malformed request", 400
    ),
    Case(HANDLER, "another verb", f"{MODEL}:explain", {"inputs": [1]}, "Malformed request", 400),
    Case(HANDLER, "a query is a part of the name", f"{MODEL}?a=1", None, "half_plus_two?a=1", 404),
    Case(
        HANDLER, "or of nothing", f"{MODEL}:predict?a=1", {"inputs": [1]}, "Malformed request", 400
    ),
    Case(HANDLER, "a misspelt path", f"{MODEL}/version/5:regress", {}, "Malformed request", 400),
    Case(HANDLER, "two versions", f"{V1}/labels/stable:regress", {}, "Malformed request", 400),
    Case(
        HANDLER,
        "a version of letters",
        f"{MODEL}/versions/no:regress",
        {},
        "Malformed request",
        400,
    ),
    Case(
        PATHS,
        "a version beyond 64 bits",
        f"{MODEL}/versions/{2**64 - 1}:regress",
        {},
        "Failed to convert version",
        400,
    ),
    Case(
        CLASSIFY,
        "classify by a predict signature",
        f"{V1}:classify",
        {"examples": [{"x": 1.0}]},
        "",
        400,
    ),
    Case(
        REGRESS,
        "regress by a predict signature",
        f"{V1}:regress",
        {"examples": [{"x": 1.0}]},
        "",
        400,
    ),
    Case(
        CLASSIFY,
        "classify by no signature",
        f"{V1}:classify",
        ask("no", examples=[{"x": 1.0}]),
        "No signature was found with the name: no",
        400,
    ),
    Case(
        REGRESS,
        "regress in place of classify",
        f"{V1}:regress",
        ask("classify", examples=[{"x": 1.0}]),
        "",
        400,
    ),
]


def send(http, case):
    method = case.method or ("GET" if case.body is None else "POST")
    body = case.body if isinstance(case.body, str | bytes | None) else json.dumps(case.body)
    return http.request(method, case.path, content=body, headers=dict(case.headers))


def same(a, b):
    """Equal, and NaN equals itself."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or a != a and b != b


@pytest.mark.parametrize("case", ROWS, ids=lambda case: case.name)
def test_a_request_gets_the_documented_answer(http, case):
    response = send(http, case)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    assert same(json.loads(response.text), case.answer), response.text


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case.name)
def test_a_refused_request_gets_the_documented_status_and_an_error(http, case):
    response = send(http, case)
    assert response.status_code == case.status, response.text
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert set(answer) == {"error"} and answer["error"]
    assert case.answer in answer["error"]


JSON_CASES = [
    *json_cases.NUMBERS,
    *json_cases.SHAPES,
    *json_document_cases.DOCUMENTS,
    *json_document_cases.BASE64S,
    *json_document_cases.EXAMPLES,
]


@pytest.mark.parametrize("case", JSON_CASES, ids=lambda case: case.name)
def test_json_is_read_and_answered_as_by_the_sources_of_the_table(http, case):
    response = http.post(f"{json_cases.ECHO}:{case.api}", content=case.body)
    assert response.status_code == case.status, response.text
    answer = json.loads(response.text)
    assert same(answer, case.answer if case.status == 200 else {"error": case.answer})


@pytest.mark.parametrize(("body", "api", "answer"), json_document_cases.FORMS)
def test_answers_have_the_form_of_rapidjson_to_the_byte(http, body, api, answer):
    response = http.post(f"{json_cases.ECHO}:{api}", content=body)
    assert response.content == (answer if isinstance(answer, bytes) else answer.encode())


def test_an_error_of_the_model_may_quote_bytes_that_are_no_utf_8(http):
    body = b'{"signature_name":"values","instances":["\xff"]}'  # no serialized example
    response = http.post(f"{json_cases.ECHO}:predict", content=body)
    assert response.status_code == 400 and "parse example" in json.loads(response.text)["error"]


def _echo(predictions, signature, tensor):
    """What comes back over gRPC; the field that AsProtoField in predict_util.cc fills."""
    request = predict_pb2.PredictRequest(inputs={"x": tensor})
    request.model_spec.name, request.model_spec.signature_name = "echo", signature
    return predictions.Predict(request, 10).outputs["y"]


@pytest.mark.parametrize(
    ("signature", "value", "field", "written"),
    [
        ("string", b"\xff", "string_val", [b"\xff"]),
        ("half", 1.5, "half_val", [0x3E00]),
        ("bfloat16", [1.5, -2.0], "half_val", [0x3FC0, 0xC000]),
        ("complex64", [1 + 2j], "scomplex_val", [1.0, 2.0]),
        ("complex128", [[1 - 2j]], "dcomplex_val", [1.0, -2.0]),
        ("uint16", [65535], "int_val", [65535]),
    ],
)
def test_a_tensor_comes_back_in_the_field_of_its_type(
    predictions, signature, value, field, written
):
    given = tf.make_tensor_proto(value, tf.dtypes.as_dtype(signature))
    answer = _echo(predictions, signature, given)
    assert answer.dtype == given.dtype and answer.tensor_shape == given.tensor_shape
    assert not answer.tensor_content and list(getattr(answer, field)) == written


def test_values_beyond_the_shape_are_left_out_and_bits_beyond_the_type(predictions):
    """FromProtoField in tensor.cc of TensorFlow 2.20."""
    given = tf.make_tensor_proto([1, 2], tf.int8)
    given.ClearField("tensor_content")
    given.int_val[:] = [300, -1, 7]
    assert list(_echo(predictions, "int8", given).int_val) == [44, -1]


def test_metadata_is_the_signature_map_of_the_saved_model(http):
    answer = http.get(f"{V1}/metadata").json()
    assert set(answer) == {"model_spec", "metadata"}
    assert answer["model_spec"] == {
        "name": serving_models.NAME,
        "signature_name": "",
        "version": "1",
    }
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert {"serving_default", "__saved_model_init_op", *serving_models.SIGNATURES} == set(
        signatures
    )
    default = signatures["serving_default"]
    assert default["method_name"] == "tensorflow/serving/predict"
    assert default["inputs"]["x"] == {
        "dtype": "DT_FLOAT",
        "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
        "name": default["inputs"]["x"]["name"],
    }
    assert set(default["outputs"]) == {"y"}


@pytest.mark.parametrize(("value", "text"), [(0.2, "0.2"), (1 / 3, "0.333333343"), (7, "7.0")])
def test_floats_are_written_as_short_as_gets_the_same_float_back(http, value, text):
    body = ask("classify", examples=[{"x": float(value)}])
    answer = "".join(http.post(f"{V1}:classify", json=body).text.split())
    assert answer.endswith(f'["large",{text}]]]}}')


# gRPC: the generated stubs.


def predict_request(x=(1.0, 2.0), signature="", outputs=(), dtype=tf.float32, **spec):
    request = predict_pb2.PredictRequest(output_filter=outputs)
    request.model_spec.name = spec.get("name", serving_models.NAME)
    request.model_spec.signature_name = signature
    if "version" in spec:
        request.model_spec.version.value = spec["version"]
    if "label" in spec:
        request.model_spec.version_label = spec["label"]
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(x, dtype))
    return request


@pytest.mark.parametrize(
    ("spec", "version", "y"),
    [({}, 2, [3.5, 4.0]), ({"version": 1}, 1, [2.5, 3.0]), ({"label": "stable"}, 1, [2.5, 3.0])],
)
def test_grpc_predict_answers_in_the_field_of_the_type(predictions, spec, version, y):
    response = predictions.Predict(predict_request(**spec), 10)
    assert response.model_spec.name == serving_models.NAME
    assert response.model_spec.signature_name == "serving_default"
    assert response.model_spec.version.value == version
    assert list(response.outputs) == ["y"] and list(response.outputs["y"].float_val) == y


def test_grpc_predict_gives_the_outputs_that_are_asked_for(predictions):
    request = predict_request(signature="named", outputs=["twice"], version=1)
    del request.inputs["x"]
    request.inputs["a"].CopyFrom(tf.make_tensor_proto([[1.0, 2.0]]))
    request.inputs["b"].CopyFrom(tf.make_tensor_proto([3]))
    response = predictions.Predict(request, 10)
    assert list(response.outputs) == ["twice"] and list(response.outputs["twice"].int_val) == [6]


INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
FAILED = grpc.StatusCode.FAILED_PRECONDITION


def shaped(*sizes):
    """A request of one number for the shape."""
    request = predict_request(x=1.0)
    for size in sizes:
        request.inputs["x"].tensor_shape.dim.add(size=size)
    return request


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        (predict_request(name=""), INVALID, "ModelSpec has no name specified"),
        (predict_request(name="other"), NOT_FOUND, "Servable not found"),
        (predict_request(version=9), NOT_FOUND, "Servable not found"),
        (predict_request(label="no"), INVALID, "Unrecognized servable version label: no"),
        (predict_request(signature="no"), FAILED, 'Serving signature key "no" not found'),
        (predict_request(dtype=tf.float64), INVALID, "to be float but double is provided"),
        (predict_request(signature="named", version=1), INVALID, "input size does not match"),
        (predict_request(outputs=["no"]), INVALID, "output tensor alias not found"),
        (predict_request(outputs=["y", "y"]), INVALID, "duplicate output tensor alias"),
        (predict_request(x=(-1.0,), signature="root", version=1), INVALID, "negative number"),
        (predict_pb2.PredictRequest(), INVALID, "Missing ModelSpec"),
        (shaped(-1), INVALID, "tensor parsing error: x"),
        (shaped(10**13), INVALID, "tensor parsing error: x"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_grpc_predict_refuses_with_the_documented_code(predictions, request_, code, text):
    with pytest.raises(grpc.RpcError) as caught:
        predictions.Predict(request_, 10)
    assert caught.value.code() == code
    assert text in caught.value.details()


def test_grpc_classify_regress_and_both_at_once_agree(predictions):
    example = tf.train.Example()
    example.features.feature["x"].float_list.value.append(80.0)
    both = inference_pb2.MultiInferenceRequest()
    both.input.example_list.examples.append(example)
    for name in ("classify", "regress"):
        task = both.tasks.add(method_name=f"tensorflow/serving/{name}")
        task.model_spec.name, task.model_spec.signature_name = serving_models.NAME, name
        task.model_spec.version.value = 1
    classify = classification_pb2.ClassificationRequest(model_spec=both.tasks[0].model_spec)
    classify.input.CopyFrom(both.input)
    regress = regression_pb2.RegressionRequest(model_spec=both.tasks[1].model_spec)
    regress.input.CopyFrom(both.input)
    classes = predictions.Classify(classify, 10).result
    values = predictions.Regress(regress, 10).result
    assert [(c.label, c.score) for c in classes.classifications[0].classes] == [
        ("small", -70.0),
        ("large", 80.0),
    ]
    assert [v.value for v in values.regressions] == [42.0]
    one, other = predictions.MultiInference(both, 10).results
    assert one.classification_result == classes and other.regression_result == values
    both.tasks[1].method_name = "tensorflow/serving/predict"
    with pytest.raises(grpc.RpcError) as caught:
        predictions.MultiInference(both, 10)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_grpc_metadata_is_the_signature_map(predictions):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = serving_models.NAME
    response = predictions.GetModelMetadata(request, 10)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert response.model_spec.version.value == 2
    assert "serving_default" in signatures.signature_def
    for change in (
        lambda r: r.ClearField("metadata_field"),
        lambda r: r.metadata_field.append("graph"),
        lambda r: r.ClearField("model_spec"),
    ):
        bad = get_model_metadata_pb2.GetModelMetadataRequest()
        bad.CopyFrom(request)
        change(bad)
        with pytest.raises(grpc.RpcError) as caught:
            predictions.GetModelMetadata(bad, 10)
        assert caught.value.code() == INVALID


def test_grpc_status_lists_versions(states):
    request = get_model_status_pb2.GetModelStatusRequest()
    with pytest.raises(grpc.RpcError) as caught:
        states.GetModelStatus(request, 10)
    assert caught.value.code() == INVALID and "Missing ModelSpec" in caught.value.details()
    request.model_spec.name = serving_models.NAME
    found = states.GetModelStatus(request, 10).model_version_status
    assert [(s.version, s.state, s.status.error_code) for s in found] == [(2, 30, 0), (1, 30, 0)]
    request.model_spec.version.value = 9
    with pytest.raises(grpc.RpcError) as caught:
        states.GetModelStatus(request, 10)
    assert caught.value.code() == NOT_FOUND


def test_a_config_that_cannot_be_served_is_refused_and_changes_nothing(states, http):
    request = model_management_pb2.ReloadConfigRequest()
    with pytest.raises(grpc.RpcError) as caught:
        states.HandleReloadConfigRequest(request, 10)
    assert caught.value.code() == INVALID
    for _ in range(2):
        request.config.model_config_list.config.add(
            name="twice", base_path="/nowhere", model_platform="tensorflow"
        )
    with pytest.raises(grpc.RpcError) as caught:
        states.HandleReloadConfigRequest(request, 10)
    assert caught.value.code() == INVALID and "multiple times" in caught.value.details()
    assert http.get(MODEL).json()["model_version_status"] == AVAILABLE
