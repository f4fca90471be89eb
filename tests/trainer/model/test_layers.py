"""Custom layers: each against a plain reference, and all of them in one harness."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.model import layers
from trainer.model.layers import (
    AttentionPool,
    BatchNorm,
    FoldTime,
    GroupedConv2D,
    MaskedMean,
    Positions,
    UnfoldTime,
    native_grouping_works,
)


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def as_graph(layer: keras.layers.Layer, *inputs: np.ndarray, **options) -> np.ndarray:
    return tf.function(lambda *x: layer(*x, **options))(*map(tf.constant, inputs)).numpy()


# One harness for all layers.


class Case(NamedTuple):
    """How to make a layer, and inputs for it."""

    make: Callable[..., keras.layers.Layer]
    inputs: tuple[np.ndarray, ...]


KEEP = np.array([[1, 0, 1], [0, 0, 0]], bool)
CASES = {
    "GroupedConv2D": Case(
        lambda **options: GroupedConv2D(16, 3, 4, 2, "merged", **options), (numbers(2, 7, 7, 8),)
    ),
    "BatchNorm": Case(lambda **options: BatchNorm(momentum=0.9, **options), (numbers(2, 3, 3, 8),)),
    "FoldTime": Case(FoldTime, (numbers(2, 3, 4, 4, 3),)),
    "UnfoldTime": Case(lambda **options: UnfoldTime(3, **options), (numbers(6, 5),)),
    "Positions": Case(Positions, (numbers(2, 3, 5),)),
    "MaskedMean": Case(MaskedMean, (numbers(2, 3, 5), KEEP)),
    "AttentionPool": Case(lambda **options: AttentionPool(4, **options), (numbers(2, 3, 5), KEEP)),
}
WITH_WEIGHTS = ("GroupedConv2D", "BatchNorm", "Positions", "AttentionPool")
every_layer = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def network(case: Case, policy: str = "float32") -> keras.Model:
    inputs = [keras.Input(x.shape[1:], dtype=x.dtype.name) for x in case.inputs]
    return keras.Model(inputs, case.make(dtype=policy, name="tested")(*inputs))


def test_the_harness_knows_every_layer():
    ours = {
        name
        for name, kind in inspect.getmembers(layers, inspect.isclass)
        if issubclass(kind, keras.layers.Layer) and kind.__module__ == layers.__name__
    }
    assert ours == set(CASES)


@every_layer
def test_a_layer_comes_back_from_its_config(case):
    layer = case.make(name="tested")
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


@every_layer
def test_a_config_holds_only_what_the_constructor_takes(case):
    layer = case.make()
    taken = {
        name for kind in type(layer).__mro__ for name in inspect.signature(kind.__init__).parameters
    }
    assert set(layer.get_config()) <= taken | {"trainable", "dtype", "name"}


@every_layer
def test_a_saved_layer_gives_the_same_output(case, tmp_path):
    model = network(case)
    model.set_weights([numbers(*weight.shape, seed=1) ** 2 for weight in model.get_weights()])
    model.save(tmp_path / "layer.keras")
    again = keras.models.load_model(tmp_path / "layer.keras")
    np.testing.assert_array_equal(again(list(case.inputs)), model(list(case.inputs)))


@every_layer
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_symbolic_call_foretells_what_an_eager_call_gives(case, policy):
    model = network(case, policy)
    eager = model.get_layer("tested")(*case.inputs)
    assert (eager.dtype.name, *eager.shape[1:]) == (model.output.dtype, *model.output.shape[1:])


@every_layer
def test_a_graph_gives_what_an_eager_call_gives(case):
    layer = network(case).get_layer("tested")
    np.testing.assert_allclose(as_graph(layer, *case.inputs), layer(*case.inputs), atol=1e-5)


@pytest.mark.parametrize("case", [CASES[name] for name in WITH_WEIGHTS], ids=WITH_WEIGHTS)
def test_a_training_step_changes_every_weight(case):
    model = network(case)
    before = model.get_weights()
    target = numbers(*model(list(case.inputs)).shape, seed=1)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.train_on_batch(list(case.inputs), target)
    for weight, old in zip(model.weights, before, strict=True):
        assert np.abs(weight.numpy() - old).max() > 1e-6, weight.path


@pytest.mark.parametrize("case", [CASES[name] for name in WITH_WEIGHTS], ids=WITH_WEIGHTS)
def test_a_layer_and_its_gradients_are_the_same_under_xla(case):
    layer = network(case).get_layer("tested")

    def run(*inputs):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(*inputs, training=True) ** 2)
        return tape.gradient(loss, [weight.value for weight in layer.trainable_weights])

    inputs = [tf.constant(x) for x in case.inputs]
    by_xla, usual = (tf.function(run, jit_compile=jit)(*inputs) for jit in (True, None))
    for got, expected in zip(by_xla, usual, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


# Grouped convolution.


class Derivatives(NamedTuple):
    """What a convolution gives, and the gradients of sum(y * upstream)."""

    y: np.ndarray
    by_x: np.ndarray
    by_kernel: np.ndarray


def out_side(side: int, kernel_size: int, strides: int) -> int:
    return (side + 2 * (kernel_size // 2) - kernel_size) // strides + 1


def naive(x, kernel, groups: int, strides: int, upstream) -> Derivatives:
    """The definition, in float64: over groups and places in the kernel, one product at a time."""
    x, kernel, upstream = (array.astype("float64") for array in (x, kernel, upstream))
    pad = kernel.shape[0] // 2
    padded = np.pad(x, [(0, 0), (pad, pad), (pad, pad), (0, 0)])
    y, by_padded, by_kernel = map(np.zeros_like, (upstream, padded, kernel))
    rows, columns = (strides * (side - 1) + 1 for side in upstream.shape[1:3])
    into, out = kernel.shape[2], kernel.shape[3] // groups
    for g in range(groups):
        c, f = slice(g * into, (g + 1) * into), slice(g * out, (g + 1) * out)
        for i, j in np.ndindex(*kernel.shape[:2]):
            seen = np.s_[:, i : i + rows : strides, j : j + columns : strides, c]
            y[..., f] += padded[seen] @ kernel[i, j, :, f]
            by_padded[seen] += upstream[..., f] @ kernel[i, j, :, f].T
            by_kernel[i, j, :, f] = np.einsum("bhwc,bhwf->cf", padded[seen], upstream[..., f])
    inner = np.s_[:, pad : pad + x.shape[1], pad : pad + x.shape[2]]
    return Derivatives(y, by_padded[inner], by_kernel)


def computed(implementation: str, x, kernel, groups: int, strides: int, upstream) -> Derivatives:
    layer = GroupedConv2D(kernel.shape[3], kernel.shape[0], groups, strides, implementation)
    layer.build(x.shape)
    layer.kernel.assign(kernel)

    @tf.function
    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(y * upstream)
        return (y, *tape.gradient(loss, [x, layer.kernel.value]))

    return Derivatives(*(part.numpy() for part in run(tf.constant(x))))


@pytest.fixture(scope="module", params=["auto", "native", "merged"])
def implementation(request) -> str:
    if request.param == "native" and not native_grouping_works():
        pytest.skip("TensorFlow takes no grouped kernels here")
    return request.param


@pytest.fixture(
    scope="module",
    params=[
        (64, 64, 32, 3, 1, (8, 8)),
        (64, 64, 8, 3, 2, (8, 8)),
        (48, 96, 4, 3, 2, (7, 7)),
        (48, 24, 6, 3, 2, (5, 8)),
        (16, 16, 16, 3, 1, (5, 4)),
        (64, 32, 2, 1, 2, (6, 6)),
        (32, 32, 8, 5, 2, (9, 6)),
        (8, 8, 1, 3, 2, (6, 6)),
        (96, 96, 3, 3, 1, (1, 1)),
    ],
    ids=lambda p: "{}to{}_groups{}_kernel{}_strides{}".format(*p[:5]),
)
def convolution(request) -> tuple:
    channels, filters, groups, size, strides, sides = request.param
    upstream_sides = (out_side(side, size, strides) for side in sides)
    return (
        numbers(2, *sides, channels),
        numbers(size, size, channels // groups, filters, seed=1),
        groups,
        strides,
        numbers(2, *upstream_sides, filters, seed=2),
    )


@pytest.fixture(scope="module")
def got_and_expected(convolution, implementation) -> tuple[Derivatives, Derivatives]:
    return computed(implementation, *convolution), naive(*convolution)


@pytest.mark.parametrize("part", Derivatives._fields)
def test_grouped_convolution_and_its_gradients_are_those_of_the_definition(got_and_expected, part):
    got, expected = (getattr(side, part) for side in got_and_expected)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((8, 2, 4), "kernel_size is 2; it must be odd"),
        ((8, 4, 4), "kernel_size is 4; it must be odd"),
        ((10, 3, 4), "filters is 10; it must be a multiple of groups, 4"),
        ((8, 3, 4, 1, "fast"), "implementation is 'fast'; use one of"),
    ],
)
def test_grouped_convolution_refuses_what_it_cannot_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        GroupedConv2D(*arguments)


def test_grouped_convolution_refuses_channels_it_cannot_group():
    with pytest.raises(ValueError, match="has 6 channels; it must be a multiple of groups, 4"):
        GroupedConv2D(8, 3, 4).build((1, 8, 8, 6))


@pytest.mark.parametrize("sides", [(7, None), (None, None)])
def test_grouped_convolution_leaves_unknown_sides_unknown(sides):
    shape = GroupedConv2D(8, 3, 4, 2).compute_output_shape((None, *sides, 8))
    assert shape == (None, *(side and 4 for side in sides), 8)


# Batch normalization.

IMAGES = numbers(4, 5, 5, 8) * 3 + 2


def norms(**options) -> tuple[BatchNorm, keras.layers.BatchNormalization]:
    """Ours and Keras' own with the same weights, of which none is what a fresh layer has."""
    both = tuple(
        kind(momentum=0.9, epsilon=1e-3, **options)
        for kind in (BatchNorm, keras.layers.BatchNormalization)
    )
    for layer in both:
        layer.build(IMAGES.shape)
        weights = [numbers(8, seed=seed) for seed in range(4)]
        layer.gamma.assign(weights[0])
        layer.beta.assign(weights[1])
        layer.moving_mean.assign(weights[2])
        layer.moving_variance.assign(weights[3] ** 2 + 0.5)
    return both


