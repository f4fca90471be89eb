"""Registry of backbones, and the pretrained weights that they begin with."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

import cv2
import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format
from keras.src.utils import file_utils
from sklearn.datasets import load_sample_image

from dfdetect.__main__ import main
from tests.fixtures import ROOT
from trainer.config import TrainConfig
from trainer.model.backbones import (
    BACKBONE,
    BACKBONES,
    EFFICIENTNETS,
    backbone,
    build_backbone,
)
from trainer.model.detector import build_model
from trainer.model.efficientnet_lite import build_lite, packaged_weights
from trainer.model.efficientnet_lite_specs import LITE_SPECS
from trainer.model.layers import BatchNorm
from trainer.model.pretrained import load_backbone, save_backbone
from trainer.model.resnext import build_resnext
from trainer.model.resnext_specs import SPECS
from trainer.training.losses import compile_model
from trainer.training.optimizer import make_optimizer

SIDE = 32
PIXELS = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3)).astype("float32")


def randomize(network: keras.Model) -> None:
    """Weights and statistics that all matter, of layers of any kind."""
    rng = np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            layer.gamma.assign(rng.uniform(0.8, 1.2, shape))
            layer.beta.assign(rng.normal(0, 0.3, shape))
            layer.moving_mean.assign(rng.normal(0, 0.3, shape))
            layer.moving_variance.assign(rng.uniform(0.8, 1.2, shape))


def network_of(backbone: keras.Model) -> keras.Model:
    """The network without what stands in front of it."""
    return next(layer for layer in backbone.layers if isinstance(layer, keras.Model))


def scores(network: keras.Model, pixels: np.ndarray = PIXELS) -> np.ndarray:
    return network(pixels, training=False).numpy()


def test_resnext50_has_the_papers_parameters():
    network = build_resnext("resnext50_32x4d", (64, 64, 3), classes=1000)
    count = sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
    assert count == 25_028_904


# The registry.


def test_every_name_is_of_one_kind_of_network():
    assert sorted(BACKBONES) == sorted([*SPECS, *EFFICIENTNETS, *LITE_SPECS])


@pytest.fixture
def toy() -> Iterator[str]:
    """The name of a new backbone, registered for one test: one decorated function is all of it."""

    @backbone("toy")
    def features(name: str, pixels: keras.KerasTensor, pretrained: str) -> keras.KerasTensor:
        x = keras.layers.Rescaling(1 / 255)(pixels)
        return keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(x))

    yield "toy"
    del BACKBONES["toy"]


def test_a_registered_backbone_trains_in_the_detector(toy):
    config = TrainConfig(backbone=toy, temporal="mean", warmup=0.0)
    model = build_model(config, SIDE, frames=2)
    optimizer = make_optimizer(config, model, model.get_layer(BACKBONE), steps=1)
    compile_model(model, optimizer, config.frame_loss_weight)
    before = model.get_layer(BACKBONE).get_weights()
    clips = PIXELS.astype("uint8")[:, None].repeat(2, axis=1)  # (2, 2, H, W, 3)
    inputs = {"clips": clips, "mask": np.ones((2, 2), bool)}
    labels = {"logit": np.array([0.0, 1.0]), "frame_logit": np.array([[0.0, 0.0], [1.0, 1.0]])}
    model.train_on_batch(inputs, labels)
    for old, new in zip(before, model.get_layer(BACKBONE).get_weights(), strict=True):
        assert np.abs(new - old).max() > 0


def test_a_registered_backbone_is_a_choice_of_the_flag(toy, capsys):
    assert main(["train", "--print-config", "--backbone", toy]) == 0
    assert "backbone: toy" in capsys.readouterr().out


def test_a_name_that_is_taken_is_refused():
    with pytest.raises(ValueError, match="a backbone 'resnext_tiny' already"):
        backbone("resnext_tiny")(lambda name, pixels, pretrained: pixels)


def test_the_names_of_backbones_load_no_keras():
    code = "import sys, trainer.config; print({'keras', 'tensorflow', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stdout + done.stderr


@pytest.mark.parametrize("function", EFFICIENTNETS.values())
def test_keras_has_every_efficientnet(function):
    assert callable(getattr(keras.applications, function))


def test_a_resnext_scales_pixels_as_torchvision_does():
    keras.utils.set_random_seed(0)
    backbone = build_backbone("resnext_tiny", SIDE)
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    scaled = ((PIXELS / 255 - mean) / deviation).astype("float32")
    expected = scores(network_of(backbone), scaled)
    np.testing.assert_allclose(scores(backbone), expected, atol=1e-5)


# EfficientNets; building one takes seconds, so that the module shares them.


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """Random weights in a file as Keras publishes them, with the statistics of pixels in it."""
    keras.utils.set_random_seed(0)
    original = keras.applications.EfficientNetB0(
        include_top=False, weights=None, input_shape=(SIDE, SIDE, 3)
    )
    randomize(original)
    scaling = next(x for x in original.layers if isinstance(x, keras.layers.Normalization))
    # What stands in Keras' file; its "variance" is the deviation.
    scaling.adapt_mean.assign([0.485, 0.456, 0.406])
    scaling.adapt_variance.assign([0.229, 0.224, 0.225])
    path = tmp_path_factory.mktemp("published") / "efficientnetb0_notop.h5"
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, original)
    return path


@pytest.fixture(scope="module")
def downloads(published):
    """Keras "downloads" the published file from now on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_utils, "get_file", lambda *args, **kwargs: str(published))
        yield


