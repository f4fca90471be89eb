"""Optimizer: Keras' AdamW step by step, slow variables, averages, learning rate schedule."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.config import TrainConfig
from trainer.model.backbones import BACKBONE
from trainer.model.detector import build_model
from trainer.training.optimizer import NO_DECAY, DetectorAdamW, make_optimizer, warmup_cosine

STEPS = 6
SHAPES = {"kernel": (4, 3), "bias": (3,), "gamma": (3,), "beta": (3,), "positions": (2, 3)}
SETTINGS = {
    "plain": {"learning_rate": 0.01},
    "decay": {"learning_rate": 0.01, "weight_decay": 0.1},
    "clipping": {"learning_rate": 0.01, "global_clipnorm": 0.5},
    "betas": {"learning_rate": 0.01, "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
    "schedule": {"learning_rate": warmup_cosine(0.01, STEPS, 0.5), "weight_decay": 0.1},
    "everything": {"learning_rate": 0.01, "weight_decay": 0.1, "global_clipnorm": 0.5},
}
every_setting = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)


def variables() -> list[keras.Variable]:
    rng = np.random.default_rng(0)
    return [
        keras.Variable(rng.normal(size=shape).astype("float32"), name=name)
        for name, shape in SHAPES.items()
    ]


def path(optimizer: keras.optimizers.Optimizer, slow: tuple[str, ...] = ()) -> list[dict]:
    """The variables' values after each of some steps, with the same gradients every time."""
    optimizer.exclude_from_weight_decay(var_names=list(NO_DECAY))
    learned = variables()
    if slow:
        optimizer.slow_down([variable for variable in learned if variable.name in slow])
    optimizer.build(learned)

    @tf.function
    def step(gradients):
        optimizer.apply(gradients, learned)

    rng, values = np.random.default_rng(1), []
    for _ in range(STEPS):
        step([tf.constant(rng.normal(size=x.shape).astype("float32")) for x in learned])
        values.append({variable.name: variable.numpy() for variable in learned})
    return values


@every_setting
def test_each_step_is_that_of_keras(settings):
    ours, theirs = path(DetectorAdamW(**settings)), path(keras.optimizers.AdamW(**settings))
    for mine, other in zip(ours, theirs, strict=True):
        for name in SHAPES:
            np.testing.assert_allclose(mine[name], other[name], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("rate", [0.5, 0.1])
def test_slow_variables_move_as_by_an_optimizer_of_their_rate(rate):
    slow = ("kernel", "bias")
    got = path(DetectorAdamW(0.01, weight_decay=0.1, slow_rate=rate), slow)
    slower = path(keras.optimizers.AdamW(0.01 * rate, weight_decay=0.1))
    usual = path(keras.optimizers.AdamW(0.01, weight_decay=0.1))
    for name in SHAPES:
        expected = (slower if name in slow else usual)[-1][name]
        np.testing.assert_allclose(got[-1][name], expected, rtol=1e-6, atol=1e-6)


def test_a_slow_rate_of_zero_leaves_variables_as_they_were():
    got = path(DetectorAdamW(0.01, weight_decay=0.1, slow_rate=0.0), ("kernel",))
    np.testing.assert_array_equal(got[-1]["kernel"], variables()[0].numpy())


@pytest.mark.parametrize("name", SHAPES)
def test_only_kernels_decay(name):
    without, with_decay = (path(DetectorAdamW(0.01, weight_decay=d))[-1] for d in (0.0, 0.1))
    assert (without[name] == with_decay[name]).all() == (name in NO_DECAY)


def test_averages_follow_the_weights_by_the_momentum():
    optimizer = DetectorAdamW(0.01, use_ema=True, ema_momentum=0.8)
    values = path(optimizer)
    for name, average in optimizer.averages().items():
        expected = values[0][name]  # the first step's weights begin the average
        for value in values[1:]:
            expected = 0.8 * expected + 0.2 * value[name]
        np.testing.assert_allclose(average, expected, rtol=1e-5, atol=1e-6)


def test_there_is_an_average_of_every_variable():
    optimizer = DetectorAdamW(0.01, use_ema=True)
    path(optimizer)
    assert set(optimizer.averages()) == set(SHAPES)


def test_without_averaging_there_are_no_averages():
    optimizer = DetectorAdamW(0.01)
    path(optimizer)
    assert optimizer.averages() == {}


def test_the_end_of_a_fit_does_not_overwrite_weights_with_averages():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(DetectorAdamW(0.1, use_ema=True, ema_momentum=0.9), "mse")
    x = np.random.default_rng(0).normal(size=(8, 2)).astype("float32")
    seen = []
    spy = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(model.get_weights())
    )
    model.fit(x, x[:, :1], batch_size=2, verbose=0, callbacks=[spy])
    for weight, last in zip(model.get_weights(), seen[-1], strict=True):
        np.testing.assert_array_equal(weight, last)


