"""Small requests beside clips: how long they take over REST, over gRPC in the same run.

python benchmarks/small_requests.py [--callers 16] [--seconds 10] [--rounds 3]

Callers send clips of 16 frames of 224 px over REST, each as soon as it has its answer, to a model
that decodes them and takes their mean; more callers than the server has threads. Beside them one
caller asks for half of two numbers over REST, one over gRPC, and one for a model's status over
REST, every 10 ms. The ratio of the first two says what small requests wait for that are in one
queue with clips. The server is a process of its own on this machine.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import grpc  # noqa: E402
import httpx  # noqa: E402
import tensorflow as tf  # noqa: E402
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc  # noqa: E402

from benchmarks.served import Served, serving  # noqa: E402
from benchmarks.serving import make_clip  # noqa: E402

MODEL = """config {{ name: "{0}" base_path: "{1}/{0}" model_platform: "tensorflow" }}"""
PAUSE_S = 0.01


class Brightness(tf.Module):
    """Frames (clips, frames) of JPEG bytes -> their mean brightness, from 0 to 1."""

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.string, name="frames")])
    def of_clips(self, frames: tf.Tensor) -> dict[str, tf.Tensor]:
        def mean(jpeg: tf.Tensor) -> tf.Tensor:
            return tf.reduce_mean(tf.image.convert_image_dtype(tf.io.decode_jpeg(jpeg), tf.float32))

        means = tf.map_fn(mean, tf.reshape(frames, [-1]), fn_output_signature=tf.float32)
        return {"mean": tf.reduce_mean(tf.reshape(means, tf.shape(frames)), axis=1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def half(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": x / 2}


@contextlib.contextmanager
def serving_both() -> Iterator[Served]:
    """A server with the models `clips` and `half`."""
    with tempfile.TemporaryDirectory() as name:
        model = Brightness()
        for key, function in (("clips", model.of_clips), ("half", model.half)):
            tf.saved_model.save(model, f"{name}/{key}/1", {"serving_default": function})
        models = " ".join(MODEL.format(key, name) for key in ("clips", "half"))
        config = Path(name) / "models.config"
        config.write_text(f"model_config_list {{ {models} }}")
        with serving("--model-config-file", str(config)) as served:
            yield served


def measure(url: str, address: str, callers: int, duration_s: float) -> dict[str, list[float]]:
    """Milliseconds of each small request by its kind, and one entry for each clip."""
    frames = [[{"b64": base64.b64encode(jpeg).decode()} for jpeg in make_clip(16, 224)]]
    clip = json.dumps({"inputs": {"frames": frames}}).encode()
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "half"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0, 2.0]))
    times: dict[str, list[float]] = {"REST": [], "gRPC": [], "status": [], "clips": []}
    end = time.monotonic() + duration_s

    def caller(kind: str, ask: Callable[[httpx.Client], object], pause_s: float) -> None:
        with httpx.Client(base_url=url, trust_env=False, timeout=600) as http:
            while time.monotonic() < end:
                started = time.perf_counter()
                ask(http)
                times[kind].append((time.perf_counter() - started) * 1e3)
                time.sleep(pause_s)

    def post(path: str, body: bytes) -> Callable[[httpx.Client], object]:
        return lambda http: http.post(path, content=body).raise_for_status()

    with grpc.insecure_channel(address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        stub.Predict(request, 600)
        arguments = [
            *[("clips", post("/v1/models/clips:predict", clip), 0.0)] * callers,
            ("REST", post("/v1/models/half:predict", b'{"inputs": [1, 2]}'), PAUSE_S),
            ("status", lambda http: http.get("/v1/models/half").raise_for_status(), PAUSE_S),
            ("gRPC", lambda http: stub.Predict(request, 600), PAUSE_S),
        ]
        threads = [threading.Thread(target=caller, args=one) for one in arguments]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--callers", type=int, default=16, help="that send clips")
    parser.add_argument("--seconds", type=float, default=10.0, help="of a round")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    ratios = []
    with serving_both() as served:
        for _ in range(args.rounds):
            times = measure(served.rest, served.grpc, args.callers, args.seconds)
            middle = {kind: statistics.median(values) for kind, values in times.items()}
            ratios.append(middle["REST"] / middle["gRPC"])
            print(
                f"{len(times['clips'])} clips; p50 {middle['REST']:.1f} ms over REST, "
                f"{middle['gRPC']:.1f} over gRPC, {middle['status']:.1f} for a status; "
                f"REST over gRPC {ratios[-1]:.2f}",
                flush=True,
            )
    print(f"REST over gRPC, median of the rounds: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