@pytest.fixture(scope="module")
def expected(downloads) -> np.ndarray:
    """The features by Keras' own network with its "imagenet" weights."""
    original = keras.applications.EfficientNetB0(
        include_top=False, weights="imagenet", input_shape=(SIDE, SIDE, 3), pooling="avg"
    )
    return scores(original)


@pytest.fixture(scope="module")
def from_file(published) -> keras.Model:
    return build_backbone("efficientnet_b0", SIDE, str(published))


def test_an_efficientnet_from_imagenet_gives_the_features_of_keras(downloads, expected):
    backbone = build_backbone("efficientnet_b0", SIDE, "imagenet")
    np.testing.assert_allclose(scores(backbone), expected, atol=1e-4)


def test_an_efficientnet_from_keras_file_gives_the_features_of_keras(from_file, expected):
    np.testing.assert_allclose(scores(from_file), expected, atol=1e-4)


def test_an_efficientnet_from_our_file_gives_the_features_of_keras(from_file, expected, tmp_path):
    save_backbone(network_of(from_file), tmp_path / "ours.weights.h5")
    backbone = build_backbone("efficientnet_b0", SIDE, str(tmp_path / "ours.weights.h5"))
    np.testing.assert_allclose(scores(backbone), expected, atol=1e-4)


def test_a_saved_efficientnet_gives_the_features_of_keras(from_file, expected, tmp_path):
    from_file.save(tmp_path / "backbone.keras")
    again = keras.models.load_model(tmp_path / "backbone.keras")
    np.testing.assert_allclose(scores(again), expected, atol=1e-4)


def test_an_efficientnet_normalizes_batches_as_our_layer_does(from_file):
    kinds = {
        type(layer)
        for layer in network_of(from_file).layers
        if isinstance(layer, keras.layers.BatchNormalization)
    }
    assert kinds == {BatchNorm}


def test_a_resnext_from_our_file_gives_the_same_features(tmp_path):
    backbone = build_backbone("resnext_tiny", SIDE)
    randomize(network_of(backbone))
    save_backbone(network_of(backbone), tmp_path / "ours.weights.h5")
    again = build_backbone("resnext_tiny", SIDE, str(tmp_path / "ours.weights.h5"))
    np.testing.assert_array_equal(scores(again), scores(backbone))


# Weights that cannot be had.


@pytest.mark.parametrize("name", SPECS)
def test_imagenet_for_a_resnext_is_refused_with_what_to_do(name):
    with pytest.raises(ValueError, match=f"import-weights FILE --backbone {name}"):
        build_backbone(name, SIDE, "imagenet")


@pytest.mark.parametrize("name", ["resnext_tiny", "efficientnet_b0"])
@pytest.mark.parametrize("file", ["none.weights.h5", "none.safetensors", "none.h5"])
def test_a_missing_file_is_named(name, file, tmp_path):
    with pytest.raises((FileNotFoundError, ValueError), match=file):
        build_backbone(name, SIDE, str(tmp_path / file))


def test_imagenet_without_a_network_says_what_to_do(monkeypatch):
    def fail(name, origin, **kwargs):  # as Keras' get_file does
        raise Exception(f"URL fetch failure on {origin}: None -- {URLError('no network')}")

    monkeypatch.setattr(file_utils, "get_file", fail)
    message = "--pretrained imagenet: these weights of efficientnet_b0 .*no network.*train without"
    with pytest.raises(ValueError, match=message):
        build_backbone("efficientnet_b0", SIDE, "imagenet")