def gradients(layer: keras.layers.Layer) -> list[np.ndarray]:
    upstream = numbers(*IMAGES.shape, seed=9)

    @tf.function
    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x, training=True) * upstream)
        return tape.gradient(loss, [x, layer.gamma.value, layer.beta.value])

    return [gradient.numpy() for gradient in run(tf.constant(IMAGES))]


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_gives_what_keras_gives(training):
    ours, theirs = (as_graph(layer, IMAGES, training=training) for layer in norms())
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("trainable", [True, False])
def test_batch_norm_has_the_gradients_of_keras(trainable):
    layers = norms()
    for layer in layers:
        layer.trainable = trainable
    for ours, theirs in zip(*map(gradients, layers), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_batch_norm_moves_its_mean_towards_the_batchs():
    ours, theirs = norms()
    for layer in (ours, theirs):
        as_graph(layer, IMAGES, training=True)
    np.testing.assert_allclose(ours.moving_mean, theirs.moving_mean, atol=1e-5)


def test_batch_norm_moves_its_variance_towards_the_unbiased_one_of_the_batch():
    layer, _ = norms()
    before = layer.moving_variance.numpy()
    as_graph(layer, IMAGES, training=True)
    unbiased = IMAGES.reshape(-1, 8).var(0, ddof=1)
    np.testing.assert_allclose(layer.moving_variance, 0.9 * before + 0.1 * unbiased, rtol=1e-5)


def test_frozen_batch_norm_uses_its_running_statistics_in_training():
    layer, reference = norms()
    layer.trainable = False
    got = as_graph(layer, IMAGES, training=True)
    np.testing.assert_allclose(got, as_graph(reference, IMAGES, training=False), atol=1e-5)


@pytest.mark.parametrize(("training", "trainable"), [(False, True), (True, False)])
def test_batch_norm_leaves_its_statistics_where_it_does_not_learn(training, trainable):
    layer, _ = norms()
    layer.trainable = trainable
    before = layer.get_weights()
    as_graph(layer, IMAGES, training=training)
    for weight, old in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_takes_bfloat16_and_keeps_float32_weights(training):
    layer, reference = norms(dtype="mixed_bfloat16")[0], norms()[1]
    images = tf.cast(IMAGES, tf.bfloat16)
    got = layer(images, training=training)
    assert got.dtype == tf.bfloat16
    assert {weight.dtype for weight in layer.weights} == {"float32"}
    expected = reference(tf.cast(images, tf.float32), training=training)
    np.testing.assert_allclose(tf.cast(got, tf.float32), expected, rtol=1e-2, atol=1e-2)


# Time.


@pytest.mark.parametrize("inner", [(5,), (4, 4, 3)])
def test_frames_become_clips_again(inner):
    clips = numbers(2, 3, *inner)
    frames = FoldTime()(clips)
    assert frames.shape == (6, *inner)
    flat = tf.reshape(frames, (6, -1))
    np.testing.assert_array_equal(UnfoldTime(3)(flat), clips.reshape(2, 3, -1))


def test_folding_makes_pixels_of_bytes():
    clips = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 4, 3), dtype=np.uint8)
    frames = FoldTime(dtype="float32")(clips)
    np.testing.assert_array_equal(frames, clips.reshape(6, 4, 4, 3).astype("float32"))


