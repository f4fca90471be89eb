"""Latency and throughput of the model server against the bare call of the same SavedModel.

python benchmarks/serving.py [--model DIR] [--rounds 9] [--batches 3] [--each 4]

Latency: one clip through REST, base64 and JSON on both sides included, over the SavedModel's
signature called in this process. Throughput: 8 callers, each asking again as soon as it has its
answer, on a server that batches, over calls of 8 clips at once. The server is a process of its own
on this machine, and TensorFlow the engine of both; DIR is a SavedModel by `dfdetect export`, by
default a ResNeXt-50 with an LSTM of random weights, 16 frames of 224 px.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import cv2  # noqa: E402
import httpx  # noqa: E402
import numpy as np  # noqa: E402

from benchmarks.served import serving  # noqa: E402
from benchmarks.turns import ratio  # noqa: E402

CALLERS = 8
BATCHING = (
    f"max_batch_size {{ value: {CALLERS} }} batch_timeout_micros {{ value: 2000000 }} "
    "num_batch_threads { value: 1 } max_enqueued_batches { value: 100 }"
)


def export_untrained(folder: Path, frames: int, side: int) -> Path:
    """A detector of random weights, exported as one that was trained."""
    import dataclasses

    from pipelines.atomic import write_json
    from pipelines.config import PreprocessConfig
    from trainer.config import TrainConfig
    from trainer.exporting.export import export
    from trainer.model.detector import build_model
    from trainer.run import CONFIG_NAME, MODEL_NAME

    config = TrainConfig()
    preprocess = PreprocessConfig(frames_per_clip=frames, crop_size=side)
    run = folder / "run"
    run.mkdir()
    build_model(config, side, frames, "float32").save(run / MODEL_NAME)
    known = {"train": dataclasses.asdict(config), "preprocess": preprocess.to_dict()}
    write_json(run / CONFIG_NAME, {**known, "fingerprint": preprocess.fingerprint})
    return export(run, folder / "models")


def make_clip(frames: int, side: int) -> list[bytes]:
    """Frames of smooth noise, which JPEG packs about as well as a face."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (frames, side // 4, side // 4, 3), np.uint8)
    crops = [cv2.resize(frame, (side, side), interpolation=cv2.INTER_CUBIC) for frame in coarse]
    return [cv2.imencode(".jpg", c, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes() for c in crops]


@contextlib.contextmanager
def asked(version: Path, *flags: str) -> Iterator[str]:
    """The URL to ask of a server with this model."""
    ports = ("--grpc-port", "-1", "--rest-timeout-ms", "600000")
    with serving("--model-base", str(version), *ports, *flags) as served:
        yield f"{served.rest}/v1/models/dfdetect:predict"


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def in_turn(a: Callable, b: Callable, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of each, round by round, after one round that does not count."""
    pairs = [(seconds(a), seconds(b)) for _ in range(rounds + 1)][1:]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="a version's folder")
    parser.add_argument("--rounds", type=int, default=9, help="of the latency")
    parser.add_argument("--batches", type=int, default=3, help="rounds of the throughput")
    parser.add_argument("--each", type=int, default=4, help="requests of a caller in a round")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--side", type=int, default=224)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        version = args.model or export_untrained(folder, args.frames, args.side)
        import tensorflow as tf

        from pipelines.exported_model import ExportedModel

        model = ExportedModel.open(version)
        if model.format != "saved-model":
            parser.error(
                f"{version} is an export for {model.format}, which a model server does not run; "
                "benchmarks/exported_engines.py measures such."
            )
        onednn = "with" if os.environ["TF_ENABLE_ONEDNN_OPTS"] == "1" else "without"
        print(f"engine: TensorFlow {tf.__version__} {onednn} oneDNN, on both sides; {version}")
        signature = model.graph.signatures["serving_default"]
        config = model.description.preprocess
        clip = make_clip(config.frames_per_clip, config.crop_size)

        def bare(clips: int) -> None:
            signature(frames=tf.constant([clip] * clips))["probability_fake"].numpy()

        def ask(url: str) -> None:
            frames = [[{"b64": base64.b64encode(image).decode()} for image in clip]]
            response = http.post(url, json={"inputs": {"frames": frames}})
            assert response.status_code == 200, response.text

        batching = folder / "batching.pbtxt"
        batching.write_text(BATCHING)
        with httpx.Client(trust_env=False, timeout=600) as http:
            with asked(version) as url:
                rest, alone = in_turn(lambda: ask(url), lambda: bare(1), args.rounds)
            print(
                f"one clip of {len(clip)} frames of {config.crop_size} px, "
                f"{sum(map(len, clip)) / 1e3:.0f} kB: p50 {statistics.median(rest) * 1e3:.0f} ms "
                f"through REST, {statistics.median(alone) * 1e3:.0f} ms bare; p50 ratio "
                f"{statistics.median(rest) / statistics.median(alone):.3f}, by round "
                f"{ratio(rest, alone)}",
                flush=True,
            )
            with (
                asked(version, "--batching-parameters-file", str(batching)) as url,
                ThreadPoolExecutor(CALLERS) as pool,
            ):

                def caller() -> None:
                    for _ in range(args.each):
                        ask(url)

                def callers() -> None:
                    for one in [pool.submit(caller) for _ in range(CALLERS)]:
                        one.result()

                def batches() -> None:
                    for _ in range(args.each):
                        bare(CALLERS)

                ours, theirs = in_turn(callers, batches, args.batches)
            clips = args.each * CALLERS
            print(
                f"{CALLERS} callers: {clips / statistics.median(ours):.2f} clips/s through REST "
                f"with batching, {clips / statistics.median(theirs):.2f} bare at a batch of "
                f"{CALLERS}; ratio {ratio(theirs, ours)}"
            )


if __name__ == "__main__":
    main()
