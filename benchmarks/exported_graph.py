"""Inference time of the exported graph, ResNeXt-50 and LSTM, against bare Keras and PyTorch.

python benchmarks/exported_graph.py [--torch-python PYTHON] [--rounds 7] [--side 224]

One clip of 16 frames at 224 px, float32, two threads, one call of each program in turn; PyTorch in
inference mode with channels_last. PYTHON is an interpreter that has torch and torchvision (`make
test-torch` puts them into this project's environment); without it PyTorch is left out. Also: the
export in bfloat16 where the CPU computes in it, its size and the time to load it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
FRAMES, UNITS = 16, 256


def clips(side: int):
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, (1, FRAMES, side, side, 3), np.uint8)


def build(side: int):
    import keras

    from trainer.config import TrainConfig
    from trainer.model.detector import build_model

    keras.utils.set_random_seed(0)
    return build_model(TrainConfig(temporal_units=UNITS), side, FRAMES)


def write(folder: str, side: int, precision: str) -> None:
    from trainer.exporting.serving_model import Network
    from trainer.exporting.signatures import save

    save(folder, Network.of(build(side)).folded(precision), {"preprocess_json": ""}, 1.0)


def keras_call(side: int) -> Callable[[], None]:
    import tensorflow as tf

    model = build(side)
    graph = tf.function(lambda inputs: model(inputs, training=False))
    inputs = {"clips": tf.constant(clips(side)), "mask": tf.ones((1, FRAMES), tf.bool)}
    return lambda: graph(inputs)["logit"].numpy()


def exported_call(folder: str, side: int) -> Callable[[], None]:
    import tensorflow as tf

    loaded = tf.saved_model.load(folder)
    signature = loaded.signatures["tensors"]
    inputs = {"clips": tf.constant(clips(side)), "mask": tf.ones((1, FRAMES), tf.bool)}
    return lambda: (loaded, signature(**inputs)["logit"].numpy())[1]


def torch_call(side: int) -> Callable[[], None]:
    import torch

    from benchmarks.torch_detector import torch_inference

    torch.set_num_threads(2)
    run, pixels = torch_inference(UNITS), clips(side)
    return lambda: run(pixels)


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def worker(name: str, side: int, folder: str) -> None:
    from benchmarks.turns import answer

    if name == "load":
        import tensorflow as tf

        call = lambda: tf.saved_model.load(folder)  # noqa: E731
    elif name == "torch":
        call = torch_call(side)
    elif name == "keras":
        call = keras_call(side)
    else:
        call = exported_call(folder, side)
    answer(lambda: _timed(call))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch-python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        name, folder = args.worker
        worker(name, args.side, folder)
        return
    with tempfile.TemporaryDirectory() as temporary:
        measure(args, temporary)


def measure(args: argparse.Namespace, temporary: str) -> None:
    from benchmarks.turns import in_turn, ratio
    from trainer.training.devices import CPU_BFLOAT16, cpu_flags

    def program(name: str, folder: str = "", python: str = sys.executable):
        environment = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
        environment["TF_ENABLE_ONEDNN_OPTS"] = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1")
        command = [python, __file__, "--side", str(args.side), "--worker", name, folder]
        return command, environment

    precisions = ["float32"]
    if any(flag in cpu_flags() for flag in CPU_BFLOAT16):
        precisions.append("bfloat16")
    programs = {"keras": program("keras")}
    for precision in precisions:
        folder = f"{temporary}/{precision}"
        write(folder, args.side, precision)
        programs[precision] = program(precision, folder)
        size = sum(p.stat().st_size for p in Path(folder).rglob("*") if p.is_file()) / 1e6
        graph = (Path(folder) / "saved_model.pb").stat().st_size / 1e6
        loads = in_turn({"load": program("load", folder)}, rounds=2)["load"]
        print(
            f"{precision:9} {size:.0f} MB, of which the graph {graph:.1f} MB; loaded in "
            f"{statistics.median(loads):.1f} s"
        )
    if _has_torch(args.torch_python):
        programs["torch"] = program("torch", python=args.torch_python)
    samples = in_turn(programs, args.rounds, warmup=2)
    for name, values in samples.items():
        seconds = statistics.median(values)
        print(f"{name:9} {seconds:6.3f} s a clip  {FRAMES / seconds:5.1f} frames/s")
    print("times, more is better:")
    print("Keras / exported:", ratio(samples["keras"], samples["float32"]))
    if "torch" in samples:
        print("PyTorch / exported:", ratio(samples["torch"], samples["float32"]))
    else:
        print(f"PyTorch: not measured, {args.torch_python} has no torch")
    if "bfloat16" in samples:
        print("float32 / bfloat16:", ratio(samples["float32"], samples["bfloat16"]))
    else:
        print("float32 / bfloat16: not measured, this CPU computes no bfloat16")


def _has_torch(python: str) -> bool:
    return subprocess.run([python, "-c", "import torchvision"], capture_output=True).returncode == 0


if __name__ == "__main__":
    main()