def test_each_place_in_time_has_its_own_vector_added():
    layer, x = Positions(), numbers(2, 3, 5)
    layer.build(x.shape)
    layer.positions.assign(numbers(3, 5, seed=1))
    np.testing.assert_allclose(layer(x), x + numbers(3, 5, seed=1), atol=1e-6)


def test_the_mean_is_over_real_frames():
    x, keep = numbers(2, 3, 5), np.array([[1, 0, 1], [1, 1, 1]], bool)
    expected = [clip[real].mean(0) for clip, real in zip(x, keep, strict=True)]
    np.testing.assert_allclose(MaskedMean()(x, keep), expected, atol=1e-6)


def attention(x: np.ndarray, keep: np.ndarray) -> np.ndarray:
    keras.utils.set_random_seed(0)
    return AttentionPool(4)(x, keep).numpy()


@pytest.mark.parametrize("pool", [MaskedMean(), attention], ids=["mean", "attention"])
def test_a_clip_without_frames_pools_to_zeros(pool):
    pooled = np.asarray(pool(numbers(2, 3, 5), np.array([[1, 1, 0], [0, 0, 0]], bool)))
    assert pooled[0].any() and not pooled[1].any()


@pytest.mark.parametrize("pool", [MaskedMean(), attention], ids=["mean", "attention"])
def test_pooling_does_not_see_frames_that_are_not_real(pool):
    x, other = numbers(2, 3, 5), numbers(2, 3, 5, seed=1)
    keep = np.array([[1, 0, 1], [0, 0, 1]], bool)
    mixed = np.where(keep[..., None], x, other)
    np.testing.assert_allclose(pool(mixed, keep), pool(x, keep), atol=1e-6)


def test_attention_weighs_frames_by_the_papers_formula():
    layer, x, keep = AttentionPool(4), numbers(2, 3, 5), np.array([[1, 1, 0], [0, 1, 1]], bool)
    pooled = layer(x, keep)
    v, b, w = layer.get_weights()
    weights = np.exp(np.tanh(x @ v + b) @ w)[..., 0] * keep
    weights /= weights.sum(1, keepdims=True)
    np.testing.assert_allclose(pooled, np.einsum("bt,btd->bd", weights, x), atol=1e-5)


def test_attention_does_not_depend_on_the_order_of_frames():
    x, keep = numbers(2, 5, 6), np.array([[1, 1, 0, 1, 1], [0, 1, 1, 0, 0]], bool)
    order = [3, 0, 4, 1, 2]
    np.testing.assert_allclose(
        attention(x[:, order], keep[:, order]), attention(x, keep), atol=1e-6
    )
