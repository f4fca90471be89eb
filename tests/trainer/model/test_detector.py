"""The whole detector: its outputs, its training, and the same numbers with and without oneDNN."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.fixtures import ROOT
from trainer.config import TrainConfig
from trainer.model.backbones import BACKBONE
from trainer.model.detector import build_model, load_model
from trainer.training.losses import ClipAUC, clip_loss, compile_model, frame_loss
from trainer.training.optimizer import make_optimizer

B, T, SIDE = 4, 3, 16
CONFIG = TrainConfig(backbone="resnext_tiny", temporal_units=8, learning_rate=1e-2, warmup=0.0)
KEEP = np.array([[1, 1, 1], [1, 0, 1], [0, 0, 1], [0, 1, 1]], bool)
LABELS = np.array([0, 1, 1, 0], "float32")
CLIPS = np.random.default_rng(0).integers(0, 256, (B, T, SIDE, SIDE, 3), dtype=np.uint8)
INPUTS = {"clips": CLIPS, "mask": KEEP}
TARGETS = {"logit": LABELS, "frame_logit": np.where(KEEP, LABELS[:, None], -1.0)}


def detector(precision: str = "float32", **changes) -> keras.Model:
    """A tiny one, ready to train."""
    keras.utils.set_random_seed(0)
    config = dataclasses.replace(CONFIG, **changes)
    model = build_model(config, SIDE, T, precision)
    optimizer = make_optimizer(config, model, model.get_layer(BACKBONE), steps=10)
    compile_model(model, optimizer, config.frame_loss_weight)
    return model


@pytest.fixture(scope="module")
def trained() -> tuple[keras.Model, list[np.ndarray], list[dict[str, float]]]:
    """A detector after ten steps with the same clips, its first weights, and what it reported."""
    model = detector()
    before = model.get_weights()
    logs = [model.train_on_batch(INPUTS, TARGETS, return_dict=True) for _ in range(10)]
    return model, before, logs


def test_a_training_step_reaches_every_weight(trained):
    model, before, _ = trained
    for weight, old in zip(model.weights, before, strict=True):
        assert np.abs(weight.numpy() - old).max() > 0, weight.path


def test_training_on_the_same_clips_lowers_the_loss(trained):
    _, _, logs = trained
    assert logs[-1]["loss"] < 0.7 * logs[0]["loss"]


def test_the_loss_is_the_clips_and_a_share_of_the_frames(trained):
    _, _, logs = trained
    parts = logs[0]["logit_loss"] + CONFIG.frame_loss_weight * logs[0]["frame_logit_loss"]
    assert logs[0]["loss"] == pytest.approx(parts, rel=1e-5)


def test_a_saved_detector_gives_the_same_scores(trained, tmp_path):
    model, _, _ = trained
    model.save(tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")(INPUTS, training=False)
    for name, expected in model(INPUTS, training=False).items():
        np.testing.assert_allclose(again[name], expected, atol=1e-6)


def test_bfloat16_gives_nearly_the_scores_of_float32(trained):
    model, _, _ = trained
    other = build_model(CONFIG, SIDE, T, "bfloat16")
    other.set_weights(model.get_weights())
    expected = model(INPUTS, training=False)["logit"]
    np.testing.assert_allclose(other(INPUTS, training=False)["logit"], expected, atol=0.1)


def test_weights_are_float32_when_computed_in_bfloat16():
    model = build_model(CONFIG, SIDE, T, "bfloat16")
    assert {weight.dtype for weight in model.trainable_weights} == {"float32"}


def test_a_step_in_bfloat16_has_a_finite_loss():
    logs = detector("bfloat16").train_on_batch(INPUTS, TARGETS, return_dict=True)
    assert np.isfinite(logs["loss"])


@pytest.mark.parametrize("pretrained", ["", "missing.safetensors"])
def test_building_leaves_the_precision_of_others_as_it_was(pretrained):
    before = keras.config.dtype_policy().name
    try:
        build_model(
            TrainConfig(backbone="resnext_tiny", pretrained=pretrained), SIDE, T, "bfloat16"
        )
    except FileNotFoundError:
        pass
    assert keras.config.dtype_policy().name == before


# What is made small.


def cross_entropy(target, logit):
    probability = 1 / (1 + np.exp(-np.asarray(logit, "float64")))
    return -target * np.log(probability) - (1 - target) * np.log(1 - probability)


def test_the_loss_of_clips_is_their_cross_entropy():
    target, logit = np.array([0, 1, 0.9]), np.array([0.3, -2.0, 1.0])
    got = clip_loss(tf.constant(target, tf.float32), tf.constant(logit, tf.float32))
    np.testing.assert_allclose(got, cross_entropy(target, logit), rtol=1e-5)


def test_the_loss_of_frames_is_the_mean_over_real_ones():
    target, logit = np.array([[0, -1, 1], [1, 1, 1]]), np.array([[1.0, 9, -2], [0, 1, 2]])
    got = frame_loss(tf.constant(target, tf.float32), tf.constant(logit, tf.float32))
    losses = cross_entropy(target, logit)
    np.testing.assert_allclose(got, [losses[0, [0, 2]].mean(), losses[1].mean()], rtol=1e-5)


def test_the_loss_of_a_clip_without_frames_is_zero():
    assert frame_loss(-tf.ones((1, 3)), tf.ones((1, 3))).numpy() == 0


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_smoothed_targets_leave_the_auc_as_it_is(smoothing):
    metric = ClipAUC(from_logits=True)
    targets = tf.constant([0.0, 0.0, 1.0, 1.0]) * (1 - 2 * smoothing) + smoothing
    metric.update_state(targets, tf.constant([-2.0, 1.0, 0.0, 3.0]))
    assert float(metric.result()) == pytest.approx(0.75, abs=0.01)


# oneDNN is chosen before TensorFlow starts, so that each choice needs a process.

ONEDNN = """
import json
import tensorflow as tf
from tests.trainer.model.test_detector import INPUTS, TARGETS, detector
from trainer.model.layers import GroupedConv2D, native_grouping_works

