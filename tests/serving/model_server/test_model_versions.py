"""The life of a model's versions: found, loaded, served, replaced, removed; never a gap."""

import contextlib
import shutil
import threading
import time

import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

from pipelines.model_contract import numbered_versions
from serving.model_server.config_files import read_models
from serving.model_server.server import ModelServer, serve_in_thread
from serving.model_server.settings import Settings
from serving.model_server.status import StatusError
from serving.model_server.version_policy import choose, one_model
from tests.fixtures import serving_models

NAME = serving_models.NAME
FAST = {"file_system_poll_wait_seconds": 0.05, "load_retry_interval_seconds": 0.1}


@pytest.fixture
def base(half_plus_two, tmp_path):
    """A base folder with version 1."""
    shutil.copytree(half_plus_two / NAME / "2", tmp_path / NAME / "1")
    return tmp_path / NAME


def add(half_plus_two, base, version, kept="1"):
    """A version as `export` adds it: written elsewhere, then renamed."""
    shutil.copytree(half_plus_two / NAME / kept, base / f"temp-{version}")
    (base / f"temp-{version}").rename(base / str(version))


@pytest.fixture
def http():
    with httpx.Client(trust_env=False, timeout=30) as client:
        yield client


def states(http, url, name=NAME):
    answer = http.get(f"{url}/v1/models/{name}").json()
    return {int(v["version"]): v["state"] for v in answer["model_version_status"]}


def until(condition):
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@contextlib.contextmanager
def asking(url):
    """Asks without a pause while the context lasts; the answers."""
    answers, ending = [], threading.Event()

    def ask():
        with httpx.Client(trust_env=False, timeout=30) as client:
            while not ending.is_set():
                response = client.post(f"{url}/v1/models/{NAME}:predict", json={"inputs": [1]})
                answers.append((response.status_code, response.json().get("outputs")))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        ending.set()
        for thread in threads:
            thread.join()


def test_a_new_version_takes_over_and_a_removed_one_is_left_without_a_failed_request(
    half_plus_two, base, http
):
    with serve_in_thread(base, NAME, **FAST) as where, asking(where.rest) as answers:
        until(lambda: len(answers) > 20)
        add(half_plus_two, base, 2)
        until(lambda: states(http, where.rest) == {1: "END", 2: "AVAILABLE"})
        until(lambda: answers[-1][1] == [2.5])
        shutil.rmtree(base / "2")
        until(lambda: states(http, where.rest) == {1: "AVAILABLE", 2: "END"})
        until(lambda: answers[-1][1] == [3.5])
    assert {status for status, _ in answers} == {200}
    assert {tuple(outputs) for _, outputs in answers} == {(3.5,), (2.5,)}


def test_a_version_is_unloaded_only_after_the_last_request_that_uses_it(half_plus_two, base, http):
    settings = Settings(**FAST, rest_port=0, grpc_port=-1, drain_seconds=60)
    server = ModelServer(settings, one_model(NAME, base))
    server.start()
    url = server.addresses.rest
    with server.models.use(NAME) as servable:
        add(half_plus_two, base, 2)
        until(lambda: states(http, url) == {1: "UNLOADING", 2: "AVAILABLE"})
        assert servable.run("serving_default", {"x": np.float32([1])})["y"].tolist() == [3.5]
        assert post(http, url, {"inputs": [1]}) == (200, {"outputs": [2.5]})
    assert states(http, url) == {1: "END", 2: "AVAILABLE"}
    assert server.stop()


def post(http, url, body, path=f"/v1/models/{NAME}:predict"):
    response = http.post(url + path, json=body)
    return response.status_code, response.json()


def warmup(folder, *requests):
    (folder / "assets.extra").mkdir()
    with tf.io.TFRecordWriter(str(folder / "assets.extra" / "tf_serving_warmup_requests")) as file:
        for request in requests:
            log = prediction_log_pb2.PredictLog(request=request)
            file.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())


def request(signature, x):
    found = predict_pb2.PredictRequest()
    found.model_spec.signature_name = signature
    found.inputs["x"].CopyFrom(tf.make_tensor_proto([x]))
    return found


def break_graph(folder):
    (folder / "saved_model.pb").write_bytes(b"no graph")


def break_variables(folder):
    shutil.rmtree(folder / "variables")


def break_warmup(folder):
    warmup(folder, request("root", 4.0), request("root", -1.0))


def no_warmup(folder):
    (folder / "assets.extra").mkdir()
    with tf.io.TFRecordWriter(str(folder / "assets.extra" / "tf_serving_warmup_requests")) as file:
        file.write(b"\xff\xff")


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (break_graph, "saved_model.pb"),
        (break_variables, "variables"),
        (break_warmup, "No root of a negative number"),
        (no_warmup, "Failed to parse warmup record"),
        (lambda folder: (folder / "saved_model.pb").unlink(), "holds no saved_model.pb"),
    ],
)
def test_a_broken_version_leaves_the_old_one_serving_and_shows_in_the_status(
    half_plus_two, base, http, spoil, text
):
    shutil.copytree(half_plus_two / NAME / "1", base / "temp")
    spoil(base / "temp")
    with serve_in_thread(base, NAME, **FAST, max_num_load_retries=0) as where:
        (base / "temp").rename(base / "2")
        until(lambda: states(http, where.rest).get(2) == "END")
        answer = http.get(f"{where.rest}/v1/models/{NAME}/versions/2").json()
        status = answer["model_version_status"][0]["status"]
        assert status["error_code"] != "OK" and text in status["error_message"]
        assert states(http, where.rest)[1] == "AVAILABLE"
        assert post(http, where.rest, {"inputs": [1]}) == (200, {"outputs": [3.5]})
        page = http.get(f"{where.rest}/monitoring/prometheus/metrics").text
        path = base.resolve() / "2"
        assert f'load_attempt_count{{model_path="{path}",status="fail"}} 1' in page


