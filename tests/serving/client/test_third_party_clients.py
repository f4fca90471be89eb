"""Clients that others wrote for TensorFlow Serving get the right numbers from our server.

Each runs in an environment of its own, fetched from PyPI: their pins do not go with ours, and
min-tfs-client brings a `tensorflow` package of its own.
"""

import json
import subprocess
import sys

import pytest
import tensorflow as tf

from serving.model_server.config_files import read_models
from serving.model_server.server import ModelServer, serve_in_thread
from serving.model_server.settings import Settings

pytestmark = pytest.mark.slow

MIN_TFS_CLIENT = ("min-tfs-client==1.0.2", "protobuf==3.20.3", "numpy<2", "grpcio")
TF_SERVING = ("tf-serving==0.1.6",)

OVER_GRPC = """
import json, sys
import numpy as np
from min_tfs_client.requests import TensorServingClient
from min_tfs_client.tensors import tensor_proto_to_ndarray
host, port = sys.argv[1].split(":")
client = TensorServingClient(host, int(port))
x = {"x": np.array([1, 2, 5], np.float32)}
answers = [client.predict_request("half_plus_two", x, model_version=v) for v in (1, 2, None)]
print(json.dumps([tensor_proto_to_ndarray(a.outputs["y"]).tolist() for a in answers]))
try:
    client.predict_request("half_plus_two", x, model_version=9)
except Exception as error:
    print(error.code().name)
"""
OVER_REST = """
import asyncio, json, sys
from tf import serving
async def main():
    host, _, port = sys.argv[1].rpartition(":")
    images = [serving.encode64(b"a picture"), serving.encode64(b"and another")]
    where = {"host": host, "port": int(port)}
    found = await serving.predict.predict(images, endpoint="/v1/models/ocr:predict", **where)
    print(json.dumps([[image.preds, image.logprobs] for image in found.value]))
    refused = await serving.predict.predict(images, endpoint="/v1/models/no:predict", **where)
    print(refused.value.tag, refused.value.error)
asyncio.run(main())
"""


def ask(tmp_path, packages, program, address):
    """What the program prints, line by line."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    python = venv / "bin" / "python"
    install = [sys.executable, "-m", "uv", "pip", "install", "-q", "--python", python, *packages]
    fetched = subprocess.run(install, capture_output=True, text=True)
    if fetched.returncode:
        pytest.skip(f"{packages[0]} cannot be fetched: {fetched.stderr[-300:]}")
    command = [python, "-I", "-c", program, address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_min_tfs_client_gets_the_same_numbers_over_grpc(tmp_path, half_plus_two):
    settings = Settings(
        rest_port=0, grpc_port=0, allow_version_labels_for_unavailable_models=True, drain_seconds=60
    )
    server = ModelServer(settings, read_models(half_plus_two / "models.config"))
    server.start()
    try:
        lines = ask(tmp_path, MIN_TFS_CLIENT, OVER_GRPC, server.addresses.grpc)
    finally:
        server.stop()
    first, second = [2.5, 3.0, 4.5], [3.5, 4.0, 5.5]
    assert json.loads(lines[0]) == [first, second, second] and lines[1] == "NOT_FOUND"


class Reader(tf.Module):
    """What tf-serving, a client for reading text in pictures, expects of a model."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="images")])
    def read(self, images):
        pictures = tf.io.decode_base64(images)
        sizes = tf.cast(tf.strings.length(pictures), tf.float32)
        return {
            "preds": tf.stack([pictures, tf.strings.upper(pictures)], axis=1),
            "logprobs": tf.stack([-sizes, -2 * sizes], axis=1),
        }


def test_tf_serving_gets_the_same_numbers_over_rest(tmp_path):
    model = Reader()
    tf.saved_model.save(model, str(tmp_path / "ocr" / "1"), {"serving_default": model.read})
    with serve_in_thread(tmp_path / "ocr", "ocr") as where:
        lines = ask(tmp_path, TF_SERVING, OVER_REST, where.rest)
    assert json.loads(lines[0]) == [
        [["a picture", "A PICTURE"], [-9.0, -18.0]],
        [["and another", "AND ANOTHER"], [-11.0, -22.0]],
    ]
    assert lines[1] == "tfserving-error Servable not found for request: Latest(no)"
