"""What happens around the steps of a training: watching, keeping, checkpoints, progress."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from pipelines.atomic import replacing, write_csv
from trainer.errors import CheckpointError, TrainError
from trainer.training import checkpoint

LINE_EVERY_S = 60.0  # where the output is no terminal


def best_epoch(history: list[dict[str, float]]) -> int | None:
    """The epoch, from 0, with the lowest validation loss; None before the first."""
    losses = [row["val_loss"] for row in history]
    return losses.index(min(losses)) if losses else None


def without_gain(history: list[dict[str, float]]) -> int:
    """Epochs since the best one."""
    best = best_epoch(history)
    return 0 if best is None else len(history) - 1 - best


def last_good(path: Path) -> str:
    """A sentence on the checkpoint that is left after numbers went wrong, and what to do."""
    advice = "Lower --learning-rate or --clip-norm and start another run."
    if not path.is_file():
        return f"There is no checkpoint yet. {advice}"
    step = checkpoint.read_state(path).step
    return f"The last good checkpoint is {path}, of step {step}. {advice}"


class KeepBest(keras.callbacks.Callback):
    """Writes a row of history for each epoch, and the model whenever it is the best so far.

    keeper: a model of the same weights, computing in float32 on one device: it takes the weights,
    or their moving averages, and is what is saved. Training stops `patience` epochs after the
    best one.
    """

    def __init__(
        self,
        keeper: keras.Model,
        path: Path,
        checkpoint_path: Path,
        state: checkpoint.TrainingState,
        patience: int | None,
    ):
        super().__init__()
        self._keeper, self._path, self._checkpoint = keeper, path, checkpoint_path
        self._state, self._patience = state, patience

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        row = {"epoch": epoch + 1, **{name: float(value) for name, value in (logs or {}).items()}}
        if not math.isfinite(row["val_loss"]):
            raise TrainError(
                f"The validation loss is {row['val_loss']} at step {self._state.step}. "
                f"{last_good(self._checkpoint)}"
            )
        self._state.history.append(row)
        if without_gain(self._state.history) == 0:
            self._keep()
        elif self._patience and without_gain(self._state.history) >= self._patience:
            self.model.stop_training = True

    def _keep(self) -> None:
        averages = self.model.optimizer.averages()
        for kept, weight in zip(self._keeper.weights, self.model.weights, strict=True):
            kept.assign(averages.get(weight.path, weight))
        with replacing(self._path) as temporary:
            self._keeper.save(temporary)


class Checkpoints(keras.callbacks.Callback):
    """Counts steps, stops at a loss that is not a number, and writes checkpoints.

    One at the end of every epoch, and one within when the last is `minutes` old. resumed: the
    checkpoint to begin from, with the groups of variables to take from it.
    """

    def __init__(
        self,
        path: Path,
        state: checkpoint.TrainingState,
        minutes: float,
        resumed: tuple[str, ...] = (),
    ):
        super().__init__()
        self._path, self._state, self._every_s = path, state, minutes * 60
        self._resumed = resumed

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        # Here all variables exist. Metrics are loaded where they have just been reset.
        if groups := [group for group in self._resumed if group != "metrics"]:
            checkpoint.load(self._path, self.model, tuple(groups))
        self._saved = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        if "metrics" in self._resumed:
            checkpoint.load(self._path, self.model, ("metrics",))
        self._resumed = ()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        self._state.step += 1
        loss = (logs or {})["loss"]
        if not math.isfinite(loss):
            raise TrainError(
                f"The loss is {loss} at step {self._state.step}. {last_good(self._path)}"
            )
        if time.monotonic() - self._saved >= self._every_s:
            self._save()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._save()

    def _save(self) -> None:
        try:
            checkpoint.save(self._path, self.model, self._state)
        except CheckpointError as error:
            raise TrainError(
                f"After step {self._state.step} {error} {last_good(self._path)}"
            ) from error
        self._saved = time.monotonic()


class HistoryFile(keras.callbacks.Callback):
    """Keeps history.csv what the history is, an epoch a line."""

    def __init__(self, path: Path, state: checkpoint.TrainingState):
        super().__init__()
        self._path, self._state = path, state

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        write_csv(self._path, self._state.history)


class ShowProgress(keras.callbacks.Callback):
    """Loss, AUC, clips a second and time left: a bar on a terminal, else a line now and then."""

    def __init__(
        self,
        console: Console,
        state: checkpoint.TrainingState,
        *,
        steps: int,
        steps_per_epoch: int,
        batch_size: int,
    ):
        super().__init__()
        self._console, self._state = console, state
        self._steps, self._epoch_steps, self._batch = steps, steps_per_epoch, batch_size
        self._bar: Progress | None = None

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self._began, self._before = time.monotonic(), self._state.step
        self._shown = self._began
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed}/{task.total} {task.fields[facts]}"),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task("", total=self._steps, facts="")
            self._bar.start()

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        self.close()

    def close(self) -> None:
        """Takes the bar away, also where training ended in an error."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        now = time.monotonic()
        epoch = (self._state.step - 1) // self._epoch_steps + 1
        if self._bar:
            facts = f"{_scores(logs or {}, '')}  {self._pace(now):.1f} clips/s"
            self._bar.update(
                self._task,
                completed=self._state.step,
                description=f"epoch {epoch}",
                facts=facts,
            )
        elif now - self._shown >= LINE_EVERY_S:
            self._shown = now
            self._line(f"epoch {epoch}, step {self._state.step} of {self._steps}", logs or {}, now)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._shown = time.monotonic()
        total = -(-self._steps // self._epoch_steps)
        self._line(f"epoch {epoch + 1}/{total}", logs or {}, self._shown)

    def _line(self, place: str, logs: Mapping[str, float], now: float) -> None:
        left = (self._steps - self._state.step) * self._batch / self._pace(now)
        validation = f"  {_scores(logs, 'val ')}" if "val_loss" in logs else ""
        self._console.print(
            f"{place}  {_scores(logs, '')}{validation}  {self._pace(now):.1f} clips/s  "
            f"{left:.0f} s left at most",
            highlight=False,
            soft_wrap=True,
        )

    def _pace(self, now: float) -> float:
        """Clips a second since this part of the training began, validation included."""
        return (self._state.step - self._before) * self._batch / max(now - self._began, 1e-9)


def _scores(logs: Mapping[str, float], word: str) -> str:
    key = word.replace(" ", "_")
    return f"{word}loss {logs[f'{key}loss']:.4f}  {word}AUC {logs[f'{key}logit_auc']:.3f}"
