"""EfficientNets of keras.applications, with their pixel scaling and batch normalization made ours.

Tan and Le, 2019 (arXiv:1905.11946) and 2021 (arXiv:2104.00298).
"""

from __future__ import annotations

import os

import keras
from keras import layers

from trainer.model.layers import BatchNorm
from trainer.model.pretrained import load_backbone
from trainer.model.weight_formats import IMAGENET, PIXEL_MEAN, PIXEL_STD, WEIGHTS_SUFFIX


def efficientnet_features(
    name: str, keras_name: str, pixels: keras.KerasTensor, pretrained: str
) -> keras.KerasTensor:
    """Pixel values 0 to 255 (B, H, W, 3) -> pooled features (B, D); see `backbones`.

    Keras' own network, which scales pixel values itself, as `_copy` has its layers.
    """
    ours = pretrained.endswith(WEIGHTS_SUFFIX)
    if pretrained not in ("", IMAGENET) and not os.path.isfile(pretrained):
        raise FileNotFoundError(f"{pretrained}: there is no such file.")
    build = getattr(keras.applications, keras_name)
    weights = pretrained if pretrained and not ours else None
    shape = pixels.shape[1:]
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
    return network(pixels)


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
