"""Training configuration: the network's settings and those of its training, one frozen value."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from pipelines.flags import option
from trainer.model.config import ModelConfig


@dataclasses.dataclass(frozen=True)
class TrainConfig(ModelConfig):
    """Everything that decides what training does. Raises ValueError for what cannot work."""

    fakes: str = option(
        "dataset",
        "what stands for fake in training: the data set's fakes, real clips blended with "
        "themselves, or both",
        choices=("dataset", "self-blend", "both"),
    )
    without_methods: str = option(
        "",
        "manipulations to leave out of training and validation, separated by commas, such as one "
        "to test on",
    )
    balance: str = option(
        "weights",
        "class balance: by weights in the loss, by showing clips of the rarer label more often, "
        "or none",
        choices=("weights", "sampling", "none"),
    )
    augment: bool = option(True, "vary training clips: light, sharpness, compression and so on")
    shuffle_labels: bool = option(
        False, "permute training labels over videos; a sound set-up then scores an AUC near 0.5"
    )

    batch_size: int = option(8, "clips in a training step, over all devices")
    epochs: int = option(20, "most epochs")
    epoch_steps: int = option(0, "steps in an epoch; 0: as many as show each clip once")
    learning_rate: float = option(3e-4, "peak learning rate of AdamW")
    warmup: float = option(0.05, "share of the steps in which the learning rate rises to its peak")
    backbone_rate: float = option(1.0, "the backbone's learning rate, as a share of the others'")
    freeze_epochs: int = option(0, "epochs at the beginning in which the backbone is frozen")
    weight_decay: float = option(1e-4, "decoupled weight decay of AdamW; not of norms and biases")
    clip_norm: float = option(1.0, "largest norm of all gradients together")
    label_smoothing: float = option(0.0, "how far training labels are moved towards 0.5, 0 to 0.5")
    frame_loss_weight: float = option(0.5, "weight of the auxiliary loss on single frames")
    ema: float = option(
        0.0, "momentum of a moving average of the weights, which is then the model; 0: no average"
    )
    patience: int = option(8, "epochs without a better validation loss before training stops")

    precision: str = option(
        "auto",
        "type to compute in; auto: bfloat16 where the hardware has it, else float32",
        choices=("auto", "float32", "bfloat16"),
    )
    strategy: str = option(
        "auto",
        "devices; auto: a TPU, else all GPUs, else the CPU",
        choices=("auto", "cpu", "gpu", "mirrored", "tpu"),
    )
    checkpoint_minutes: float = option(10.0, "most minutes of work that a killed run loses")

    BOUNDS: ClassVar[Mapping[str, tuple[float, float]]] = {
        **ModelConfig.BOUNDS,
        "batch_size": (1, 4096),
        "epochs": (1, 100_000),
        "epoch_steps": (0, 10_000_000),
        "learning_rate": (1e-9, 10.0),
        "warmup": (0.0, 1.0),
        "backbone_rate": (0.0, 1.0),
        "freeze_epochs": (0, 100_000),
        "weight_decay": (0.0, 1.0),
        "clip_norm": (1e-6, 1e6),
        "label_smoothing": (0.0, 0.5),
        "frame_loss_weight": (0.0, 100.0),
        "ema": (0.0, 0.99999),
        "patience": (1, 100_000),
        "checkpoint_minutes": (0.0, 1e6),
    }
    # Settings that may differ when a run is resumed.
    FREE_ON_RESUME: ClassVar[tuple[str, ...]] = ("strategy", "checkpoint_minutes")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.freeze_epochs >= self.epochs:
            raise ValueError(
                f"--freeze-epochs is {self.freeze_epochs}; it must be less than --epochs, "
                f"{self.epochs}."
            )
        if self.shuffle_labels and self.fakes != "dataset":
            raise ValueError("--shuffle-labels permutes the data set's labels: --fakes dataset.")

    @property
    def held_out(self) -> tuple[str, ...]:
        """Names of the methods to leave out, as they were given."""
        return tuple(word.strip() for word in self.without_methods.split(",") if word.strip())

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """The config from `to_dict`. Raises ValueError on unknown fields."""
        unknown = sorted(set(values) - {f.name for f in dataclasses.fields(cls)})
        if unknown:
            raise ValueError(f"Unknown training settings {unknown}.")
        return cls(**values)
