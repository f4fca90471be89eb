"""The training itself: the model, its data and its optimizer, through all phases to the end."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
from rich.console import Console

from pipelines.atomic import write_json
from trainer import run
from trainer.config import TrainConfig
from trainer.errors import TrainError
from trainer.input.sampling import TrainingClips, validation_batches
from trainer.model.backbones import BACKBONE
from trainer.model.detector import build_model
from trainer.training import callbacks, checkpoint
from trainer.training.devices import choose_precision, make_strategy
from trainer.training.losses import compile_model
from trainer.training.optimizer import make_optimizer


@dataclasses.dataclass(frozen=True)
class Segment:
    """Steps for one call of `fit`: up to `end`, from `start` on, of the phase that began at
    `phase_start`."""

    start: int
    end: int
    phase_start: int
    phase_end: int
    frozen: bool  # whether the backbone stays as it is


def segments(config: TrainConfig, steps_per_epoch: int, done: int) -> Iterator[Segment]:
    """What is left to do after `done` steps: the rest of an epoch, then whole epochs, phase by
    phase."""
    boundary, end = (epochs * steps_per_epoch for epochs in (config.freeze_epochs, config.epochs))
    for first, last, frozen in ((0, boundary, True), (boundary, end, False)):
        start = max(first, done)
        rest = min(-(-start // steps_per_epoch) * steps_per_epoch, last)
        for a, b in ((start, rest), (rest, last)):
            if a < b:
                yield Segment(a, b, first, last, frozen)


def check_shares(batch_size: int, devices: int) -> None:
    """Raises TrainError where a step's clips cannot be shared evenly among the devices."""
    if batch_size % devices:
        raise TrainError(
            f"A step takes {batch_size} clips, which {devices} devices cannot share evenly; give "
            f"--batch-size as a multiple of {devices}."
        )


