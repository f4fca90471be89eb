"""Training loop: model, data and optimizer through all phases, from the start or resumed."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
from rich.console import Console

from pipelines.atomic import write_json
from pipelines.shards.open import ClipDataset
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
from trainer.training.progress import ProgressDisplay


@dataclasses.dataclass(frozen=True)
class FitCall:
    """One call of `fit`: its steps from `start` to `end`, and those of the phase that it is in."""

    start: int
    end: int
    phase_start: int
    phase_end: int
    frozen: bool  # whether the backbone is


def fit_calls(config: TrainConfig, steps_per_epoch: int, steps_done: int) -> Iterator[FitCall]:
    """The calls that are left after `steps_done`: the rest of an epoch, then whole epochs, phase by
    phase."""
    thawed, end = (epochs * steps_per_epoch for epochs in (config.freeze_epochs, config.epochs))
    for phase_start, phase_end, frozen in ((0, thawed, True), (thawed, end, False)):
        start = max(phase_start, steps_done)
        epoch_end = min(-(-start // steps_per_epoch) * steps_per_epoch, phase_end)
        for first, last in ((start, epoch_end), (epoch_end, phase_end)):
            if first < last:
                yield FitCall(first, last, phase_start, phase_end, frozen)


def check_batch_size(batch_size: int, devices: int) -> None:
    """Raises TrainError where the devices cannot share a batch evenly."""
    if batch_size % devices:
        raise TrainError(
            f"A step takes {batch_size} clips, which {devices} devices cannot share evenly; give "
            f"--batch-size as a multiple of {devices}."
        )


class Training:
    """A training in the run folder `out`: from the beginning, or resumed from its checkpoint.

    Raises ValueError, FileNotFoundError or TrainError where the settings do not fit the data
    or the machine.
    """

    def __init__(
        self,
        dataset: ClipDataset,
        config: TrainConfig,
        out: Path,
        console: Console,
        resume: bool = False,
    ):
        self._dataset, self._config, self._out, self._console = dataset, config, out, console
        self._checkpoint = out / run.CHECKPOINT_NAME
        self._state = (
            checkpoint.read_state(self._checkpoint) if resume else checkpoint.TrainingState()
        )
        self._compiled_phase: int | None = None  # its first step
        keras.utils.set_random_seed(config.seed)  # global: Python's, NumPy's and TensorFlow's
        self._strategy = make_strategy(config.strategy)
        self._precision = choose_precision(config.precision, self._strategy)
        self._clips = TrainingClips(dataset, config)
        replicas = self._strategy.num_replicas_in_sync
        check_batch_size(self._clips.batch_size, replicas)
        self._validation = validation_batches(dataset, config, self._clips.batch_size, replicas)
        shape = dataset.config.crop_size, dataset.config.frames_per_clip
        unloaded = dataclasses.replace(config, pretrained="")
        with self._strategy.scope():
            self._model = build_model(unloaded if resume else config, *shape, self._precision)
        # What is saved computes in float32, wherever and however the training did.
        self._float32_copy = build_model(unloaded, *shape)

    def describe(self) -> dict[str, Any]:
        """What config.json says of the training beside its settings."""
        return {
            "parameters": self._model.count_params(),
            "precision": self._precision,
            "devices": list(self._strategy.extended.worker_devices),
            "steps_per_epoch": self._clips.steps_per_epoch,
        }

    def run(self) -> None:
        """Trains, and leaves the run's model and history. Raises TrainError."""
        self._announce()
        for fit_call in fit_calls(self._config, self._clips.steps_per_epoch, self._state.step):
            if self._has_stopped(fit_call):
                break
            self._fit(fit_call)
        self._finish()

    def _announce(self) -> None:
        dataset = self._dataset
        self._console.print(
            f"{self._config.backbone} and {self._config.temporal}: "
            f"{self._model.count_params():,} parameters, {self._precision}; "
            f"{dataset.clips('train')} training clips of {dataset.config.frames_per_clip} frames "
            f"at {dataset.config.crop_size} px, {dataset.clips('val')} validation clips",
            highlight=False,
            soft_wrap=True,
        )
        if self._state.step:
            self._console.print(f"resumes after step {self._state.step}", highlight=False)

    def _has_stopped(self, fit_call: FitCall) -> bool:
        """Whether an earlier call, or an earlier process, ended for want of improvement."""
        waited = callbacks.epochs_since_best(self._state.history)
        return not fit_call.frozen and waited >= self._config.patience

    def _fit(self, fit_call: FitCall) -> None:
        epoch_steps = self._clips.steps_per_epoch
        restored = self._groups_to_restore(fit_call)
        if self._compiled_phase != fit_call.phase_start:
            self._compile(fit_call)
        first = fit_call.start // epoch_steps
        progress = ProgressDisplay(
            self._console,
            self._state,
            steps=self._config.epochs * epoch_steps,
            steps_per_epoch=epoch_steps,
            batch_size=self._clips.batch_size,
        )
        try:
            self._model.fit(
                self._clips.batches(fit_call.start),
                validation_data=self._validation,
                initial_epoch=first,
                epochs=fit_call.end // epoch_steps,
                steps_per_epoch=min(epoch_steps, fit_call.end - fit_call.start),
                verbose=0,
                shuffle=False,  # the data set shuffles
                callbacks=[*self._callbacks(fit_call, restored), progress],
            )
        finally:
            progress.close()

    def _compile(self, fit_call: FitCall) -> None:
        with self._strategy.scope():
            backbone = self._model.get_layer(BACKBONE)
            backbone.trainable = not fit_call.frozen
            steps = fit_call.phase_end - fit_call.phase_start
            optimizer = make_optimizer(self._config, self._model, backbone, steps)
            compile_model(self._model, optimizer, self._config.frame_loss_weight)
        self._compiled_phase = fit_call.phase_start

    def _groups_to_restore(self, fit_call: FitCall) -> tuple[str, ...]:
        """What of the checkpoint this call begins with: the first one of this process with the
        model, and with the rest where it does not begin a phase or an epoch."""
        if self._compiled_phase is not None or not self._state.step:
            return ()
        groups = ["model"]
        if fit_call.start > fit_call.phase_start:
            groups.append("optimizer")
        if fit_call.start % self._clips.steps_per_epoch:
            groups.append("metrics")
        return tuple(groups)

    def _callbacks(
        self, fit_call: FitCall, restored: tuple[str, ...]
    ) -> list[keras.callbacks.Callback]:
        config, state = self._config, self._state
        averaging = [keras.callbacks.SwapEMAWeights()] if config.ema else []
        return [
            *averaging,
            callbacks.BestModel(
                self._float32_copy,
                self._out / run.BEST_NAME,
                self._checkpoint,
                state,
                None if fit_call.frozen else config.patience,
            ),
            callbacks.HistoryFile(self._out / "history.csv", state),
            callbacks.Checkpoints(self._checkpoint, state, config.checkpoint_minutes, restored),
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
