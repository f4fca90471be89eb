"""Frames a second of an exported model by TensorFlow, OpenVINO, ONNX Runtime, and by PyTorch.

python benchmarks/exported_engines.py [--backbone NAME ...] [--clips 1 6] [--rounds 7] [--side 224]
    [--core-seconds] [--only NAME ...]

Detectors with random weights and an LSTM, as `dfdetect export` writes them in each precision; clips
of 16 frames of noise as pixels, so that decoding crops is no part of it. Each is a process with all
cores; they are asked in turn. What is not installed is left out, and PyTorch, in eval and inference
mode, for any backbone but resnext50_32x4d. --core-seconds counts process time in place of the
clock: what a frame costs, whatever else the machine does.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
FRAMES, UNITS = 16, 256
TENSORFLOW, TORCH = "saved-model", "torch"
TORCH_BACKBONE = "resnext50_32x4d"

Run = Callable[[np.ndarray, np.ndarray], object]  # clips and mask, as of InferenceEngine


def noise(clips: int, side: int) -> dict[str, np.ndarray]:
    shape = (clips, FRAMES, side, side, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return {"clips": pixels, "mask": np.ones((clips, FRAMES), bool)}


def write(backbone: str, side: int, folder: Path, only: list[str]) -> Iterator[str]:
    """Writes the model in each format and precision that can be here, as `folder`/NAME -> NAME:
    FORMAT-PRECISION."""
    import keras

    from pipelines.inference_engines import InferenceEngineError
    from pipelines.model_contract import ENGINE_PRECISIONS
    from trainer.config import TrainConfig
    from trainer.exporting.inference_engines import EXPORTS
    from trainer.exporting.portable import tensors_function
    from trainer.exporting.serving_model import Network
    from trainer.exporting.signatures import save
    from trainer.model.detector import build_model

    keras.utils.set_random_seed(0)
    config = TrainConfig(backbone=backbone, temporal_units=UNITS)
    network = Network.of(build_model(config, side, FRAMES))
    for precision in ("float32", "bfloat16"):
        if not only or f"{TENSORFLOW}-{precision}" in only:
            place = folder / f"{TENSORFLOW}-{precision}"
            save(place, network.folded(precision), {"preprocess_json": ""}, 1.0)
            yield place.name
    plain = Path(folder, "plain")
    for format, export in EXPORTS.items():
        for precision in ENGINE_PRECISIONS[format]:
            place = folder / f"{format}-{precision}"
            if only and place.name not in only:
                continue
            place.mkdir()
            try:
                export.require(format, precision)
                if precision == "int8":
                    plain.mkdir(exist_ok=True)
                    export.write(tensors_function(network, 1.0), plain)
                    export.quantise(plain, place, [noise(1, side)])
                else:
                    export.write(tensors_function(network, 1.0), place)
            except InferenceEngineError as error:
                print(f"{place.name}: left out. {error}")
                continue
            yield place.name


def opened(place: Path) -> Run:
    """What `write` wrote there, or PyTorch's model, ready to run."""
    format, _, precision = place.name.rpartition("-")
    if place.name == TORCH:
        from benchmarks.torch_detector import torch_inference

        run = torch_inference(UNITS)
        return lambda clips, mask: run(clips)
    if format == TENSORFLOW:
        from pipelines.exported_model import ExportedModel

        return ExportedModel(place).tensors
    from pipelines.inference_engines import load_engine

    return load_engine(format, place, precision)


def worker(place: Path, side: int, clips: int, clock: Callable[[], float]) -> None:
    """Answers with the seconds of a call, by the clock."""
    from benchmarks.turns import answer

    run, inputs = opened(place), noise(clips, side)

    def seconds() -> float:
        started = clock()
        run(**inputs)
        return clock() - started

    answer(seconds)


def measure(backbone: str, args: argparse.Namespace, folder: Path) -> None:
    from benchmarks.turns import in_turn, ratio

    unit = "core-second" if args.core_seconds else "s"
    names = list(write(backbone, args.side, folder, args.only))
    torch = importlib.util.find_spec("torchvision") and backbone == TORCH_BACKBONE
    if torch and (not args.only or TORCH in args.only):
        names.append(TORCH)
    for clips in args.clips:
        samples = in_turn(
            {
                name: (
                    [sys.executable, __file__, "--side", str(args.side)]
                    + ["--worker", str(folder / name), str(clips)]
                    + ["--core-seconds"] * args.core_seconds,
                    {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1"},
                )
                for name in names
            },
            args.rounds,
            warmup=2,
        )
        for name, seconds in samples.items():
            rate = clips * FRAMES / statistics.median(seconds)
            size = sum(p.stat().st_size for p in (folder / name).rglob("*") if p.is_file()) / 1e6
            print(
                f"{backbone:18} {clips} clip(s) {name:20} {rate:6.1f} frames/{unit}, "
                f"{ratio(samples[names[0]], seconds)} times {names[0]}'s"
                + (f"; {size:.0f} MB" if size else ""),
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", nargs="+", default=["efficientnet_lite0", TORCH_BACKBONE])
    parser.add_argument("--clips", nargs="+", type=int, default=[1, 6])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--core-seconds", action="store_true")
    parser.add_argument("--only", nargs="+", default=[], help="such as openvino-int8, or torch")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        place, clips = args.worker
        clock = time.process_time if args.core_seconds else time.perf_counter
        worker(Path(place), args.side, int(clips), clock)
        return
    for backbone in args.backbone:
        with tempfile.TemporaryDirectory() as folder:
            measure(backbone, args, Path(folder))


if __name__ == "__main__":
    main()
