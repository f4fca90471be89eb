"""ResNeXt after Xie et al., 2017, "Aggregated Residual Transformations" (arXiv:1611.05431).

The stride sits on the 3x3 convolution and batch norm has epsilon 1e-5, as in the authors' code.
"""

from __future__ import annotations

import keras
from keras import layers

from trainer.model.layers import BatchNorm, GroupedConv2D
from trainer.model.pretrained import load_backbone
from trainer.model.resnext_specs import SPECS
from trainer.model.weight_formats import IMAGENET, PIXEL_MEAN, PIXEL_STD


def _norm(x, name: str, momentum: float):
    return BatchNorm(epsilon=1e-5, momentum=momentum, name=name)(x)


def _conv(x, filters: int, kernel: int, strides: int, name: str):
    if kernel > 1:
        x = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    return layers.Conv2D(
        filters,
        kernel,
        strides,
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
        name=name,
    )(x)


def _block(x, width: int, out: int, cardinality: int, strides: int, name: str, momentum: float):
    shortcut = x
    if strides != 1 or x.shape[-1] != out:
        shortcut = _conv(x, out, 1, strides, f"{name}_shortcut")
        shortcut = _norm(shortcut, f"{name}_shortcut_bn", momentum)
    x = _conv(x, width, 1, 1, f"{name}_conv1")
    x = layers.ReLU(name=f"{name}_relu1")(_norm(x, f"{name}_bn1", momentum))
    x = GroupedConv2D(width, 3, cardinality, strides, name=f"{name}_conv2")(x)
    x = layers.ReLU(name=f"{name}_relu2")(_norm(x, f"{name}_bn2", momentum))
    x = _norm(_conv(x, out, 1, 1, f"{name}_conv3"), f"{name}_bn3", momentum)
    return layers.ReLU(name=f"{name}_relu3")(layers.Add(name=f"{name}_add")([x, shortcut]))


def build_resnext(
    preset: str, input_shape: tuple[int, int, int], classes: int | None = None
) -> keras.Model:
    """Images (B, H, W, 3), scaled -> pooled features (B, D), or logits (B, classes)."""
    spec = SPECS[preset]
    momentum = 0.9  # as in the reference; Keras' default of 0.99 lags behind in short trainings
    inputs = keras.Input(input_shape, name="images")
    x = _conv(inputs, spec.stem_filters, spec.stem_kernel, 2, "stem")
    x = layers.ReLU(name="stem_relu")(_norm(x, "stem_bn", momentum))
    if spec.pool:  # inputs are not negative after ReLU, so zeros pad a maximum soundly
        x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
        x = layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    for stage, blocks in enumerate(spec.blocks):
        width = spec.width * 2**stage
        for block in range(blocks):
            strides = 2 if stage and not block else 1
            name = f"stage{stage + 1}_block{block + 1}"
            out = int(width * spec.expansion)
            x = _block(x, width, out, spec.cardinality, strides, name, momentum)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    if classes:
        x = layers.Dense(classes, name="classes")(x)
    return keras.Model(inputs, x, name=preset)


def resnext_features(name: str, pixels: keras.KerasTensor, pretrained: str) -> keras.KerasTensor:
    """Pixel values 0 to 255 (B, H, W, 3) -> pooled features (B, D); see `backbones`."""
    if pretrained == IMAGENET:
        raise ValueError(
            f"There is no place to fetch ImageNet weights of {name} from. Convert torchvision's "
            f"with `dfdetect import-weights FILE --backbone {name}` and give what it writes."
        )
    network = build_resnext(name, pixels.shape[1:])
    if pretrained:
        load_backbone(network, pretrained)
    variance = [deviation**2 for deviation in PIXEL_STD]
    x = layers.Normalization(mean=PIXEL_MEAN, variance=variance, dtype="float32")(pixels)
    return network(x)
