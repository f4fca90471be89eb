"""The training loop: going on after a kill, phases, stops, configs."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml

from trainer import checkpoint, export, run, train
from trainer.config import TrainConfig
from trainer.errors import CheckpointError, TrainError
from trainer.training import Segment, segments

ROOT = Path(__file__).resolve().parents[1]
CONFIG = TrainConfig(
    backbone="resnext_tiny", temporal_units=8, epochs=3, batch_size=4, ema=0.9, freeze_epochs=1
)


def weights_of(folder: Path) -> list[np.ndarray]:
    return export.load_model(folder / run.MODEL_NAME).get_weights()


@pytest.fixture(scope="module")
def finished(sample_shards, tmp_path_factory) -> Path:
    """A run of all three epochs in one go."""
    return train.train(sample_shards, tmp_path_factory.mktemp("run") / "whole", CONFIG, False)


def flags(config: TrainConfig) -> list[str]:
    words = []
    for name, value in config.to_dict().items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif value != "":
            words += [f"--{flag}", str(value)]
    return words


def kill_when(command: list[str], reached) -> None:
    """Runs the command and kills it as soon as `reached()`; fails where it ends before that."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_ENABLE_ONEDNN_OPTS": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        while not reached():
            assert process.poll() is None, "the training ended before it could be killed"
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("epoch", [0, 2])
def test_a_killed_training_goes_on_and_ends_as_if_it_had_not_been(
    finished, sample_shards, tmp_path, epoch
):
    out = tmp_path / "killed"
    often = dataclasses.replace(CONFIG, checkpoint_minutes=0.0)
    per_epoch = json.loads((finished / run.CONFIG_NAME).read_text())["steps_per_epoch"]
    middle = epoch * per_epoch + per_epoch // 2  # neither the first nor the last of an epoch
    assert epoch * per_epoch < middle < (epoch + 1) * per_epoch

    def reached() -> bool:
        return checkpoint.read_progress(out / run.CHECKPOINT_NAME).step >= middle

    command = [sys.executable, "-m", "dfdetect", "train", "--data", str(sample_shards)]
    kill_when([*command, "--out", str(out), *flags(often)], reached)
    step = checkpoint.read_progress(out / run.CHECKPOINT_NAME).step
    assert step % per_epoch and not (out / run.MODEL_NAME).exists()

    train.train(sample_shards, out, often, verbose=False)
    for a, b in zip(weights_of(finished), weights_of(out), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (out / "history.json").read_text() == (finished / "history.json").read_text()
    assert not (out / run.CHECKPOINT_NAME).exists() and not list(out.glob("*.tmp*"))


def test_a_run_can_be_made_again_from_its_own_config(finished, tmp_path):
    settings = finished / run.SETTINGS_NAME
    assert train.main(["--config", str(settings), "--out", str(tmp_path / "again")]) == 0
    for a, b in zip(weights_of(finished), weights_of(tmp_path / "again"), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_frozen_phase_leaves_the_backbone_as_it_was(sample_shards, tmp_path):
    from trainer.backbones import BACKBONE
    from trainer.model import build_model

    config = dataclasses.replace(CONFIG, epochs=2, ema=0.0, learning_rate=1e-9)
    out = train.train(sample_shards, tmp_path / "run", config, verbose=False)
    keras.utils.set_random_seed(config.seed)
    untrained = build_model(config, 48, 4).get_layer(BACKBONE)
    frozen = dataclasses.replace(config, freeze_epochs=1, epochs=2, backbone_rate=0.0)
    out = train.train(sample_shards, tmp_path / "slow", frozen, verbose=False)
    trained = export.load_model(out / run.MODEL_NAME).get_layer(BACKBONE)
    for a, b in zip(untrained.trainable_variables, trained.trainable_variables, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize(
    ("done", "expected"),
    [
        (0, [Segment(0, 10, 0, 10, True), Segment(10, 30, 10, 30, False)]),
        (5, [Segment(5, 10, 0, 10, True), Segment(10, 30, 10, 30, False)]),
        (10, [Segment(10, 30, 10, 30, False)]),
        (13, [Segment(13, 15, 10, 30, False), Segment(15, 30, 10, 30, False)]),
        (27, [Segment(27, 30, 10, 30, False)]),
        (30, []),
    ],
)
def test_what_is_left_is_the_rest_of_an_epoch_and_whole_epochs_by_phase(done, expected):
    config = TrainConfig(epochs=6, freeze_epochs=2)
    assert list(segments(config, 5, done)) == expected
