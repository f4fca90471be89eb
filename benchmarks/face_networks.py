"""MTCNN's three networks by TensorFlow, as they run, against OpenVINO and ONNX Runtime.

python benchmarks/face_networks.py [--rounds 9]

Core-seconds (process time) of a call by one thread, in turn: of P-Net a frame of 640x360 px at half
of its size, of the other two 64 patches. Also by how much the scores differ from TensorFlow's, and
whether each engine's own are the same to the last bit with one thread and with two.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402

from benchmarks.turns import ratio  # noqa: E402
from pipelines.tensorflow_settings import compute_reproducibly  # noqa: E402

INPUTS = {"_p": (1, 180, 320), "_r": (64, 24, 24), "_o": (64, 48, 48)}  # N, h, w
Call = Callable[[np.ndarray], list[np.ndarray]]


def tensorflow_call(network) -> Call:
    return lambda images: [output.numpy() for output in network(images)[0]]


def frozen(network, shape: tuple[int, ...]):
    """The network as a GraphDef for pictures of this shape, with the names of its outputs."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    function = tf.function(network._outputs, input_signature=[tf.TensorSpec(shape, tf.uint8)])
    constant = convert_variables_to_constants_v2(function.get_concrete_function())
    return (
        constant.graph.as_graph_def(),
        constant.inputs[0].name,
        [tensor.name for tensor in constant.outputs],
    )


def openvino_call(graph, outputs: list[str], threads: int, folder: str) -> Call:
    from pipelines.inference_engines import import_openvino

    ov = import_openvino()
    path = Path(folder, "frozen.pb")
    path.write_bytes(graph.SerializeToString())
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    model = ov.Core().compile_model(ov.Core().read_model(path), "CPU", settings)
    ports = {name: port for port in model.outputs for name in port.get_names()}

    def call(images: np.ndarray) -> list[np.ndarray]:
        found = model([images])
        return [found[ports[name]] for name in outputs]

    return call


def onnx_call(graph, given: str, outputs: list[str], threads: int) -> Call:
    import onnxruntime
    import tf2onnx

    model, _ = tf2onnx.convert.from_graph_def(
        graph, input_names=[given], output_names=outputs, opset=18
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda images: session.run(outputs, {given: images})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    compute_reproducibly()
    from pipelines.faces.detect import MtcnnDetector

    detector = MtcnnDetector(threads=1)
    for name, shape in INPUTS.items():
        network = getattr(detector, name)
        images = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
        graph, given, outputs = frozen(network, images.shape)
        with tempfile.TemporaryDirectory() as folder:
            calls = {
                "tensorflow": tensorflow_call(network),
                "openvino": openvino_call(graph, outputs, 1, folder),
                "onnx": onnx_call(graph, given, outputs, 1),
            }
            two = {
                "openvino": openvino_call(graph, outputs, 2, folder),
                "onnx": onnx_call(graph, given, outputs, 2),
            }
        samples = in_turn(calls, images, rounds)
        expected = calls["tensorflow"](images)[-1]
        for engine, seconds in samples.items():
            scores = calls[engine](images)[-1]
            line = f"{type(network).__name__:12} {engine:10} "
            line += f"{statistics.median(seconds) * 1e3:7.2f} ms of a core, "
            line += f"{ratio(samples['tensorflow'], seconds)} times as fast; "
            line += f"scores differ by up to {np.abs(scores - expected).max():.1g}"
            if engine in two:
                same = np.array_equal(two[engine](images)[-1], scores)
                line += f"; {'the same' if same else 'others'} with two threads"
            print(line, flush=True)


def in_turn(calls: dict[str, Call], images: np.ndarray, rounds: int) -> dict[str, list[float]]:
    """Core-seconds of a call of each, round by round, after two that do not count."""
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 2):
        for name, call in calls.items():
            started = time.process_time()
            call(images)
            if number >= 2:
                samples[name].append(time.process_time() - started)
    return samples


if __name__ == "__main__":
    main()