def test_a_version_that_failed_is_tried_again(half_plus_two, base, http):
    shutil.copytree(half_plus_two / NAME / "1", base / "temp")
    graph = (base / "temp" / "saved_model.pb").read_bytes()
    (base / "temp" / "saved_model.pb").unlink()
    with serve_in_thread(base, NAME, **FAST, max_num_load_retries=1000) as where:
        (base / "temp").rename(base / "2")
        until(lambda: states(http, where.rest).get(2) == "END")
        (base / "2" / "saved_model.pb").write_bytes(graph)
        until(lambda: states(http, where.rest).get(2) == "AVAILABLE")


def test_a_model_without_a_version_that_serves_does_not_start(base, tmp_path):
    break_graph(base / "1")
    with pytest.raises(StatusError, match="half_plus_two version 1"):
        with serve_in_thread(base, NAME):
            raise AssertionError
    (tmp_path / "empty" / "temp-1").mkdir(parents=True)
    with pytest.raises(StatusError, match="dfdetect export"):
        with serve_in_thread(tmp_path / "empty", NAME):
            raise AssertionError


def test_versions_are_folders_with_numbers_the_highest_first(tmp_path, half_plus_two):
    for name in ("2", "10", "007", "temp-11", "1.5", str(2**63), "٣"):
        (tmp_path / name).mkdir()
    (tmp_path / "12").write_text("a file")
    assert list(numbered_versions(tmp_path)) == [10, 7, 2]
    assert list(numbered_versions(half_plus_two / NAME / "2")) == [2]
    found = numbered_versions(tmp_path)

    def chosen(**policy):
        config = model_server_config_pb2.ModelConfig(model_version_policy=policy)
        return list(choose(config.model_version_policy, found))

    assert chosen() == [10] and chosen(latest={"num_versions": 2}) == [10, 7]
    assert chosen(all={}) == [10, 7, 2] and chosen(specific={"versions": [2, 5]}) == [2]


CONFIG = """
model_config_list { config {
  name: "%s" base_path: "%s" model_platform: "tensorflow" %s
} }
"""
ALL = "model_version_policy { all {} }"


def test_labels_point_only_at_versions_that_answer_and_move_without_a_gap(
    half_plus_two, base, tmp_path, http
):
    add(half_plus_two, base, 2)
    file = tmp_path / "models.config"
    stable = 'version_labels { key: "stable" value: %d }'
    file.write_text(CONFIG % (NAME, base, ALL + stable % 1))
    settings = {**FAST, "rest_port": 0, "grpc_port": 0, "drain_seconds": 60}
    with pytest.raises(StatusError, match="Request to assign label to version 1"):
        ModelServer(Settings(**settings), read_models(file)).start()
    settings |= {
        "allow_version_labels_for_unavailable_models": True,
        "model_config_file": str(file),
        "model_config_file_poll_wait_seconds": 0.05,
    }
    server = ModelServer(Settings(**settings), read_models(file))
    server.start()
    try:
        path = f"{server.addresses.rest}/v1/models/{NAME}/labels/stable:predict"

        def answer():
            return http.post(path, json={"inputs": [1]}).json()

        assert answer() == {"outputs": [3.5]}
        file.write_text(CONFIG % (NAME, base, ALL + stable % 2))
        until(lambda: answer() == {"outputs": [2.5]})
        # The first says nothing, the second is refused: all stays as it is.
        for text in ("", CONFIG % (NAME, base, ALL + stable % 9)):
            file.write_text(text)
            time.sleep(0.3)
            assert answer() == {"outputs": [2.5]}
    finally:
        assert server.stop()


def test_a_reload_adds_and_removes_models_and_new_ones_answer_when_it_returns(
    half_plus_two, base, http
):
    with (
        serve_in_thread(base, NAME, **FAST) as where,
        grpc.insecure_channel(where.grpc) as channel,
    ):
        stub = model_service_pb2_grpc.ModelServiceStub(channel)

        def reload(**models):
            request = model_management_pb2.ReloadConfigRequest()
            for name, path in models.items():
                request.config.model_config_list.config.add(
                    name=name, base_path=str(path), model_platform="tensorflow"
                )
            return stub.HandleReloadConfigRequest(request, 30)

        assert reload(other=half_plus_two / NAME).status.error_code == 0
        assert states(http, where.rest, "other") == {2: "AVAILABLE"}
        until(lambda: states(http, where.rest) == {1: "END"})
        assert post(http, where.rest, {"inputs": [1]})[0] == 404
        for bad, code in (
            ({"a": "relative"}, grpc.StatusCode.INVALID_ARGUMENT),
            ({"a": base / "none"}, grpc.StatusCode.NOT_FOUND),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                reload(other=half_plus_two / NAME, **bad)
            assert caught.value.code() == code
        assert states(http, where.rest, "other") == {2: "AVAILABLE"}


def test_a_base_folder_that_is_away_for_a_moment_changes_nothing(base, http, caplog):
    with serve_in_thread(base, NAME, **FAST) as where:
        base.rename(base.with_name("away"))
        until(lambda: "cannot look for versions" in caplog.text)
        assert states(http, where.rest) == {1: "AVAILABLE"}
        base.with_name("away").rename(base)
