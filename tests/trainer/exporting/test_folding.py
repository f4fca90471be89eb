"""Networks with batch norm folded into their convolutions."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from trainer.exporting.folding import FoldedConv2D, fold
from trainer.model.backbones import build_backbone
from trainer.model.layers import BatchNorm, GroupedConv2D

SIDE = 32
PIXELS = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3)).astype("float32")


def randomize(network: keras.Model) -> keras.Model:
    """Gives every batch norm statistics and factors that matter."""
    rng = np.random.default_rng(0)
    for layer in network._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            for weight in layer.weights:
                low = -0.3 if weight.name in ("beta", "moving_mean") else 0.8
                weight.assign(rng.uniform(low, low + 0.6, weight.shape))
    return network


def of_one(layer: layers.Layer, norm: layers.Layer | None = None) -> keras.Model:
    """A network of one convolution and its batch norm."""
    keras.utils.set_random_seed(0)
    x = keras.Input((SIDE, SIDE, 8))
    return randomize(keras.Model(x, (norm or BatchNorm())(layer(x))))


def kinds(network: keras.Model) -> list[str]:
    return [type(layer).__name__ for layer in network._flatten_layers() if layer.weights]


@pytest.mark.parametrize(
    "layer",
    [
        lambda: layers.Conv2D(6, 3, 2, use_bias=False),
        lambda: layers.Conv2D(6, 1, padding="same", bias_initializer="normal"),
        lambda: layers.DepthwiseConv2D(3, padding="same", use_bias=False),
        lambda: layers.DepthwiseConv2D(3, 2, use_bias=False, depth_multiplier=1),
        lambda: GroupedConv2D(16, 3, 4),
        lambda: GroupedConv2D(16, 3, 4, strides=2),
    ],
)
def test_a_convolution_with_batch_norm_folded_computes_the_same(layer):
    network = of_one(layer())
    folded = fold(network)
    x = np.random.default_rng(1).normal(size=(2, SIDE, SIDE, 8)).astype("float32")
    np.testing.assert_allclose(folded(x), network(x, training=False), rtol=1e-4, atol=1e-5)
    assert [type(layer) for layer in folded.layers[1:]] == [FoldedConv2D]


def test_batch_norm_without_factors_is_folded_too():
    network = of_one(layers.Conv2D(4, 3), layers.BatchNormalization(scale=False, center=False))
    x = np.random.default_rng(1).normal(size=(2, SIDE, SIDE, 8)).astype("float32")
    np.testing.assert_allclose(fold(network)(x), network(x, training=False), rtol=1e-4, atol=1e-5)


def test_batch_norm_stays_where_the_convolution_is_used_elsewhere_too():
    x = keras.Input((SIDE, SIDE, 8))
    y = layers.Conv2D(8, 3)(x)
    network = randomize(keras.Model(x, layers.Add()([BatchNorm()(y), y])))
    folded = fold(network)
    assert "BatchNorm" in kinds(folded)
    given = np.random.default_rng(1).normal(size=(2, SIDE, SIDE, 8)).astype("float32")
    np.testing.assert_allclose(folded(given), network(given, training=False), rtol=1e-5)


@pytest.fixture(scope="module", params=["resnext_tiny", "efficientnet_b0"])
def backbone(request) -> keras.Model:
    keras.utils.set_random_seed(0)
    return randomize(build_backbone(request.param, SIDE))


def test_a_folded_backbone_has_no_batch_norm_and_computes_the_same(backbone):
    folded = fold(backbone)
    assert not {"BatchNorm", "BatchNormalization"} & set(kinds(folded))
    expected = backbone(PIXELS, training=False)
    np.testing.assert_allclose(folded(PIXELS), expected, rtol=1e-3, atol=1e-4)


def test_folding_leaves_the_network_as_it_was(backbone):
    before = backbone.get_weights()
    fold(backbone)
    for a, b in zip(backbone.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_backbone_folded_in_bfloat16_computes_in_it_and_gives_nearly_the_same(backbone):
    folded = fold(backbone, "bfloat16")
    kernels = [w for w in folded.weights if "folded" in w.path or "conv" in w.path]
    assert kernels and folded(PIXELS).dtype == "bfloat16"
    expected = np.asarray(backbone(PIXELS, training=False))
    got = np.asarray(folded(PIXELS)).astype("float32")
    assert np.abs(got - expected).max() < 0.05 * np.abs(expected).max()
