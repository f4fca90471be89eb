"""Frames a second of an exported model by TensorFlow, OpenVINO and ONNX Runtime.

python benchmarks/exported_engines.py [--backbone NAME ...] [--clips 1 6] [--rounds 7] [--side 224]
    [--core-seconds]

Detectors with random weights and an LSTM, as `dfdetect export` writes them, in float32; clips of 16
frames of noise as pixels, so that decoding crops is no part of it. Each engine is a process with
all cores; they are asked in turn. An engine that is not installed is left out. --core-seconds
counts process time in place of the clock: what a frame costs, whatever else the machine does.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
FRAMES, UNITS = 16, 256
TENSORFLOW = "saved-model"


def write(backbone: str, side: int, folder: Path) -> dict[str, Path]:
    """The model in each format that can be written here -> where it lies."""
    import keras

    from pipelines.inference_engines import InferenceEngineError, require_packages
    from trainer.config import TrainConfig
    from trainer.exporting.inference_engines import EXPORTS
    from trainer.exporting.portable import tensors_function
    from trainer.exporting.serving_model import Network
    from trainer.exporting.signatures import save
    from trainer.model.detector import build_model

    keras.utils.set_random_seed(0)
    config = TrainConfig(backbone=backbone, temporal_units=UNITS)
    network = Network.of(build_model(config, side, FRAMES))
    places = {name: folder / name for name in (TENSORFLOW, *EXPORTS)}
    save(places[TENSORFLOW], network.folded(), {"preprocess_json": ""}, 1.0)
    for name, export in EXPORTS.items():
        try:
            require_packages(name, export.packages)
        except InferenceEngineError as error:
            print(f"{name}: left out. {error}")
            del places[name]
            continue
        places[name].mkdir()
        export.write(tensors_function(network, 1.0), places[name])
    return places


def worker(folder: str, side: int, clips: int, clock: Callable[[], float]) -> None:
    """Answers with the seconds of a call, by the clock."""
    import numpy as np

    from benchmarks.turns import answer
    from pipelines.exported_model import ExportedModel

    tensors = ExportedModel(Path(folder)).tensors
    shape = (clips, FRAMES, side, side, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    mask = np.ones((clips, FRAMES), bool)

    def seconds() -> float:
        started = clock()
        tensors(pixels, mask)
        return clock() - started

    answer(seconds)


def measure(backbone: str, args: argparse.Namespace, folder: Path) -> None:
    from benchmarks.turns import in_turn, ratio

    unit = "core-second" if args.core_seconds else "s"
    places = write(backbone, args.side, folder)
    for clips in args.clips:
        samples = in_turn(
            {
                name: (
                    [sys.executable, __file__, "--side", str(args.side)]
                    + ["--worker", str(path), str(clips)]
                    + ["--core-seconds"] * args.core_seconds,
                    {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1"},
                )
                for name, path in places.items()
            },
            args.rounds,
            warmup=2,
        )
        for name, seconds in samples.items():
            rate = clips * FRAMES / statistics.median(seconds)
            size = sum(p.stat().st_size for p in places[name].rglob("*") if p.is_file()) / 1e6
            print(
                f"{backbone:16} {clips} clip(s) {name:12} {rate:6.1f} frames/{unit}, "
                f"{ratio(samples[TENSORFLOW], seconds)} times TensorFlow's; {size:.0f} MB",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", nargs="+", default=["efficientnet_lite0", "resnext50_32x4d"])
    parser.add_argument("--clips", nargs="+", type=int, default=[1, 6])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--core-seconds", action="store_true")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        folder, clips = args.worker
        clock = time.process_time if args.core_seconds else time.perf_counter
        worker(folder, args.side, int(clips), clock)
        return
    for backbone in args.backbone:
        with tempfile.TemporaryDirectory() as folder:
            measure(backbone, args, Path(folder))


if __name__ == "__main__":
    main()
