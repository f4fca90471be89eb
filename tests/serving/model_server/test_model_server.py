"""The model server as a whole: limits, deadlines, metrics, health, the command, and a detector."""

import base64
import ctypes
import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from dfdetect.__main__ import main
from pipelines.inspect import read_clips
from serving.model_server.server import ModelServer, serve_in_thread, start_in_thread
from serving.model_server.settings import Settings
from serving.model_server.version_policy import one_model
from tests.fixtures import ROOT, serving_models
from tests.fixtures.serving_models import Gate

NAME = serving_models.NAME


@pytest.fixture
def base(half_plus_two):
    return half_plus_two / NAME / "1"


def post(url, body, path=f"/v1/models/{NAME}:predict", **headers):
    content = body if isinstance(body, bytes) else json.dumps(body)
    response = httpx.post(url + path, content=content, headers=headers, trust_env=False, timeout=60)
    return response.status_code, response.json()


def held(url, gate):
    return post(url, {"signature_name": "held", "inputs": [str(gate.path)]})


def held_request(gate):
    return predict_request("held", gate=[str(gate.path)])


def until(condition):
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def predict_request(signature, **inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = NAME, signature
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return request


def test_bodies_have_a_limit_packed_or_not(base):
    with serve_in_thread(base, NAME, max_body_mb=1, grpc_port=-1) as where:
        assert where.grpc == ""
        large = json.dumps({"inputs": [1.0] * 300_000}).encode()
        status, answer = post(where.rest, large)
        assert status == 413 and set(answer) == {"error"}
        packed = {"Content-Encoding": "gzip"}
        assert post(where.rest, gzip.compress(large), **packed)[0] == 413
        whole = gzip.compress(b'{"inputs": [1]}')
        for broken in (b"no gzip", whole[:-9]):
            status, answer = post(where.rest, broken, **packed)
            assert status == 400 and "gzipped body" in answer["error"]
        assert post(where.rest, whole, **packed) == (200, {"outputs": [2.5]})
        assert httpx.get(f"{where.rest}/index", trust_env=False).status_code == 404


def test_a_request_is_answered_by_its_deadline_even_if_the_model_is_not_done(base, gate):
    with serve_in_thread(base, NAME, rest_timeout_ms=100) as where, gate:
        status, answer = held(where.rest, gate)
        assert status == 504 and "0.1 s" in answer["error"]
        with grpc.insecure_channel(where.grpc) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            with pytest.raises(grpc.RpcError) as caught:
                stub.Predict(held_request(gate), timeout=0.1)
            assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_body_that_does_not_come_gives_its_place_to_others_at_the_deadline(base):
    with serve_in_thread(base, NAME, rest_timeout_ms=500, max_in_flight=1, grpc_port=-1) as where:
        host, _, port = where.rest.removeprefix("http://").rpartition(":")
        head = f"POST /v1/models/{NAME}:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
        with socket.create_connection((host, int(port)), timeout=30) as held:
            held.sendall(head.encode() + b'{"')
            assert held.recv(4096).startswith(b"HTTP/1.1 504")
            # Not at once: it has half a second, too, in which a busy machine may not be done.
            until(lambda: post(where.rest, {"inputs": [1]}) == (200, {"outputs": [2.5]}))


def test_a_pair_of_surrogates_is_one_character(base):
    with start_in_thread(base, NAME) as url:
        body = b'{"signature_name": "echo", "inputs": ["\\ud83d\\ude00"]}'
        assert post(url, body)[1]["outputs"]["text"] == ["\U0001f600"]
        body = b'{"signature_name": "echo", "inputs": ["\\\\ud83d"]}'  # a backslash, no escape
        assert post(url, body)[1]["outputs"]["text"] == ["\\ud83d"]


def test_more_requests_than_the_server_takes_are_refused_at_once(base, gate):
    with serve_in_thread(base, NAME, max_in_flight=2, threads=1) as where:
        with ThreadPoolExecutor(3) as pool, gate:
            calls = [pool.submit(held, where.rest, gate) for _ in range(3)]
            refused = next(as_completed(calls)).result()
            gate.open()
            assert sorted(call.result()[0] for call in calls) == [200, 200, 503]
        assert refused == (503, {"error": "The server has too many requests at once."})


def test_messages_of_more_than_grpcs_usual_4_mb_come_and_go(base):
    with serve_in_thread(base, NAME) as where:
        limit = [("grpc.max_receive_message_length", 2**31 - 1)]
        with grpc.insecure_channel(where.grpc, options=limit) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            x = np.arange(2_000_000, dtype=np.float32)
            y = tf.make_ndarray(stub.Predict(predict_request("", x=x), 60).outputs["y"])
        np.testing.assert_array_equal(y, x / 2 + 2)


def test_every_type_that_json_lacks_or_has_goes_over_grpc(base):
    with serve_in_thread(base, NAME) as where, grpc.insecure_channel(where.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = predict_request("kinds", on=[True], n=np.uint8([200]))
        outputs = stub.Predict(request, 60).outputs
        found = {key: tf.make_ndarray(value) for key, value in outputs.items()}
        assert {key: value.dtype.name for key, value in found.items()} == {
            "on": "bool",
            "n": "uint8",
            "long": "int64",
            "double": "float64",
            "half": "float16",
        }
        assert found["long"][0] == 2**40 + 200 and found["half"][0] == 200
        echo = stub.Predict(predict_request("echo", image_bytes=[b"\0\xff"]), 60).outputs
        assert echo["text"].string_val == [b"\0\xff"]
        request.inputs["n"].tensor_content = b"too long for one"
        with pytest.raises(grpc.RpcError) as caught:
            stub.Predict(request, 60)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_metrics_move_and_go_with_the_monitoring_file(base, tmp_path):
    file = tmp_path / "monitoring.pbtxt"
    for text, found in (
        ('prometheus_config { enable: true path: "/figures" }', "/figures"),
        ("prometheus_config { enable: false }", None),
    ):
        file.write_text(text)
        with serve_in_thread(base, NAME, monitoring_config_file=str(file), grpc_port=-1) as where:
            for path in ("/figures", "/monitoring/prometheus/metrics"):
                status = httpx.get(where.rest + path, trust_env=False).status_code
                assert status == (200 if path == found else 404)


def test_the_health_service_says_serving_until_the_server_ends(base):
    settings = Settings(rest_port=0, grpc_port=0, drain_seconds=60)
    server = ModelServer(settings, one_model(NAME, base))
    server.start()
    with grpc.insecure_channel(server.addresses.grpc) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        states = health_pb2.HealthCheckResponse
        for service in ("", "tensorflow.serving.PredictionService"):
            request = health_pb2.HealthCheckRequest(service=service)
            assert stub.Check(request, 60).status == states.SERVING
        watched = stub.Watch(health_pb2.HealthCheckRequest(), timeout=60)
        assert next(watched).status == states.SERVING
        ending = threading.Thread(target=server.stop)
        ending.start()
        assert next(watched).status == states.NOT_SERVING
        watched.cancel()  # or the server waits for it
        ending.join()
    server.metrics.page()


def test_the_health_service_answers_though_all_threads_compute(base, gate):
    with (
        serve_in_thread(base, NAME, threads=1) as where,
        grpc.insecure_channel(where.grpc) as channel,
        gate,
    ):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        slow = stub.Predict.future(held_request(gate), 300)
        until(lambda: gate.begun)
        request = health_pb2.HealthCheckRequest()
        found = health_pb2_grpc.HealthStub(channel).Check(request, 60)
        assert found.status == health_pb2.HealthCheckResponse.SERVING and not slow.done()
        gate.open()
        assert list(slow.result().outputs["gate"].string_val) == [str(gate.path).encode()]


def test_a_server_whose_model_does_not_come_to_an_end_says_so_when_it_stops(base, gate):
    settings = Settings(rest_port=0, grpc_port=-1, drain_seconds=0.2, rest_timeout_ms=100)
    server = ModelServer(settings, one_model(NAME, base))
    server.start()
    with gate:
        assert held(server.addresses.rest, gate)[0] == 504
        assert not server.stop()
    server._release()


@pytest.mark.parametrize("flag", ["rest_port", "grpc_port"])
def test_a_taken_port_is_named_with_the_flag_to_change(base, flag):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = {"rest_port": 0, "grpc_port": 0, flag: taken.getsockname()[1]}
        with pytest.raises(OSError, match=f"--{flag.replace('_', '-')}"):
            ModelServer(Settings(**ports), one_model(NAME, base))


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["--model-base", "x", "--model-config-file", "y"],
        ["--model-base", "x", "--rest-port", "70000"],
        ["--model-base", "x", "--max-body-mb", "0"],
    ],
)
def test_wrong_usage_of_serve_exits_2(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["serve", *argv])
    assert caught.value.code == 2 and capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--model-base", "{}"], "dfdetect export"),
        (["--model-config-file", "{}/none"], "No such file"),
        (["--model-base", "{}", "--batching-parameters-file", "{}/bad"], "not a BatchingParam"),
    ],
)
def test_what_cannot_be_served_exits_1_and_says_why(tmp_path, argv, text, capsys, monkeypatch):
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    (tmp_path / "bad").write_text("{")
    argv = [part.replace("{}", str(tmp_path)) for part in argv]
    assert main(["serve", *argv, "--rest-port", "0", "--grpc-port", "0"]) == 1
    assert text in capsys.readouterr().err


