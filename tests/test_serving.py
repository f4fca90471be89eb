"""The local model server: the protocol of TensorFlow Serving over real HTTP."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys

import httpx
import numpy as np
import pytest

from pipelines.inspect import read_clips
from serving import local_server
from serving.client import RestClient


@pytest.fixture(scope="module")
def url(exported):
    with local_server.start_in_thread(exported.parent) as address:
        yield address


@pytest.fixture(scope="module")
def client(url):
    with RestClient(url) as model:
        model.wait_ready(5)
        yield model


@pytest.fixture(scope="module")
def clips(sample_shards):
    return [clip.images for _, clip in read_clips(sample_shards, "test")]


def post(url, body, path="/v1/models/dfdetect:predict"):
    content = body if isinstance(body, bytes) else json.dumps(body)
    response = httpx.post(url + path, content=content, trust_env=False)
    return response.status_code, response.json()


def b64(clip):
    return [{"b64": base64.b64encode(image).decode()} for image in clip]


def test_the_status_says_available_in_tensorflow_servings_words(url):
    body = httpx.get(f"{url}/v1/models/dfdetect", trust_env=False).json()
    assert body == {
        "model_version_status": [
            {
                "version": "1",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }


def test_metadata_lists_the_signatures(url):
    body = httpx.get(f"{url}/v1/models/dfdetect/metadata", trust_env=False).json()
    signatures = body["metadata"]["signature_def"]
    assert {"serving_default", "tensors", "examples", "config"} <= set(signatures)
    assert signatures["serving_default"]["inputs"]["frames"]["dtype"] == "string"


def test_row_and_column_format_give_the_same_numbers(url, clips):
    status, columns = post(url, {"inputs": {"frames": [b64(c) for c in clips[:2]]}})
    assert status == 200
    bare = post(url, {"inputs": [b64(c) for c in clips[:2]]})[1]
    named = post(url, {"instances": [{"frames": b64(c)} for c in clips[:2]]})[1]
    rows = post(url, {"instances": [b64(c) for c in clips[:2]]})[1]
    expected = columns["outputs"]["probability_fake"]
    assert bare == columns and named == rows
    assert [row["probability_fake"] for row in rows["predictions"]] == expected
    assert set(columns["outputs"]) == {"probability_fake", "logit", "frame_probability"}


def test_every_signature_gives_the_same_probability(url, client, sample_shards, clips):
    import cv2
    import tensorflow as tf

    crops = [
        [cv2.imdecode(np.frombuffer(i, np.uint8), cv2.IMREAD_COLOR)[..., ::-1] for i in clip]
        for clip in clips[:1]
    ]
    inputs = {"clips": np.array(crops).tolist(), "mask": [[True] * len(clips[0])]}
    tensors = post(url, {"signature_name": "tensors", "inputs": inputs})[1]["outputs"]
    files = sorted(str(p) for p in sample_shards.glob("test-*.tfrecord"))
    record = next(tf.data.TFRecordDataset(files).as_numpy_iterator())
    encoded = {"b64": base64.b64encode(record).decode()}
    examples = post(url, {"signature_name": "examples", "inputs": [encoded]})[1]["outputs"]
    expected = client.predict(clips[:1])[0].probability_fake
    # OpenCV and TensorFlow may round a decoded pixel differently.
    assert tensors["probability_fake"][0] == pytest.approx(expected, abs=5e-3)
    assert examples["probability_fake"][0] == pytest.approx(expected, abs=1e-5)


FRAME = {"b64": ""}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "JSON Parse error"),
        ([], "either 'instances' or 'inputs'"),
        ({}, "either 'instances' or 'inputs'"),
        ({"instances": [[FRAME]], "inputs": [[FRAME]]}, "either 'instances' or 'inputs'"),
        ({"instances": []}, "not empty"),
        ({"instances": [[FRAME]], "colour": 1}, "Unknown keys"),
        ({"inputs": {"images": [[FRAME]]}}, "expected the keys"),
        ({"inputs": [[3]]}, "not a string tensor"),
        ({"inputs": [FRAME]}, "expected"),
        ({"inputs": [[{"b64": "*"}]]}, "bad base64"),
        ({"inputs": [[{"b32": "AA"}]]}, "only {'b64': ...} is one"),
        ({"signature_name": "guess", "inputs": [[FRAME]]}, "No signature 'guess'"),
        ({"signature_name": "tensors", "instances": [{"clips": []}]}, "the keys ['clips', 'mask']"),
        ({"inputs": [[{"b64": base64.b64encode(b"no image").decode()}] * 4]}, "image"),
        ({"inputs": [[[FRAME]]]}, "shape (1, 1, 1), expected (None, None)"),
        ({"inputs": [[FRAME] * 5]}, "more frames than the 4 of this model"),
    ],
)
def test_a_bad_request_gets_status_400_and_the_reason(url, body, message):
    status, answer = post(url, body)
    assert status == 400 and set(answer) == {"error"}
    assert message.lower() in answer["error"].lower()


@pytest.mark.parametrize("path", ["/v1/models/other", "/v1/models/dfdetect/versions/7"])
def test_an_unknown_model_or_version_gets_status_404(url, path):
    assert httpx.get(url + path, trust_env=False).status_code == 404
    status, answer = post(url, {"inputs": [[FRAME]]}, f"{path}:predict")
    assert status == 404 and "not found" in answer["error"]


def test_a_missing_model_is_named_with_what_to_do(tmp_path, capsys):
    assert local_server.main(["--model-base", str(tmp_path)]) == 1
    assert "dfdetect export" in capsys.readouterr().err


def test_a_taken_port_is_named(exported, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        argv = ["--model-base", str(exported.parent), "--rest-port", port]
        assert local_server.main(argv) == 1
    assert "--rest-port" in capsys.readouterr().err


def test_the_serve_command_answers_and_ends_on_sigterm(exported):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "serving.local_server", "--rest-port", str(port)]
    process = subprocess.Popen(
        [*command, "--model-base", str(exported.parent.parent)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ,
    )
    try:
        with RestClient(f"http://127.0.0.1:{port}") as model:
            model.wait_ready(60)
            assert model.config().preprocess.crop_size == 48
    finally:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=20)
    assert f":{port}/v1/models/dfdetect" in out.decode()