class Training:
    """A training in the run folder `out`: from the beginning, or `going_on` from its checkpoint.

    Raises ValueError, FileNotFoundError or TrainError where the settings do not fit the data
    or the machine.
    """

    def __init__(
        self,
        data: str | os.PathLike,
        info: dict[str, Any],
        config: TrainConfig,
        out: Path,
        console: Console,
        going_on: bool = False,
    ):
        self._config, self._out, self._console, self._info = config, out, console, info
        self._checkpoint = out / run.CHECKPOINT_NAME
        self._state = (
            checkpoint.read_progress(self._checkpoint) if going_on else checkpoint.Progress()
        )
        self._phase: int | None = None  # which phase the model is compiled for
        keras.utils.set_random_seed(config.seed)
        self._strategy = make_strategy(config.strategy)
        self._precision = choose_precision(config.precision, self._strategy)
        self._clips = TrainingClips(data, config)
        replicas = self._strategy.num_replicas_in_sync
        check_shares(self._clips.batch_size, replicas)
        self._validation = validation_batches(data, config, self._clips.batch_size, replicas)
        shape = info["config"]["crop_size"], info["config"]["frames_per_clip"]
        bare = dataclasses.replace(config, pretrained="")
        with self._strategy.scope():
            self._model = build_model(bare if going_on else config, *shape, self._precision)
        # What is saved computes in float32, wherever and however the training did.
        self._keeper = build_model(bare, *shape)

    def facts(self) -> dict[str, Any]:
        """What config.json says of the training beside its settings."""
        return {
            "parameters": self._model.count_params(),
            "precision": self._precision,
            "devices": list(self._strategy.extended.worker_devices),
            "steps_per_epoch": self._clips.steps_per_epoch,
        }

    def run(self) -> None:
        """Trains, and leaves the run's model and history. Raises TrainError."""
        self._say_what_is_done()
        for segment in segments(self._config, self._clips.steps_per_epoch, self._state.step):
            if self._has_stopped(segment):
                break
            self._fit(segment)
        self._finish()

    def _say_what_is_done(self) -> None:
        splits, settings = self._info["splits"], self._info["config"]
        self._console.print(
            f"{self._config.backbone} and {self._config.temporal}: "
            f"{self._model.count_params():,} parameters, {self._precision}; "
            f"{splits['train']['clips']} training clips of {settings['frames_per_clip']} frames at "
            f"{settings['crop_size']} px, {splits['val']['clips']} validation clips",
            highlight=False,
            soft_wrap=True,
        )
        if self._state.step:
            self._console.print(f"going on after step {self._state.step}", highlight=False)

    def _has_stopped(self, segment: Segment) -> bool:
        """Whether an earlier call, or an earlier segment, ended for want of improvement."""
        gainless = callbacks.without_gain(self._state.history)
        return not segment.frozen and gainless >= self._config.patience

    def _fit(self, segment: Segment) -> None:
        epoch_steps = self._clips.steps_per_epoch
        resumed = self._resumed(segment)
        if self._phase != segment.phase_start:
            self._compile(segment)
        first = segment.start // epoch_steps
        progress = callbacks.ShowProgress(
            self._console,
            self._state,
            steps=self._config.epochs * epoch_steps,
            steps_per_epoch=epoch_steps,
            batch_size=self._clips.batch_size,
        )
        try:
            self._model.fit(
                self._clips.batches(segment.start),
                validation_data=self._validation,
                initial_epoch=first,
                epochs=segment.end // epoch_steps,
                steps_per_epoch=min(epoch_steps, segment.end - segment.start),
                verbose=0,
                shuffle=False,  # the data set shuffles
                callbacks=[*self._callbacks(segment, resumed), progress],
            )
        finally:
            progress.close()

    def _compile(self, segment: Segment) -> None:
        with self._strategy.scope():
            backbone = self._model.get_layer(BACKBONE)
            backbone.trainable = not segment.frozen
            steps = segment.phase_end - segment.phase_start
            optimizer = make_optimizer(self._config, self._model, backbone, steps)
            compile_model(self._model, optimizer, self._config.frame_loss_weight)
        self._phase = segment.phase_start

    def _resumed(self, segment: Segment) -> tuple[str, ...]:
        """What of the checkpoint a segment begins with: the first one of this process with the
        model, and with the rest where it does not begin a phase or an epoch."""
        if self._phase is not None or not self._state.step:
            return ()
        groups = ["model"]
        if segment.start > segment.phase_start:
            groups.append("optimizer")
        if segment.start % self._clips.steps_per_epoch:
            groups.append("metrics")
        return tuple(groups)

    def _callbacks(
        self, segment: Segment, resumed: tuple[str, ...]
    ) -> list[keras.callbacks.Callback]:
        config, state = self._config, self._state
        averaging = [keras.callbacks.SwapEMAWeights()] if config.ema else []
        return [
            *averaging,
            callbacks.KeepBest(
                self._keeper,
                self._out / run.BEST_NAME,
                self._checkpoint,
                state,
                None if segment.frozen else config.patience,
            ),
            callbacks.HistoryFile(self._out / "history.csv", state),
            callbacks.Checkpoints(self._checkpoint, state, config.checkpoint_minutes, resumed),
            keras.callbacks.TensorBoard(str(self._out / "tensorboard"), write_graph=False),
        ]

    def _finish(self) -> None:
        best = callbacks.best_epoch(self._state.history)
        if best is None:
            raise TrainError(f"{self._out}: no epoch was finished.")
        row = self._state.history[best]
        write_json(
            self._out / "history.json",
            {
                "best_epoch": best + 1,
                "epochs": {name: [row[name] for row in self._state.history] for name in row},
            },
        )
        os.replace(self._out / run.BEST_NAME, self._out / run.MODEL_NAME)
        self._checkpoint.unlink(missing_ok=True)
        self._console.print(
            f"best epoch {best + 1}: val loss {row['val_loss']:.4f}, val AUC "
            f"{row['val_logit_auc']:.3f}; wrote {self._out / run.MODEL_NAME}",
            highlight=False,
            soft_wrap=True,
        )