def tgkill(pid, thread, number):
    assert ctypes.CDLL(None).tgkill(pid, thread, number) == 0


def other_thread(pid):
    return next(thread for n in os.listdir(f"/proc/{pid}/task") if (thread := int(n)) != pid)


def refuses(url):
    """Whether nobody listens there any more."""
    try:
        httpx.get(url, trust_env=False, timeout=60)
    except httpx.ConnectError:
        return True
    except httpx.TransportError:  # it was taken as the server stopped to listen
        pass
    return False


@pytest.mark.parametrize(
    "thread",
    [pytest.param(lambda pid: pid, marks=pytest.mark.slow), other_thread],
    ids=["main", "other"],
)
def test_on_sigterm_the_command_answers_what_it_has_taken_and_exits_0(
    half_plus_two, tmp_path, thread
):
    gates = [Gate(tmp_path / name) for name in ("rest", "grpc")]
    process = subprocess.Popen(
        [sys.executable, "-m", "dfdetect", "serve", "--model-base", str(half_plus_two / NAME / "1")]
        + ["--model-name", NAME, "--rest-port", "0", "--grpc-port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ,
    )
    try:
        line = process.stdout.readline()
        url = line.split()[2].removesuffix("/v1/models,")
        address = line.split()[-1]
        with (
            ThreadPoolExecutor(2) as pool,
            grpc.insecure_channel(address) as channel,
            gates[0],
            gates[1],
        ):
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            slow = pool.submit(held, url, gates[0])
            other = pool.submit(stub.Predict, held_request(gates[1]), 300)
            until(lambda: all(gate.begun for gate in gates))
            tgkill(process.pid, thread(process.pid), signal.SIGTERM)
            until(lambda: refuses(url))
            for gate in gates:
                gate.open()
            assert slow.result() == (200, {"outputs": [str(gates[0].path)]})
            assert list(other.result().outputs["gate"].string_val) == [str(gates[1].path).encode()]
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    finally:
        process.kill()
        process.communicate()
    assert refuses(url)


# A detector through the server.


@pytest.fixture(scope="module")
def detector(exported):
    with serve_in_thread(exported.parent) as where:
        yield where


@pytest.fixture(scope="module")
def clips(sample_shards):
    return [clip.images for _, clip in read_clips(sample_shards, "test")]


def b64(clip):
    return [{"b64": base64.b64encode(image).decode()} for image in clip]


def ask(where, body):
    return post(where.rest, body, "/v1/models/dfdetect:predict")


def test_a_detector_gives_the_same_numbers_in_rows_columns_and_over_grpc(detector, clips):
    status, columns = ask(detector, {"inputs": {"frames": [b64(c) for c in clips[:2]]}})
    assert status == 200
    expected = columns["outputs"]["probability_fake"]
    assert {"probability_fake", "logit", "frame_probability"} <= set(columns["outputs"])
    assert ask(detector, {"inputs": [b64(c) for c in clips[:2]]})[1] == columns
    for instances in ([{"frames": b64(c)} for c in clips[:2]], [b64(c) for c in clips[:2]]):
        rows = ask(detector, {"instances": instances})[1]["predictions"]
        assert [row["probability_fake"] for row in rows] == expected
    request = predict_request("", frames=[list(c) for c in clips[:2]])
    request.model_spec.name = "dfdetect"
    with grpc.insecure_channel(detector.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        outputs = stub.Predict(request, 60).outputs
    assert list(outputs["probability_fake"].float_val) == pytest.approx(expected, abs=1e-7)


def test_every_signature_gives_the_same_probability(detector, exported_model, sample_shards, clips):
    import cv2

    crops = [
        [cv2.imdecode(np.frombuffer(i, np.uint8), cv2.IMREAD_COLOR)[..., ::-1] for i in clip]
        for clip in clips[:1]
    ]
    inputs = {"clips": np.array(crops).tolist(), "mask": [[True] * len(crops[0])]}
    tensors = ask(detector, {"signature_name": "tensors", "inputs": inputs})[1]["outputs"]
    shard = sorted(sample_shards.glob("test-*.tfrecord"))[0]
    record = next(iter(tf.data.TFRecordDataset(str(shard)).take(1))).numpy()
    encoded = {"b64": base64.b64encode(record).decode()}
    examples = ask(detector, {"signature_name": "examples", "inputs": [encoded]})[1]["outputs"]
    expected = exported_model.predict(clips[:1])[0].probability_fake
    # OpenCV and TensorFlow may round a decoded pixel differently.
    assert tensors["probability_fake"][0] == pytest.approx(expected, abs=5e-3)
    assert examples["probability_fake"][0] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([{"b64": base64.b64encode(b"no image").decode()}] * 4, "image"),
        ([{"b64": ""}] * 5, "more frames than the 4 of this model"),
    ],
)
def test_what_a_detector_refuses_gets_status_400_and_its_reason(detector, frames, message):
    status, answer = ask(detector, {"inputs": [frames]})
    assert status == 400 and set(answer) == {"error"}
    assert message in answer["error"].lower()


def test_a_detector_answers_callers_together_as_it_answers_them_alone(
    exported, exported_model, clips, tmp_path
):
    file = tmp_path / "batching.pbtxt"
    file.write_text(
        "max_batch_size { value: 4 } batch_timeout_micros { value: 600000000 } "
        "num_batch_threads { value: 1 }"
    )
    alone = [exported_model.predict([clip])[0].probability_fake for clip in clips[:4]]
    with serve_in_thread(exported.parent, batching_parameters_file=str(file)) as where:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda clip: ask(where, {"inputs": [b64(clip)]}), clips[:4]))
        page = httpx.get(f"{where.rest}/monitoring/prometheus/metrics", trust_env=False).text
    together = [answer["outputs"]["probability_fake"][0] for _, answer in found]
    assert together == pytest.approx(alone, abs=1e-5)
    assert ":batching_session:wrapped_run_count{} 1" in page


def test_the_server_is_embedded_by_the_url_of_a_folder_or_of_one_version(exported):
    for folder in (exported, exported.parent):
        with start_in_thread(folder) as url:
            answer = httpx.get(f"{url}/v1/models/dfdetect", trust_env=False).json()
            assert answer["model_version_status"][0]["version"] == "1"
