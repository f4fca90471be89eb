"""Checkpoints: the whole state of a training in one file, to resume exactly where it stopped.

Not Keras' BackupAndRestore: it saves no step within an epoch and neither metrics nor history.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from pipelines.atomic import replacing
from trainer.errors import CheckpointError


@dataclasses.dataclass
class TrainingState:
    """How far a training is: steps done since its beginning, and a row for each finished epoch."""

    step: int = 0
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)


def _groups(model: Any) -> dict[str, list[Any]]:
    """Variables by group, each in a fixed order; Keras counts seeds among a model's variables."""
    return {
        "model": model.variables,
        "optimizer": model.optimizer.variables,
        "metrics": model.metrics_variables,
    }


def _tensors(model: Any) -> Iterator[tuple[str, Any]]:
    for group, variables in _groups(model).items():
        for index, variable in enumerate(variables):
            yield f"{group}/{index:04d}", variable


def save(path: Path, model: Any, state: TrainingState) -> None:
    """Writes the compiled model's whole state, at once or not at all.

    Raises CheckpointError where a number is not finite: the file before it is worth more.
    """
    tensors = {}
    for name, variable in _tensors(model):
        value = np.asarray(variable.numpy(), order="C")
        if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
            raise CheckpointError(f"{variable.path} holds numbers that are not finite.")
        tensors[name] = value
    with replacing(path) as temporary:
        save_file(tensors, temporary, {"progress": json.dumps(dataclasses.asdict(state))})


def read_state(path: Path) -> TrainingState:
    """How far the training of a checkpoint was; the beginning where there is none."""
    if not path.is_file():
        return TrainingState()
    try:
        with safe_open(path, "numpy") as file:
            return TrainingState(**json.loads(file.metadata()["progress"]))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not a checkpoint, or a damaged one: {error}. Start anew with --overwrite."
        ) from error


def load(path: Path, model: Any, groups: tuple[str, ...]) -> None:
    """Puts what `save` wrote into the compiled model's variables, in place.

    groups: of "model", "optimizer" and "metrics". Raises CheckpointError where they differ.
    """
    wanted = {n: v for n, v in _tensors(model) if n.partition("/")[0] in groups}
    with safe_open(path, "numpy") as file:
        names = [name for name in file.keys() if name.partition("/")[0] in groups]
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
        expected = {name: tuple(variable.shape) for name, variable in wanted.items()}
        if shapes != expected:
            raise CheckpointError(
                f"{path}: holds another network's state than these settings give "
                f"({len(shapes)} arrays, expected {len(expected)}). Start anew with --overwrite."
            )
        for name, variable in wanted.items():
            variable.assign(file.get_tensor(name))
