"""The image networks by name: what looks at single frames."""

from __future__ import annotations

import os

import keras
from keras import layers

from trainer.model.layers import BatchNorm
from trainer.model.pretrained import WEIGHTS_SUFFIX, load_backbone
from trainer.model.resnext import SPECS, build_resnext

EFFICIENTNETS = {
    f"efficientnet_{size.lower()}": f"EfficientNet{size}"
    for size in ("B0", "B1", "B2", "B3", "B4", "B5", "B6", "B7", "V2S")
}
IMAGENET = "imagenet"
BACKBONE = "backbone"  # the layer's name in the detector, whichever network it is
# Of pixel values, per channel: the statistics that torchvision's and Keras' weights expect.
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)


def build_backbone(name: str, side_px: int, pretrained: str = "") -> keras.Model:
    """Pixel values 0 to 255, float (B, H, W, 3) -> pooled features (B, D).

    pretrained: nothing; "imagenet", which Keras downloads (EfficientNets only); a file for
    `pretrained.load_backbone`; for an EfficientNet also a "notop.h5" file as Keras publishes
    it. Raises ValueError or FileNotFoundError where it does not fit.
    """
    build = _resnext if name in SPECS else _efficientnet
    return build(name, (side_px, side_px, 3), pretrained)


def _resnext(name: str, shape: tuple[int, int, int], pretrained: str) -> keras.Model:
    if pretrained == IMAGENET:
        raise ValueError(
            f"There is no place to fetch ImageNet weights of {name} from. Convert torchvision's "
            f"with `dfdetect import-weights FILE --backbone {name}` and give what it writes."
        )
    network = build_resnext(name, shape)
    if pretrained:
        load_backbone(network, pretrained)
    pixels = keras.Input(shape, name="pixels")
    variance = [deviation**2 for deviation in PIXEL_STD]
    x = layers.Normalization(mean=PIXEL_MEAN, variance=variance, dtype="float32")(pixels)
    return keras.Model(pixels, network(x), name=BACKBONE)


def _efficientnet(name: str, shape: tuple[int, int, int], pretrained: str) -> keras.Model:
    """Keras' own network, which scales pixel values itself, as `_copy` has its layers."""
    ours = pretrained.endswith(WEIGHTS_SUFFIX)
    if pretrained not in ("", IMAGENET) and not os.path.isfile(pretrained):
        raise FileNotFoundError(f"{pretrained}: there is no such file.")
    build = getattr(keras.applications, EFFICIENTNETS[name])
    weights = pretrained if pretrained and not ours else None
    try:
        original = build(include_top=False, weights=weights, input_shape=shape, pooling="avg")
    except Exception as error:  # whatever a download or a foreign file can raise
        if weights is None:
            raise
        raise ValueError(
            f"--pretrained {pretrained}: these weights of {name} cannot be had: {error}. "
            "Fetch Keras' file on another machine and give its path, or train without."
        ) from error

    network = keras.models.clone_model(original, clone_function=_copy)
    for layer in network.layers:
        if layer.weights:
            layer.set_weights(original.get_layer(layer.name).get_weights())
    if ours:
        load_backbone(network, pretrained)
    pixels = keras.Input(shape, name="pixels")
    return keras.Model(pixels, network(pixels), name=BACKBONE)


def _copy(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Ours for a layer of Keras' EfficientNets.

    B0 to B7 hold the statistics of pixels as weights, which are only right with the published
    ones, and which lack a factor that Keras has as a layer more for "imagenet" alone
    (tensorflow/tensorflow#49930). Here they are constants, whatever the weights come from.
    """
    if type(layer) is layers.Normalization:
        mean = [value / 255 for value in PIXEL_MEAN]
        variance = [(value / 255) ** 2 for value in PIXEL_STD]
        return layers.Normalization(mean=mean, variance=variance, dtype=layer.dtype_policy)
    if type(layer) is layers.Rescaling and isinstance(layer.scale, list):
        return layers.Identity(dtype=layer.dtype_policy)
    kind = BatchNorm if type(layer) is layers.BatchNormalization else type(layer)
    return kind.from_config(layer.get_config())
