"""Keras callbacks of the training: best model, early stopping, checkpoints, history file."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path

import keras

from pipelines.atomic import replacing, write_csv
from trainer.errors import CheckpointError, TrainError
from trainer.training import checkpoint


def best_epoch(history: list[dict[str, float]]) -> int | None:
    """The epoch, from 0, with the lowest validation loss; None before the first."""
    losses = [row["val_loss"] for row in history]
    return losses.index(min(losses)) if losses else None


def epochs_since_best(history: list[dict[str, float]]) -> int:
    """Epochs without a better validation loss."""
    best = best_epoch(history)
    return 0 if best is None else len(history) - 1 - best


def divergence_advice(path: Path) -> str:
    """Which checkpoint is left after a loss that is not finite, and what to do."""
    advice = "Lower --learning-rate or --clip-norm and start another run."
    if not path.is_file():
        return f"There is no checkpoint yet. {advice}"
    step = checkpoint.read_state(path).step
    return f"The last good checkpoint is {path}, of step {step}. {advice}"


class BestModel(keras.callbacks.Callback):
    """Adds a row of history for each epoch, and saves the model whenever it is the best so far.

    float32_copy: the same network, computing in float32 on one device: it takes the weights, or
    their moving averages, and is what is saved. Training stops `patience` epochs after the
    best one.
    """

    def __init__(
        self,
        float32_copy: keras.Model,
        path: Path,
        checkpoint_path: Path,
        state: checkpoint.TrainingState,
        patience: int | None,
    ):
        super().__init__()
        self._copy, self._path, self._checkpoint = float32_copy, path, checkpoint_path
        self._state, self._patience = state, patience

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        row = {"epoch": epoch + 1, **{name: float(value) for name, value in (logs or {}).items()}}
        if not math.isfinite(row["val_loss"]):
            raise TrainError(
                f"The validation loss is {row['val_loss']} at step {self._state.step}. "
                f"{divergence_advice(self._checkpoint)}"
            )
        self._state.history.append(row)
        if epochs_since_best(self._state.history) == 0:
            self._save()
        elif self._patience and epochs_since_best(self._state.history) >= self._patience:
            self.model.stop_training = True

    def _save(self) -> None:
        averages = self.model.optimizer.averages()
        for copied, weight in zip(self._copy.weights, self.model.weights, strict=True):
            copied.assign(averages.get(weight.path, weight))
        with replacing(self._path) as temporary:
            self._copy.save(temporary)


class Checkpoints(keras.callbacks.Callback):
    """Counts steps, stops at a loss that is not finite, and writes checkpoints.

    One at the end of every epoch, and one within when the last is `minutes` old. restored: groups
    of variables to load from the checkpoint before the first step, see `checkpoint.load`.
    """

    def __init__(
        self,
        path: Path,
        state: checkpoint.TrainingState,
        minutes: float,
        restored: tuple[str, ...] = (),
    ):
        super().__init__()
        self._path, self._state, self._every_s = path, state, minutes * 60
        self._restored = restored

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        # Here all variables exist. Metrics are loaded where they have just been reset.
        if groups := [group for group in self._restored if group != "metrics"]:
            checkpoint.load(self._path, self.model, tuple(groups))
        self._last_save_s = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        if "metrics" in self._restored:
            checkpoint.load(self._path, self.model, ("metrics",))
        self._restored = ()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        self._state.step += 1
        loss = (logs or {})["loss"]
        if not math.isfinite(loss):
            raise TrainError(
                f"The loss is {loss} at step {self._state.step}. {divergence_advice(self._path)}"
            )
        if time.monotonic() - self._last_save_s >= self._every_s:
            self._save()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._save()

    def _save(self) -> None:
        try:
            checkpoint.save(self._path, self.model, self._state)
        except CheckpointError as error:
            raise TrainError(
                f"After step {self._state.step} {error} {divergence_advice(self._path)}"
            ) from error
        self._last_save_s = time.monotonic()


class HistoryFile(keras.callbacks.Callback):
    """Writes history.csv anew after each epoch, an epoch a line."""

    def __init__(self, path: Path, state: checkpoint.TrainingState):
        super().__init__()
        self._path, self._state = path, state

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        write_csv(self._path, self._state.history)
