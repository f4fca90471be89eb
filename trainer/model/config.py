"""The settings that decide a detector's network: backbone, temporal model and heads."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from pipelines.flags import check_fields, option
from trainer.model.backbones import BACKBONES

# Built by `model.temporal`, which imports Keras; `dfdetect train --help` must not.
TEMPORALS = ("lstm", "bilstm", "gru", "transformer", "attention", "mean")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """What `build_model` builds. Raises ValueError for what cannot work."""

    backbone: str = option("resnext50_32x4d", "network for single frames", choices=BACKBONES.keys())
    pretrained: str = option(
        "",
        "weights that the backbone begins with: a .safetensors or .pth file in PyTorch's naming, a "
        ".weights.h5 file of `dfdetect import-weights`, `imagenet` (EfficientNets, fetched by "
        "Keras), `imagenet-lite` (EfficientNet-Lites, from an installed package), or the "
        "model.keras of a training with the same backbone",
    )
    temporal: str = option("lstm", "temporal model over the frames", choices=TEMPORALS)
    temporal_units: int = option(256, "units of the temporal model")
    temporal_layers: int = option(1, "recurrent layers or transformer blocks")
    dropout: float = option(0.3, "share of features dropped before the heads, 0 to below 1")
    seed: int = option(0, "seed of weights, order and augmentation")

    BOUNDS: ClassVar[Mapping[str, tuple[float, float]]] = {
        "temporal_units": (1, 8192),
        "temporal_layers": (1, 64),
        "dropout": (0.0, 0.95),
        "seed": (0, 2**31 - 1),
    }

    def __post_init__(self) -> None:
        check_fields(self)
