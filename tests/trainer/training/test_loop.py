"""Training loop: resuming after a kill, phases, checkpoints, settings, progress."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml
from rich.console import Console

from dfdetect.__main__ import main
from pipelines.atomic import write_json
from pipelines.config import PreprocessConfig
from pipelines.shards.open import ClipDataset
from tests.fixtures import ROOT
from trainer import run
from trainer.config import TrainConfig
from trainer.errors import CheckpointError, TrainError
from trainer.model.backbones import BACKBONE
from trainer.model.detector import build_model, load_model
from trainer.training import callbacks, checkpoint, train
from trainer.training.loop import FitCall, check_batch_size, fit_calls
from trainer.training.progress import ProgressDisplay

# Without augmentation, whose graph takes as long to build as the network's; the clips of a step do
# not depend on where a training begins, with it or without: tests/trainer/input/test_sampling.py.
CROPS = PreprocessConfig()
CONFIG = TrainConfig(
    backbone="resnext_tiny",
    temporal="mean",
    augment=False,
    epochs=2,
    batch_size=4,
    ema=0.9,
    freeze_epochs=1,
)


def weights_of(folder: Path) -> list[np.ndarray]:
    return load_model(folder / run.MODEL_NAME).get_weights()


@pytest.fixture(scope="module")
def finished(sample_shards, tmp_path_factory) -> Path:
    """A run of both epochs in one go."""
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


# The command, which is killed once it has written the checkpoint of a step.
KILLED = """
import os, signal, sys
from dfdetect.__main__ import main
from trainer.training import checkpoint

save = checkpoint.save

def save_and_die(path, model, state):
    save(path, model, state)
    if state.step == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)

