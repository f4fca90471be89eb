"""The layers and the network."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from trainer.config import TrainConfig  # noqa: E402
from trainer.layers import FoldTime, GroupedConv2D, MaskedLSTM, UnfoldTime  # noqa: E402
from trainer.model import build_model  # noqa: E402
from trainer.resnext import build_resnext  # noqa: E402

CONFIG = TrainConfig(preset="resnext_tiny", lstm_units=8)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return build_model(CONFIG, crop_size=32, frames=4)


def _clips(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (2, 4, 32, 32, 3), dtype=np.uint8)


def _reference(x: np.ndarray, kernel: np.ndarray, groups: int, strides: int) -> np.ndarray:
    pad = kernel.shape[0] // 2
    x = np.pad(x, [(0, 0), (pad, pad), (pad, pad), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], (1, 2))
    windows = windows[:, ::strides, ::strides]  # (B, H', W', C, k, k)
    parts = [
        np.einsum("bhwcij,ijcf->bhwf", window, weights)
        for window, weights in zip(
            np.split(windows, groups, 3), np.split(kernel, groups, 3), strict=True
        )
    ]
    return np.concatenate(parts, -1)


@pytest.mark.parametrize("implementation", ["auto", "merged"])
@pytest.mark.parametrize(
    "channels, filters, groups, strides, side",
    [(64, 64, 32, 1, 8), (64, 64, 8, 2, 8), (48, 96, 4, 2, 7), (16, 16, 16, 1, 5), (8, 8, 1, 2, 6)],
)
def test_grouped_convolution_is_a_convolution_of_each_group(
    channels, filters, groups, strides, side, implementation
):
    import tensorflow as tf

    layer = GroupedConv2D(filters, 3, groups, strides, implementation)
    x = np.random.default_rng(0).normal(size=(2, side, side, channels)).astype("float32")
    layer.build(x.shape)
    got = tf.function(layer.call)(tf.constant(x)).numpy()
    expected = _reference(x, layer.kernel.numpy(), groups, strides)
    np.testing.assert_allclose(got, expected, atol=1e-4)
    assert got.shape == layer.compute_output_shape(x.shape)


def test_both_grouped_implementations_have_the_same_gradient():
    import tensorflow as tf

    x = tf.constant(np.random.default_rng(0).normal(size=(2, 6, 6, 64)).astype("float32"))
    layers = [GroupedConv2D(64, 3, 8, 2, name) for name in ("auto", "merged")]
    for layer in layers:
        layer.build(x.shape)
    layers[1].set_weights(layers[0].get_weights())

    @tf.function
    def gradient(layer):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x) ** 2)
        return tape.gradient(loss, layer.kernel.value)

    a, b = (gradient(layer).numpy() for layer in layers)
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-2)


def test_grouped_convolution_refuses_channels_it_cannot_group():
    with pytest.raises(ValueError, match="must be a multiple of groups"):
        GroupedConv2D(10, 3, 4)
    with pytest.raises(ValueError, match="The input has 6 channels"):
        GroupedConv2D(8, 3, 4).build((1, 8, 8, 6))


@pytest.mark.parametrize(
    "layer",
    [GroupedConv2D(8, 3, 4, 2, "merged"), FoldTime(), UnfoldTime(4), MaskedLSTM(5)],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layer_comes_back_from_its_config(layer):
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


def test_resnext50_has_the_papers_parameters():
    network = build_resnext("resnext50_32x4d", (64, 64, 3), classes=1000)
    count = sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
    assert count == 25_028_904


def test_padding_frames_do_not_change_the_clip_score(model):
    mask = np.array([[1, 1, 1, 0], [1, 0, 1, 1]], bool)
    clips = _clips()
    other = np.where(mask[..., None, None, None], clips, 255 - clips)
    a = model({"clips": clips, "mask": mask}, training=False)["logit"]
    b = model({"clips": other, "mask": mask}, training=False)["logit"]
    np.testing.assert_allclose(a, b, atol=1e-6)
    assert a.shape == (2,)


def test_the_order_of_frames_changes_the_clip_score(model):
    mask = np.ones((2, 4), bool)
    a = model({"clips": _clips(), "mask": mask}, training=False)["logit"]
    b = model({"clips": _clips()[:, ::-1], "mask": mask}, training=False)["logit"]
    assert np.abs(a - b).max() > 1e-7


def test_a_saved_model_gives_the_same_scores(model, tmp_path):
    from trainer.export import load_model

    model.save(tmp_path / "model.keras")
    inputs = {"clips": _clips(), "mask": np.ones((2, 4), bool)}
    again = load_model(tmp_path / "model.keras")
    for name, expected in model(inputs, training=False).items():
        np.testing.assert_allclose(again(inputs, training=False)[name], expected, atol=1e-6)
