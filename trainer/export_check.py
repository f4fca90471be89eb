"""Whether an exported model runs on a stock server and says what the trained model says."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

TOLERANCE = 1e-4  # of a probability
PYTHON_OPS = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})
# Knows TensorFlow and nothing of this package, as a server does.
CLEAN_PROCESS = """
import sys
import numpy as np
import tensorflow as tf
folder, given, found = sys.argv[1:]
inputs = {name: tf.constant(value) for name, value in np.load(given).items()}
outputs = tf.saved_model.load(folder).signatures["tensors"](**inputs)
np.savez(found, **{name: value.numpy() for name, value in outputs.items()})
"""


class ExportError(Exception):
    """A run that cannot be exported, or an export that is not what was trained."""


def check_ops(folder: Path) -> None:
    """Raises ExportError where a graph of the SavedModel holds what a stock server cannot run."""
    from tensorflow.core.protobuf import saved_model_pb2
    from tensorflow.python.framework import op_def_registry

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((folder / "saved_model.pb").read_bytes())
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


def check_outputs(
    folder: Path, inputs: dict[str, np.ndarray], expected: dict[str, np.ndarray]
) -> None:
    """Loads the SavedModel in a process of its own and compares with what Keras says.

    Raises ExportError where it does not load, or where an output is off by more than TOLERANCE.
    """
    with tempfile.TemporaryDirectory() as temporary:
        given, found = f"{temporary}/given.npz", f"{temporary}/found.npz"
        arrays: dict[str, Any] = {**inputs}  # its stub has a flag among them
        np.savez(given, **arrays)
        command = [sys.executable, "-c", CLEAN_PROCESS, str(folder), given, found]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise ExportError(
                f"{folder}: does not run in a process of its own: {done.stderr.strip()[-2000:]}"
            )
        outputs = dict(np.load(found))
    for name, value in expected.items():
        off = float(np.abs(outputs[name] - value).max())
        if not off <= TOLERANCE:  # also where it is no number
            raise ExportError(
                f"{folder}: {name} is off by {off:.2g} from what the trained model says; up to "
                f"{TOLERANCE:g} is allowed."
            )
