"""Verification of an export: a stock server runs its graph, and its outputs are the model's."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

from pipelines.model_contract import SAVED_MODEL_NAME
from trainer.errors import ExportError

# By how much an output may be off from what Keras says, by the precision of the export. A heat
# map is a small difference of large numbers, scaled up to 1. What int8 does is measured on data
# (trainer/exporting/quantisation.py); here it is how far two processes may differ.
TOLERANCES = {
    "float32": {"probability_fake": 1e-4, "frame_probability": 1e-4, "heat_map": 1e-2},
    "bfloat16": {"probability_fake": 2e-2, "frame_probability": 2e-2, "heat_map": 0.3},
    "int8": {"probability_fake": 2e-2, "frame_probability": 2e-2},
}
PYTHON_OPS = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})
# Knows TensorFlow and nothing of this package, as a server does. Arrays are named
# SIGNATURE/INPUT, and SIGNATURE/OUTPUT in turn.
CLEAN_PROCESS = """
import sys
import numpy as np
import tensorflow as tf
folder, given, answers = sys.argv[1:]
inputs = {}
for name, value in np.load(given).items():
    signature, _, key = name.partition("/")
    inputs.setdefault(signature, {})[key] = tf.constant(value)
outputs = {}
model = tf.saved_model.load(folder)
for signature, arrays in inputs.items():
    for key, value in model.signatures[signature](**arrays).items():
        outputs[f"{signature}/{key}"] = value.numpy()
np.savez(answers, **outputs)
"""
Arrays = Mapping[str, np.ndarray]  # by the name of an input or output


def check_ops(folder: Path) -> None:
    """Raises ExportError where a graph of the SavedModel holds what a stock server cannot run."""
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((folder / SAVED_MODEL_NAME).read_bytes())
    problems = set()
    for node, functions in _nodes(saved):
        if node.op in PYTHON_OPS:
            problems.add(f"{node.name} calls Python ({node.op})")
        elif node.op not in functions and op_def_registry.get(node.op) is None:
            problems.add(f"{node.name} is {node.op}, which TensorFlow's core does not have")
        if node.attr["_XlaMustCompile"].b:
            problems.add(f"{node.name} must be compiled by XLA, which a stock server leaves off")
    if problems:
        raise ExportError(f"{folder}: no stock server runs it: {'; '.join(sorted(problems))}.")


def _nodes(saved: Any) -> Iterator[tuple[Any, set[str]]]:
    """Every node of every graph and function, with the names of the functions beside it."""
    for meta in saved.meta_graphs:
        library = meta.graph_def.library.function
        functions = {function.signature.name for function in library}
        for nodes in (meta.graph_def.node, *(function.node_def for function in library)):
            for node in nodes:
                yield node, functions


def example_inputs(frames: int, side: int) -> dict[str, np.ndarray]:
    """Two clips of noise for the signature "tensors", one of them without its last frame."""
    random = np.random.default_rng(0)
    mask = np.ones((2, frames), bool)
    mask[1, 1:] = np.arange(1, frames) < frames - 1  # a clip keeps its first frame in any case
    clips = random.integers(0, 256, (2, frames, side, side, 3), np.uint8)
    return {"clips": clips * mask[..., None, None, None], "mask": mask}


def encoded(inputs: Arrays) -> dict[str, np.ndarray]:
    """The same clips for a signature that takes encoded crops; as PNG, which loses nothing."""
    images = [
        tf.io.encode_png(image).numpy() if real else b""
        for clip, mask in zip(inputs["clips"], inputs["mask"], strict=True)
        for image, real in zip(clip, mask, strict=True)
    ]
    return {"frames": np.array(images).reshape(inputs["mask"].shape)}


def check_outputs(
    folder: Path,
    inputs: Mapping[str, Arrays],
    expected: Mapping[str, Arrays],
    precision: str = "float32",
) -> None:
    """Loads the SavedModel in a process of its own and compares with what Keras says.

    inputs, expected: arrays by signature and name. Raises ExportError where the model does not
    load, or where an output is off by more than TOLERANCES allow for the precision.
    """
    outputs = run_apart(folder, inputs)
    for signature, arrays in expected.items():
        for name, value in arrays.items():
            check_close(
                outputs[f"{signature}/{name}"],
                value,
                TOLERANCES[precision][name],
                f"{folder}: {name} of signature {signature}",
            )


def run_apart(
    folder: Path, inputs: Mapping[str, Arrays], program: str = CLEAN_PROCESS
) -> dict[str, np.ndarray]:
    """The outputs of an export in a process of its own, by SIGNATURE/OUTPUT.

    program: Python that is given the folder and two .npz files, as CLEAN_PROCESS reads and writes
    them. Raises ExportError where it fails.
    """
    with tempfile.TemporaryDirectory() as temporary:
        given, answers = f"{temporary}/given.npz", f"{temporary}/answers.npz"
        arrays: dict[str, Any] = {  # its stub has a flag among them
            f"{signature}/{name}": value
            for signature, values in inputs.items()
            for name, value in values.items()
        }
        np.savez(given, **arrays)
        command = [sys.executable, "-c", program, str(folder), given, answers]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise ExportError(
                f"{folder}: does not run in a process of its own: {done.stderr.strip()[-2000:]}"
            )
        return dict(np.load(answers))


def check_close(values: np.ndarray, expected: np.ndarray, tolerance: float, what: str) -> None:
    """Raises ExportError where a number is off by more than the tolerance, or is none."""
    if values.shape != np.shape(expected):
        raise ExportError(f"{what} has shape {values.shape}, expected {np.shape(expected)}.")
    off = float(np.abs(values - expected).max())
    if not off <= tolerance:  # also where it is no number
        raise ExportError(
            f"{what} is off by {off:.2g} from what the trained model says; up to "
            f"{tolerance:g} is allowed."
        )
