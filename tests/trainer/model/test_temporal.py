"""Temporal models: shapes, masks, order; each in a tiny detector, and alone on features."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis.extra.numpy import arrays

import trainer.model.layers  # noqa: F401  registers the layers
from trainer.config import TrainConfig
from trainer.model.config import TEMPORALS
from trainer.model.detector import build_model
from trainer.model.temporal import TEMPORAL_MODELS, encode_and_pool

B, T, SIDE, FEATURES = 4, 5, 16, 6
CONFIG = TrainConfig(backbone="resnext_tiny", temporal_units=8, temporal_layers=2)
ORDERED = ("lstm", "bilstm", "gru", "transformer")
UNORDERED = ("attention", "mean")
LAYERED = [("lstm", 1), ("transformer", 1), *((name, 2) for name in TEMPORALS)]


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (B, T, SIDE, SIDE, 3), dtype=np.uint8)


def features(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(B, T, FEATURES)).astype("float32")


CLIPS, OTHER_CLIPS = pixels(0), pixels(1)
FRAMES, OTHER_FRAMES = features(0), features(1)
KEEP = np.array([[1, 1, 1, 1, 1], [1, 0, 1, 1, 0], [0, 0, 1, 0, 0], [0, 1, 1, 1, 1]], bool)


def for_any_mask(test: Callable) -> Callable:
    """Runs the test with masks of any kind: lost frames anywhere, clips without a frame."""
    shared = settings(
        max_examples=20,
        deadline=None,
        derandomize=True,
        # What the fixtures build is the same for all masks, and nothing changes it.
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    return shared(given(mask=arrays(bool, (B, T)))(test))


def test_every_temporal_model_is_a_choice_of_the_flag():
    assert list(TEMPORAL_MODELS) == list(TEMPORALS)


# In a detector: from pixels to logits.


@pytest.fixture(scope="module", params=TEMPORALS)
def score(request) -> Callable[..., dict[str, np.ndarray]]:
    """What a tiny detector gives for clips and a mask."""
    keras.utils.set_random_seed(0)
    model = build_model(dataclasses.replace(CONFIG, temporal=request.param), SIDE, T)
    graph = tf.function(lambda clips, mask: model({"clips": clips, "mask": mask}, training=False))

    def run(clips: np.ndarray, mask: np.ndarray) -> dict[str, np.ndarray]:
        outputs = graph(tf.constant(clips), tf.constant(mask))
        return {name: output.numpy() for name, output in outputs.items()}

    return run


def test_outputs_are_one_logit_for_the_clip_and_one_for_each_frame(score):
    shapes = {name: output.shape for name, output in score(CLIPS, KEEP).items()}
    assert shapes == {"logit": (B,), "frame_logit": (B, T)}


@pytest.mark.parametrize("temporal", TEMPORALS)
def test_outputs_are_float32_when_computed_in_bfloat16(temporal):
    model = build_model(dataclasses.replace(CONFIG, temporal=temporal), SIDE, T, "bfloat16")
    outputs = model({"clips": CLIPS, "mask": KEEP}, training=False)
    assert {output.dtype.name for output in outputs.values()} == {"float32"}


@for_any_mask
def test_pixels_of_frames_that_are_not_real_change_nothing(score, mask):
    mixed = np.where(mask[..., None, None, None], CLIPS, OTHER_CLIPS)
    as_is, other = score(CLIPS, mask), score(mixed, mask)
    np.testing.assert_allclose(other["logit"], as_is["logit"], atol=1e-5)
    np.testing.assert_allclose(other["frame_logit"][mask], as_is["frame_logit"][mask], atol=1e-5)


def test_pixels_of_each_real_frame_change_the_clips_logit(score):
    before = score(CLIPS, KEEP)["logit"]
    for clip, frame in np.argwhere(KEEP):
        changed = CLIPS.copy()
        changed[clip, frame] = OTHER_CLIPS[clip, frame]
        after = score(changed, KEEP)["logit"]
        assert abs(after[clip] - before[clip]) > 1e-6, (clip, frame)


def test_a_clip_without_any_frame_gives_finite_outputs(score):
    for output in score(CLIPS, np.zeros((B, T), bool)).values():
        assert np.isfinite(output).all()


# Alone: from features to features.


def on_features(temporal: str, count: int = 2, frames: int | None = T) -> keras.Model:
    """Features (B, T, D) and mask (B, T) -> features per frame and per clip."""
    keras.utils.set_random_seed(0)
    config = dataclasses.replace(CONFIG, temporal=temporal, temporal_layers=count)
    x, keep = keras.Input((frames, FEATURES)), keras.Input((frames,), dtype="bool")
    return keras.Model([x, keep], encode_and_pool(x, keep, config))


@pytest.fixture(scope="module", params=LAYERED, ids=lambda case: "{}{}".format(*case))
def alone(request) -> keras.Model:
    return on_features(*request.param)


@pytest.fixture(scope="module")
def pooled(alone) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """What the temporal model gives for features and a mask, as a graph."""
    graph = tf.function(lambda x, mask: alone([x, mask], training=False))
    return lambda x, mask: tuple(y.numpy() for y in graph(tf.constant(x), tf.constant(mask)))


@for_any_mask
def test_features_of_frames_that_are_not_real_change_nothing(pooled, mask):
    mixed = np.where(mask[..., None], FRAMES, OTHER_FRAMES)
    (sequence, clip), (other_sequence, other_clip) = pooled(FRAMES, mask), pooled(mixed, mask)
    np.testing.assert_allclose(other_clip, clip, atol=1e-5)
    np.testing.assert_allclose(other_sequence[mask], sequence[mask], atol=1e-5)


def test_a_clip_without_any_frame_gives_finite_gradients(alone):
    with tf.GradientTape() as tape:
        sequence, clip = alone([FRAMES, np.zeros((B, T), bool)])
        loss = tf.reduce_sum(sequence**2) + tf.reduce_sum(clip**2)
    for gradient in tape.gradient(loss, alone.trainable_weights):
        assert gradient is None or np.isfinite(gradient).all()


def test_a_saved_temporal_model_gives_the_same_features(alone, pooled, tmp_path):
    alone.save(tmp_path / "temporal.keras")
    again = keras.models.load_model(tmp_path / "temporal.keras")([FRAMES, KEEP], training=False)
    for got, expected in zip(again, pooled(FRAMES, KEEP), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6)


# The transformer learns a vector for each place, so that its number of frames is fixed.
@pytest.mark.parametrize("temporal", [name for name in TEMPORALS if name != "transformer"])
def test_padding_at_the_end_changes_nothing(temporal):
    model = on_features(temporal, frames=None)
    filled = np.pad(FRAMES, [(0, 0), (0, 3), (0, 0)], constant_values=7)
    longer = model([filled, np.pad(KEEP, [(0, 0), (0, 3)])])
    sequence, clip = model([FRAMES, KEEP])
    np.testing.assert_allclose(longer[1], clip, atol=1e-5)
    np.testing.assert_allclose(longer[0].numpy()[:, :T][KEEP], sequence.numpy()[KEEP], atol=1e-5)


def change_by_order(temporal: str) -> float:
    """The largest change in a clip's features when its frames come in another order."""
    model, order = on_features(temporal), [3, 0, 4, 1, 2]
    clip, other = (model([FRAMES[:, i], KEEP[:, i]])[1] for i in (np.arange(T), order))
    return np.abs(clip - other).max()


@pytest.mark.parametrize("temporal", ORDERED)
def test_the_order_of_frames_matters(temporal):
    assert change_by_order(temporal) > 1e-3


@pytest.mark.parametrize("temporal", UNORDERED)
def test_the_order_of_frames_does_not_matter(temporal):
    assert change_by_order(temporal) < 1e-6


@pytest.mark.parametrize(
    ("temporal", "does"), [("lstm", False), ("gru", False), ("bilstm", True), ("transformer", True)]
)
def test_only_some_models_see_later_frames(temporal, does):
    model, keep = on_features(temporal), np.ones((B, T), bool)
    other = FRAMES.copy()
    other[:, -1] += 1
    first = (model([frames, keep])[0][:, 0] for frames in (FRAMES, other))
    assert (np.abs(np.subtract(*first)).max() > 1e-5) == does