checkpoint.save = save_and_die
main(sys.argv[2:])
"""


def kill_at(step: int, *argv: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_ENABLE_ONEDNN_OPTS": "1"}
    command = [sys.executable, "-c", KILLED, str(step), *argv]
    done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL)
    assert done.returncode == -signal.SIGKILL


def check_resuming(config: TrainConfig, data: Path, whole: Path, out: Path, epoch: int) -> None:
    """A training that is killed in the middle of an epoch ends as the whole run did."""
    often = dataclasses.replace(config, checkpoint_minutes=0.0)
    per_epoch = json.loads((whole / run.CONFIG_NAME).read_text())["steps_per_epoch"]
    middle = epoch * per_epoch + per_epoch // 2  # neither the first nor the last of an epoch
    assert epoch * per_epoch < middle < (epoch + 1) * per_epoch
    kill_at(middle, "train", "--data", str(data), "--out", str(out), *flags(often))
    assert checkpoint.read_state(out / run.CHECKPOINT_NAME).step == middle
    assert not (out / run.MODEL_NAME).exists()

    train.train(data, out, often, verbose=False)
    for a, b in zip(weights_of(whole), weights_of(out), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (out / "history.json").read_text() == (whole / "history.json").read_text()
    assert not (out / run.CHECKPOINT_NAME).exists() and not list(out.glob("*.tmp*"))


def test_a_killed_training_resumes_and_ends_as_if_it_had_not_been(
    finished, sample_shards, tmp_path
):
    check_resuming(CONFIG, sample_shards, finished, tmp_path / "killed", epoch=1)


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [0, 2])
def test_a_killed_training_with_everything_in_it_resumes_too(sample_shards, tmp_path, epoch):
    config = dataclasses.replace(CONFIG, temporal="lstm", temporal_units=8, augment=True, epochs=3)
    whole = train.train(sample_shards, tmp_path / "whole", config, verbose=False)
    check_resuming(config, sample_shards, whole, tmp_path / "killed", epoch)


def test_a_run_can_be_made_again_from_its_own_config(finished, tmp_path):
    settings = finished / run.SETTINGS_NAME
    assert main(["train", "--config", str(settings), "--out", str(tmp_path / "again")]) == 0
    for a, b in zip(weights_of(finished), weights_of(tmp_path / "again"), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_frozen_backbone_stays_as_it_was(sample_shards, tmp_path):
    # Validation gets no better after the frozen epoch, because then only the backbone could learn.
    config = dataclasses.replace(CONFIG, ema=0.0, backbone_rate=0.0, learning_rate=0.01)
    out = train.train(sample_shards, tmp_path / "run", config, verbose=False)
    trained = load_model(out / run.MODEL_NAME)
    keras.utils.set_random_seed(config.seed)
    untrained = build_model(config, 48, 4)
    before, after = (model.get_layer(BACKBONE) for model in (untrained, trained))
    for a, b in zip(before.trainable_variables, after.trainable_variables, strict=True):
        np.testing.assert_array_equal(a, b)
    moved = trained.get_layer("clip_head").kernel - untrained.get_layer("clip_head").kernel
    assert np.abs(moved).max() > 0


@pytest.mark.parametrize(
    ("done", "expected"),
    [
        (0, [FitCall(0, 10, 0, 10, True), FitCall(10, 30, 10, 30, False)]),
        (5, [FitCall(5, 10, 0, 10, True), FitCall(10, 30, 10, 30, False)]),
        (10, [FitCall(10, 30, 10, 30, False)]),
        (13, [FitCall(13, 15, 10, 30, False), FitCall(15, 30, 10, 30, False)]),
        (27, [FitCall(27, 30, 10, 30, False)]),
        (30, []),
    ],
)
def test_what_is_left_is_the_rest_of_an_epoch_and_whole_epochs_by_phase(done, expected):
    config = TrainConfig(epochs=6, freeze_epochs=2)
    assert list(fit_calls(config, 5, done)) == expected


@pytest.fixture(scope="module")
def compiled():
    """A small compiled model, for what does not need a detector."""
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Dropout(0.5)(inputs)))
    model.compile("adam", "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    return model


def test_a_checkpoint_brings_back_every_variable_and_the_progress(compiled, tmp_path):
    path = tmp_path / "state.safetensors"
    groups = (compiled.variables, compiled.optimizer.variables, compiled.metrics_variables)
    before = [np.array(v) for variables in groups for v in variables]
    checkpoint.save(path, compiled, checkpoint.TrainingState(7, [{"val_loss": 0.5}]))
    compiled.fit(np.ones((4, 3)), np.zeros((4, 2)), verbose=0)
    checkpoint.load(path, compiled, ("model", "optimizer", "metrics"))
    after = [np.array(v) for variables in groups for v in variables]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)
    assert checkpoint.read_state(path) == checkpoint.TrainingState(7, [{"val_loss": 0.5}])


def test_a_checkpoint_of_another_network_is_refused(compiled, tmp_path):
    path = tmp_path / "state.safetensors"
    checkpoint.save(path, compiled, checkpoint.TrainingState())
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(5)])
    other.compile("adam", "mse")
    with pytest.raises(CheckpointError, match="another network's state"):
        checkpoint.load(path, other, ("model",))


def test_a_damaged_checkpoint_says_what_to_do(tmp_path):
    path = tmp_path / "state.safetensors"
    path.write_bytes(b"cut off")
    with pytest.raises(CheckpointError, match="a damaged one.*--overwrite"):
        checkpoint.read_state(path)


def test_a_state_with_a_number_that_is_none_does_not_replace_a_good_checkpoint(compiled, tmp_path):
    path = tmp_path / "state.safetensors"
    checkpoint.save(path, compiled, checkpoint.TrainingState(3))
    weights = compiled.get_weights()
    compiled.set_weights([np.full_like(w, np.nan) for w in weights])
    with pytest.raises(CheckpointError, match="not finite"):
        checkpoint.save(path, compiled, checkpoint.TrainingState(4))
    compiled.set_weights(weights)
    assert checkpoint.read_state(path).step == 3


def test_a_loss_that_is_no_number_names_the_step_and_the_last_good_checkpoint(compiled, tmp_path):
    path = tmp_path / "state.safetensors"
    checkpoint.save(path, compiled, checkpoint.TrainingState(40))
    watch = callbacks.Checkpoints(path, checkpoint.TrainingState(41), minutes=10)
    watch.set_model(compiled)
    watch.on_train_begin()
    watch.on_train_batch_end(0, {"loss": 0.5})
    with pytest.raises(TrainError, match=r"nan at step 43.*state.safetensors, of step 40.*Lower"):
        watch.on_train_batch_end(1, {"loss": float("nan")})


def test_a_training_that_explodes_stops_with_exit_code_1(sample_shards, tmp_path, capsys):
    settings = dataclasses.replace(CONFIG, freeze_epochs=0, ema=0.0, warmup=0.0)
    wild = dataclasses.replace(settings, learning_rate=10.0, clip_norm=1e6, weight_decay=1.0)
    wild = dataclasses.replace(wild, epochs=60)
    arguments = ["--data", str(sample_shards), "--out", str(tmp_path / "run"), *flags(wild)]
    assert main(["train", *arguments]) == 1
    assert re.search(r"loss is (nan|inf) at step \d+. The last good", capsys.readouterr().err)
    assert not (tmp_path / "run" / run.MODEL_NAME).exists()


def test_an_unfinished_run_is_resumed_by_the_same_settings_only(tmp_path):
    dataset = ClipDataset(tmp_path, {"shards": {}, "splits": {}, "generated": False}, CROPS)
    folder, record = tmp_path / "new", run.describe(CONFIG, dataset)
    assert not run.can_resume(folder, record, overwrite=False)
    run.clear(folder)
    write_json(folder / run.CONFIG_NAME, record)
    (folder / run.CHECKPOINT_NAME).touch()
    assert run.can_resume(folder, record, overwrite=False)
    assert not run.can_resume(folder, record, overwrite=True)
    free = dataclasses.replace(CONFIG, strategy="cpu", checkpoint_minutes=3.0)
    assert run.can_resume(folder, run.describe(free, dataset), overwrite=False)
    other = run.describe(dataclasses.replace(CONFIG, learning_rate=1e-4), dataset)
    with pytest.raises(TrainError, match="--learning-rate was 0.0003 and is 0.0001"):
        run.can_resume(folder, other, overwrite=False)
    info = {**dataset.info, "shards": {"a": {"sha256": "b"}}}
    grown = run.describe(CONFIG, dataclasses.replace(dataset, info=info))
    with pytest.raises(TrainError, match="the shards are others"):
        run.can_resume(folder, grown, overwrite=False)


def test_the_printed_config_is_one_that_can_be_given(tmp_path, capsys):
    argv = ["--print-config", "--learning-rate", "1e-4", "--no-augment", "--temporal", "gru"]
    assert main(["train", *argv]) == 0
    printed = capsys.readouterr().out
    settings = yaml.safe_load(printed)
    assert settings["learning_rate"] == 1e-4 and settings["augment"] is False
    (tmp_path / "settings.yaml").write_text(printed)
    assert main(["train", "--print-config", "--config", str(tmp_path / "settings.yaml")]) == 0
    assert capsys.readouterr().out == printed


def test_a_flag_goes_before_the_config_file(tmp_path, capsys):
    (tmp_path / "settings.yaml").write_text("learning_rate: 1e-5\nepochs: 7\n")
    argv = ["--print-config", "--config", str(tmp_path / "settings.yaml"), "--epochs", "9"]
    assert main(["train", *argv]) == 0
    settings = yaml.safe_load(capsys.readouterr().out)
    assert (settings["learning_rate"], settings["epochs"]) == (1e-5, 9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rat: 1", r"found \['learning_rat'\]"),
        ("- epochs", "expected settings of a training by name"),
        ("epochs: [", "is not YAML"),
        ("epochs: many", "invalid int value: 'many'"),
        ("epochs: 0", "--epochs is 0"),
        ("temporal: rnn", "--temporal is 'rnn'; choose one of lstm"),
        ("augment: perhaps", "--augment is 'perhaps'"),
    ],
)
def test_a_config_file_that_is_wrong_is_wrong_usage(tmp_path, capsys, text, message):
    (tmp_path / "settings.yaml").write_text(text)
    with pytest.raises(SystemExit) as exit_info:
        main(["train", "--print-config", "--config", str(tmp_path / "settings.yaml")])
    assert exit_info.value.code == 2
    assert re.search(message, capsys.readouterr().err)


def test_data_and_out_are_needed(capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(["train", "--data", "somewhere"])
    assert exit_info.value.code == 2 and "--out are needed" in capsys.readouterr().err


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_shows_loss_auc_clips_a_second_and_time_left(terminal):
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=120)
    state = checkpoint.TrainingState()
    display = ProgressDisplay(console, state, steps=4, steps_per_epoch=2, batch_size=8)
    display.on_train_begin()
    logs = {"loss": 0.5, "logit_auc": 0.75}
    for state.step in (1, 2):
        display.on_train_batch_end(0, logs)
    display.on_epoch_end(0, {**logs, "val_loss": 0.25, "val_logit_auc": 0.875})
    display.close()
    line = next(line for line in out.getvalue().splitlines() if "epoch 1/2" in line)
    assert re.search(r"loss 0.5000  AUC 0.750  val loss 0.2500  val AUC 0.875", line)
    assert re.search(r"\d clips/s  \d+ s left at most", line)
    assert ("\x1b" in out.getvalue()) == terminal


def test_a_batch_that_devices_cannot_share_is_refused():
    check_batch_size(8, 4)
    with pytest.raises(TrainError, match="give --batch-size as a multiple of 4"):
        check_batch_size(6, 4)