model = detector(dropout=0.0, temporal="mean")
result = {"native": native_grouping_works()}
result["loss"] = model.train_on_batch(INPUTS, TARGETS, return_dict=True)["loss"]
for implementation in ("auto", "merged"):
    for layer in model._flatten_layers():
        if isinstance(layer, GroupedConv2D):
            layer.implementation = implementation
    graph = tf.function(lambda inputs: model(inputs, training=False))
    result[implementation] = graph(INPUTS)["logit"].numpy().tolist()
print(json.dumps(result))
"""


@pytest.fixture(scope="module")
def by_onednn() -> dict[str, dict]:
    """What a training step and the trained detector give with TF_ENABLE_ONEDNN_OPTS 0 and 1."""
    running = {
        choice: subprocess.Popen(
            [sys.executable, "-c", ONEDNN],
            cwd=ROOT,
            env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": choice},
            stdout=subprocess.PIPE,
            text=True,
        )
        for choice in "01"
    }
    outputs = {choice: process.communicate(timeout=300)[0] for choice, process in running.items()}
    assert all(process.returncode == 0 for process in running.values())
    return {choice: json.loads(output.splitlines()[-1]) for choice, output in outputs.items()}


def test_without_onednn_grouped_kernels_are_not_native(by_onednn):
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("a GPU takes grouped kernels in any case")
    assert not by_onednn["0"]["native"]


@pytest.mark.parametrize("choice", "01")
def test_merged_groups_give_what_auto_gives(by_onednn, choice):
    result = by_onednn[choice]
    np.testing.assert_allclose(result["merged"], result["auto"], atol=1e-4)


@pytest.mark.parametrize("part", ["loss", "auto"])
def test_training_gives_the_same_with_and_without_onednn(by_onednn, part):
    np.testing.assert_allclose(by_onednn["0"][part], by_onednn["1"][part], atol=1e-3)