def test_a_damaged_file_for_an_efficientnet_is_named(tmp_path):
    (tmp_path / "damaged.h5").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="damaged.h5: these weights of efficientnet_b0"):
        build_backbone("efficientnet_b0", SIDE, str(tmp_path / "damaged.h5"))


# EfficientNet-Lite.

# Of the published networks, batch statistics included (tensorflow/tpu's efficientnet/lite).
LITE_PARAMETERS = {
    "efficientnet_lite0": 4_694_024,
    "efficientnet_lite1": 5_470_344,
    "efficientnet_lite2": 6_150_168,
}


@pytest.mark.parametrize("name", LITE_SPECS)
def test_a_lite_network_has_the_published_ones_parameters(name):
    assert build_lite(name, (64, 64, 3), classes=1000).count_params() == LITE_PARAMETERS[name]


def test_imagenet_lite_classifies_known_pictures_rightly():
    name = "efficientnet_lite0"
    side = LITE_SPECS[name].side_px
    network = build_lite(name, (side, side, 3), classes=1000)
    assert load_backbone(network, packaged_weights(name)) == []
    found = []
    for picture in ("china.jpg", "flower.jpg"):
        image = load_sample_image(picture)  # (427, 640, 3)
        square = cv2.resize(image[:, 106:533], (side, side), interpolation=cv2.INTER_AREA)
        found.append(int(scores(network, (square[None].astype("float32") - 127) / 128).argmax()))
    assert found == [698, 985]  # ImageNet: palace, daisy


def test_imagenet_lite_is_what_the_backbone_begins_with():
    backbone = build_backbone("efficientnet_lite0", 64, "imagenet-lite")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype("float32")
    network = build_lite("efficientnet_lite0", (64, 64, 3))
    assert len(load_backbone(network, packaged_weights("efficientnet_lite0"))) == 2  # its classes
    expected = scores(network, (pixels - 127) / 128)
    np.testing.assert_allclose(scores(backbone, pixels), expected, rtol=1e-4, atol=1e-4)


def test_imagenet_lite_says_which_package_it_lacks(monkeypatch):
    spec = dataclasses.replace(LITE_SPECS["efficientnet_lite0"], package="dfdetect-none-such")
    monkeypatch.setitem(LITE_SPECS, "efficientnet_lite0", spec)
    with pytest.raises(FileNotFoundError, match="pip install dfdetect-none-such"):
        build_backbone("efficientnet_lite0", 64, "imagenet-lite")


def test_keras_imagenet_is_refused_for_a_lite_network():
    with pytest.raises(ValueError, match="Use --pretrained imagenet-lite, or give a file"):
        build_backbone("efficientnet_lite0", 64, "imagenet")


# The backbone of a training, put into another.


@pytest.mark.parametrize("name", ["resnext_tiny", "efficientnet_b0", "efficientnet_lite0"])
def test_the_backbone_of_a_training_is_put_into_another(name, tmp_path):
    frames = TrainConfig(backbone=name, temporal="mean")
    trained = build_model(frames, 64, frames=1)
    randomize(network_of(trained.get_layer(BACKBONE)))
    trained.save(tmp_path / "model.keras")
    clips = TrainConfig(
        backbone=name, temporal="lstm", pretrained=str(tmp_path / "model.keras"), seed=3
    )
    detector = build_model(clips, 48, frames=2)  # another side, another number of frames
    pixels = PIXELS.repeat(2, axis=1).repeat(2, axis=2)  # (2, 64, 64, 3)
    taken, given = detector.get_layer(BACKBONE), trained.get_layer(BACKBONE)
    for ours, theirs in zip(taken.get_weights(), given.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert np.ptp(scores(given, pixels)) > 0


def test_the_backbone_of_another_network_is_refused(tmp_path):
    build_model(TrainConfig(backbone="resnext_tiny"), 32, frames=1).save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"model\.keras: these are not the weights of backbone"):
        build_backbone("resnext_small", 32, str(tmp_path / "model.keras"))


def test_a_file_that_is_no_detector_is_refused(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"no model")
    with pytest.raises(ValueError, match=r"model\.keras: not a detector of a training"):
        build_backbone("resnext_tiny", 32, str(tmp_path / "model.keras"))
    with pytest.raises(FileNotFoundError, match=r"none\.keras: there is no such file"):
        build_backbone("resnext_tiny", 32, str(tmp_path / "none.keras"))
