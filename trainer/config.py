"""How a model is built and trained, as one frozen value."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from pipelines.config import check_fields, option

PRESETS = (
    "resnext_tiny",
    "resnext_small",
    "resnext26_32x4d",
    "resnext50_32x4d",
    "resnext101_32x8d",
)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what training does. Raises ValueError for what cannot work."""

    preset: str = option("resnext50_32x4d", "image backbone", choices=PRESETS)
    lstm_units: int = option(256, "units of the LSTM over a clip's frames")
    batch_size: int = option(8, "clips in a training step")
    epochs: int = option(20, "most passes over the training clips")
    learning_rate: float = option(3e-4, "peak learning rate of AdamW, decayed along a cosine")
    weight_decay: float = option(1e-4, "decoupled weight decay of AdamW")
    dropout: float = option(0.3, "share of features dropped before the heads, 0 to below 1")
    patience: int = option(8, "epochs without a better validation loss before training stops")
    frame_loss_weight: float = option(0.5, "weight of the auxiliary loss on single frames")
    seed: int = option(0, "seed of weights, shuffling and augmentation")
    augment: bool = option(True, "vary training clips: flip, light, small shifts and zooms")
    shuffle_labels: bool = option(
        False, "permute training labels over videos; a sound set-up then scores an AUC near 0.5"
    )
    cache: bool = option(True, "keep decoded clips in memory when they take less than 2 GB")

    BOUNDS: ClassVar[Mapping[str, tuple[float, float]]] = {
        "lstm_units": (1, 8192),
        "batch_size": (1, 4096),
        "epochs": (1, 100_000),
        "learning_rate": (1e-9, 10.0),
        "weight_decay": (0.0, 1.0),
        "dropout": (0.0, 0.95),
        "patience": (1, 100_000),
        "frame_loss_weight": (0.0, 100.0),
        "seed": (0, 2**31 - 1),
    }

    def __post_init__(self) -> None:
        check_fields(self)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """The config from `to_dict`. Raises ValueError on unknown fields."""
        unknown = sorted(set(values) - {f.name for f in dataclasses.fields(cls)})
        if unknown:
            raise ValueError(f"Unknown training settings {unknown}.")
        return cls(**values)
