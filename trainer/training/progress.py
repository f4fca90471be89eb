"""Progress display of the training: loss, AUC, clips a second and time left."""

from __future__ import annotations

import time
from collections.abc import Mapping

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from trainer.training.checkpoint import TrainingState

LINE_EVERY_S = 60.0  # where the output is no terminal


class ProgressDisplay(keras.callbacks.Callback):
    """Loss, AUC, clips a second and time left: a bar on a terminal, else a line now and then."""

    def __init__(
        self,
        console: Console,
        state: TrainingState,
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
        self._began_s, self._first_step = time.monotonic(), self._state.step
        self._last_line_s = self._began_s
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed}/{task.total} {task.fields[scores]}"),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task("", total=self._steps, scores="")
            self._bar.start()

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        self.close()

    def close(self) -> None:
        """Takes the bar away, also where training ended in an error."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        now_s = time.monotonic()
        epoch = (self._state.step - 1) // self._epoch_steps + 1
        if self._bar:
            scores = f"{_scores(logs or {}, '')}  {self._pace(now_s):.1f} clips/s"
            self._bar.update(
                self._task,
                completed=self._state.step,
                description=f"epoch {epoch}",
                scores=scores,
            )
        elif now_s - self._last_line_s >= LINE_EVERY_S:
            self._last_line_s = now_s
            self._line(
                f"epoch {epoch}, step {self._state.step} of {self._steps}", logs or {}, now_s
            )

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._last_line_s = time.monotonic()
        total = -(-self._steps // self._epoch_steps)
        self._line(f"epoch {epoch + 1}/{total}", logs or {}, self._last_line_s)

    def _line(self, place: str, logs: Mapping[str, float], now_s: float) -> None:
        left = (self._steps - self._state.step) * self._batch / self._pace(now_s)
        validation = f"  {_scores(logs, 'val ')}" if "val_loss" in logs else ""
        self._console.print(
            f"{place}  {_scores(logs, '')}{validation}  {self._pace(now_s):.1f} clips/s  "
            f"{left:.0f} s left at most",
            highlight=False,
            soft_wrap=True,
        )

    def _pace(self, now_s: float) -> float:
        """Clips a second since this part of the training began, validation included."""
        return (
            (self._state.step - self._first_step) * self._batch / max(now_s - self._began_s, 1e-9)
        )


def _scores(logs: Mapping[str, float], word: str) -> str:
    key = word.replace(" ", "_")
    return f"{word}loss {logs[f'{key}loss']:.4f}  {word}AUC {logs[f'{key}logit_auc']:.3f}"
