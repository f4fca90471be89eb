"""Heat maps: Grad-CAM in the exported graph."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from trainer.config import TrainConfig
from trainer.exporting.serving_model import Network, in_float32
from trainer.model.backbones import BACKBONE
from trainer.model.detector import build_model

B, T, SIDE = 2, 3, 64
MASK = np.array([[1, 1, 1], [1, 0, 1]], bool)
CLIPS = np.random.default_rng(0).integers(0, 256, (B, T, SIDE, SIDE, 3), np.uint8)
CLIPS[~MASK] = 0


def of_corner(weight: float) -> Network:
    """A detector to which the upper left corner alone matters: `weight` times its brightness."""
    pixels = keras.Input((SIDE, SIDE, 3))
    x = layers.AveragePooling2D(SIDE // 4)(pixels)  # (N, 4, 4, 3)
    x = layers.ZeroPadding2D(((0, 3), (0, 3)))(layers.Cropping2D(((0, 3), (0, 3)))(x))
    features, mask = keras.Input((3,)), keras.Input((T,), dtype="bool")
    frame = layers.Reshape((T,))(
        keras.ops.reshape(weight * keras.ops.mean(features, axis=-1), (-1, T))
    )
    logit = keras.ops.sum(frame * keras.ops.cast(mask, "float32"), axis=-1)
    head = keras.Model([features, mask], {"logit": logit, "frame_logit": frame})
    return Network(keras.Model(pixels, x), head, T, SIDE)


def test_where_one_corner_matters_only_that_corner_is_lit():
    heat = of_corner(1.0).heat_map(CLIPS, MASK)[0].numpy()
    assert heat.shape == (B, T, 4, 4)
    assert (heat[MASK][:, 0, 0] > 0).all()
    heat[:, :, 0, 0] = 0
    assert not heat.any()


def test_the_largest_value_of_a_clip_is_1_and_padding_is_0():
    heat = of_corner(1.0).heat_map(CLIPS, MASK)[0].numpy()
    np.testing.assert_allclose(heat.max((1, 2, 3)), 1)
    assert not heat[~MASK].any() and (heat >= 0).all()


def test_where_nothing_speaks_for_fake_the_map_is_0():
    assert not of_corner(-1.0).heat_map(CLIPS, MASK)[0].numpy().any()


def plain_grad_cam(model: keras.Model) -> np.ndarray:
    """The paper's formulas on the whole model; the pooling layer shows what it is given."""
    pool = next(
        layer
        for layer in model.get_layer(BACKBONE)._flatten_layers()
        if isinstance(layer, layers.GlobalAveragePooling2D) and layer.name in ("pool", "avg_pool")
    )
    seen = []
    original = pool.call
    with tf.GradientTape() as tape:

        def call(x):
            tape.watch(x)
            seen.append(x)
            return original(x)

        pool.call = call
        logit = model({"clips": CLIPS, "mask": MASK}, training=False)["logit"]
        del pool.call
    found, gradient = seen[0].numpy(), tape.gradient(logit, seen[0]).numpy()
    weights = gradient.mean((1, 2))
    heat = np.maximum((found * weights[:, None, None]).sum(-1), 0)
    heat = heat.reshape(B, T, *heat.shape[1:]) * MASK[..., None, None]
    largest = heat.max((1, 2, 3), keepdims=True)
    return np.divide(heat, largest, out=np.zeros_like(heat), where=largest > 0)


@pytest.mark.parametrize(
    ("backbone", "temporal"),
    [
        ("resnext_tiny", "lstm"),
        ("resnext_tiny", "transformer"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                *(("resnext_tiny", name) for name in ("bilstm", "gru", "attention", "mean")),
                ("efficientnet_b0", "lstm"),
            )
        ),
    ],
)
def test_the_graphs_map_is_that_of_a_plain_computation_in_keras(backbone, temporal):
    keras.utils.set_random_seed(1)
    config = TrainConfig(backbone=backbone, temporal=temporal, temporal_units=8)
    model = build_model(config, SIDE, T)
    heat, logit = tf.function(Network.of(model).folded().heat_map)(CLIPS, MASK)
    np.testing.assert_allclose(heat, plain_grad_cam(model), atol=1e-3)
    expected = model({"clips": CLIPS, "mask": MASK}, training=False)["logit"]
    np.testing.assert_allclose(logit, expected, atol=1e-4)


def test_a_model_trained_in_bfloat16_is_exported_in_float32():
    config = TrainConfig(backbone="resnext_tiny", temporal="transformer", temporal_units=8)
    keras.utils.set_random_seed(1)
    model = build_model(config, SIDE, T)
    other = build_model(config, SIDE, T, "bfloat16")
    other.set_weights(model.get_weights())
    inputs = {"clips": CLIPS, "mask": MASK}
    again = in_float32(other)
    np.testing.assert_allclose(again(inputs)["logit"], model(inputs)["logit"], atol=1e-6)
    assert in_float32(model) is model
