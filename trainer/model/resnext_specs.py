"""ResNeXt architectures by name: depth, cardinality and width of each, free of Keras."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class ResNeXtSpec:
    """blocks: per stage; width: inner channels of the first stage, doubled in each next one;
    expansion: output channels of a block per inner channel; pool: max-pool in the stem."""

    blocks: tuple[int, ...]
    cardinality: int
    width: int
    expansion: float
    stem_filters: int = 64
    stem_kernel: int = 7
    pool: bool = True


SPECS = {
    "resnext_tiny": ResNeXtSpec((1, 1, 1), 8, 16, 2, 16, 3, False),
    "resnext_small": ResNeXtSpec((1, 1, 2), 8, 32, 2, 32, 5, True),
    "resnext26_32x4d": ResNeXtSpec((2, 2, 2, 2), 32, 128, 2),
    "resnext50_32x4d": ResNeXtSpec((3, 4, 6, 3), 32, 128, 2),
    "resnext101_32x8d": ResNeXtSpec((3, 4, 23, 3), 32, 256, 1),
}
