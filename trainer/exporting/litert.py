"""Export of a trained model as a LiteRT file, for inference at the edge.

https://ai.google.dev/edge/litert
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert_phase import ConverterError

from pipelines.model_contract import TENSORS
from trainer.errors import ExportError
from trainer.exporting.portable import tensors_function
from trainer.exporting.serving_model import Network
from trainer.exporting.source import Source
from trainer.exporting.verify import TOLERANCES, check_close, example_inputs
from trainer.exporting.versions import write_version
from trainer.run import Run

FILE_NAME = "model.tflite"
ROUNDS = 5  # that the latency is the median of


@dataclasses.dataclass(frozen=True)
class EdgeModel:
    """A LiteRT file that says what the trained model says. latency_s: of a clip, on this CPU."""

    path: Path
    size_mb: float
    frames: int
    latency_s: float
    threads: int

    def __str__(self) -> str:
        return (
            f"wrote {self.path}: {self.size_mb:.1f} MB, {1000 * self.latency_s:.0f} ms for a clip "
            f"of {self.frames} frames here with {self.threads} threads"
        )


def export_litert(
    run: str | os.PathLike,
    out: str | os.PathLike,
    name: str = "dfdetect",
    metrics: str | os.PathLike | None = None,
) -> EdgeModel:
    """Writes `out`/`name`/litert-<next number>/ with model.tflite and what `export` puts beside a
    model. Its signature "tensors" is that of the SavedModel for one clip of full length.

    Raises as `export` does, and ExportError where `pip install 'dfdetect[edge]'` is missing, the
    model holds what LiteRT's own operations cannot compute, or the file says something else.
    """
    if importlib.util.find_spec("ai_edge_litert") is None:
        raise ExportError("LiteRT is missing, to check the file: pip install 'dfdetect[edge]'.")
    source = Source.of(Run.open(run), metrics, name)
    network = Network.of(source.model)
    clips = example_inputs(network.frames, network.side_px)
    expected = source.expected_scores(clips)
    threads = os.cpu_count() or 1
    latencies = []

    def write(folder: Path) -> None:
        (folder / FILE_NAME).write_bytes(convert(network, source.temperature))
        latencies.append(_check(folder / FILE_NAME, clips, expected, threads))
        source.write_records(folder)

    path = write_version(Path(out) / name, write, prefix="litert-") / FILE_NAME
    return EdgeModel(path, path.stat().st_size / 1e6, network.frames, latencies[0], threads)


def convert(network: Network, temperature: float) -> bytes:
    """A LiteRT file of the signature "tensors" for one clip, of LiteRT's own operations alone.

    Raises ExportError where it holds others.
    """
    tensors = tensors_function(network, temperature, clips=1)
    with tempfile.TemporaryDirectory() as saved:
        archive = keras.export.ExportArchive()
        archive.add_endpoint(TENSORS.name, tensors)
        archive.write_out(saved, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(saved, signature_keys=[TENSORS.name])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        try:
            return converter.convert()
        except ConverterError as error:
            raise ExportError(
                f"LiteRT's own operations do not do for this model: {error}"
            ) from error


def _check(
    path: Path, clips: dict[str, np.ndarray], expected: dict[str, np.ndarray], threads: int
) -> float:
    """Seconds that a clip takes. Raises ExportError where the file says something else."""
    from ai_edge_litert.interpreter import Interpreter  # of the extra "edge"

    run = Interpreter(model_path=str(path), num_threads=threads).get_signature_runner(TENSORS.name)
    inputs = [{k: v[i : i + 1] for k, v in clips.items()} for i in range(len(clips["mask"]))]
    for number, one in enumerate(inputs):
        outputs = run(**one)
        for name, value in expected.items():
            of = f"{path}: {name} of clip {number}"
            check_close(outputs[name], value[number : number + 1], TOLERANCES["float32"][name], of)
    return statistics.median(_seconds(run, inputs[0]) for _ in range(ROUNDS))


def _seconds(run: Any, inputs: dict[str, np.ndarray]) -> float:
    started = time.perf_counter()
    run(**inputs)
    return time.perf_counter() - started