def test_the_optimizer_comes_back_from_its_config():
    optimizer = DetectorAdamW(warmup_cosine(0.01, 10, 0.1), slow_rate=0.3, weight_decay=0.1)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert again.get_config() == optimizer.get_config()


# The learning rate.


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 0.05), (10, 0.525), (20, 1.0), (60, 0.505), (100, 0.01), (500, 0.01)],
)
def test_the_rate_rises_along_a_line_and_falls_along_a_half_cosine(step, expected):
    assert float(warmup_cosine(1.0, 100, 0.2)(step)) == pytest.approx(expected, abs=1e-5)


def test_the_rate_has_one_peak():
    rates = np.array([float(warmup_cosine(1.0, 50, 0.1)(step)) for step in range(51)])
    peak = int(rates.argmax())
    assert (np.diff(rates[: peak + 1]) > 0).all() and (np.diff(rates[peak:]) < 0).all()


@pytest.mark.parametrize(("steps", "warmup"), [(100, 0.0), (1, 0.0), (1, 0.5), (5, 0.1)])
def test_without_steps_to_rise_in_the_rate_begins_at_its_peak(steps, warmup):
    assert float(warmup_cosine(1.0, steps, warmup)(0)) == pytest.approx(1.0)


@pytest.mark.parametrize("step", [0, 1, 2, 3])
def test_a_training_that_only_rises_has_a_finite_rate(step):
    assert 0 < float(warmup_cosine(1.0, 2, 1.0)(step)) <= 1.0


# Of a detector.


@pytest.fixture
def made() -> tuple[keras.Model, DetectorAdamW]:
    """A detector whose backbone learns at a tenth of the rate, and its optimizer."""
    config = TrainConfig(
        backbone="resnext_tiny", temporal="transformer", weight_decay=0.1, backbone_rate=0.1
    )
    model = build_model(config, 16, 2)
    return model, make_optimizer(config, model, model.get_layer(BACKBONE), steps=10)


def moved(made, gradient: float) -> dict[str, float]:
    """By its path, how far each variable of the detector moves on average in a step."""
    model, optimizer = made
    before = [variable.numpy() for variable in model.trainable_variables]
    gradients = [tf.fill(variable.shape, gradient) for variable in model.trainable_variables]
    optimizer.apply(gradients, model.trainable_variables)
    return {
        variable.path: float(np.abs(variable.numpy() - old).mean())
        for variable, old in zip(model.trainable_variables, before, strict=True)
    }


def test_norms_biases_and_positions_of_a_detector_do_not_decay(made):
    model, _ = made
    still = {path for path, distance in moved(made, 0.0).items() if not distance}
    expected = {v.path for v in model.trainable_variables if v.path.rpartition("/")[2] in NO_DECAY}
    assert still == expected


def test_the_backbone_of_a_detector_is_slow(made):
    distances = moved(made, 1e3)
    backbone = {v.path for v in made[0].get_layer(BACKBONE).trainable_variables}
    slow = max(distance for path, distance in distances.items() if path in backbone)
    fast = min(distance for path, distance in distances.items() if path not in backbone)
    assert 0 < slow < 0.2 * fast
