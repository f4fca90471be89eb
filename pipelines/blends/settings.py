"""Settings of `dfdetect make-blends`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from pipelines.blends.methods import METHODS
from pipelines.flags import check_fields, option


@dataclasses.dataclass(frozen=True)
class BlendSettings:
    """How many pairs are made, and by which methods. Raises ValueError where that cannot be."""

    methods: str = option("all", f"comma-separated, of {', '.join(METHODS)}")
    pairs: int = option(0, "real and fake videos to make; 0: one pair for each usable real")
    seconds: float = option(3.0, "length of the videos; of longer ones a stretch is taken")
    seed: int = option(0, "another seed, other pairs")
    workers: int = option(0, "processes; 0: one per core. They do not change the videos")

    BOUNDS: ClassVar[Mapping[str, tuple[float, float]]] = {
        "pairs": (0, 10_000_000),
        "seconds": (0.1, 60.0),
        "seed": (0, 2**32 - 1),
        "workers": (0, 1024),
    }

    def __post_init__(self) -> None:
        check_fields(self)
        if unknown := sorted(set(self.chosen) - set(METHODS)):
            raise ValueError(
                f"--methods has {', '.join(unknown)}; there are {', '.join(METHODS)}, and all."
            )
        if not self.chosen:
            raise ValueError(f"--methods is empty; there are {', '.join(METHODS)}, and all.")

    @property
    def chosen(self) -> tuple[str, ...]:
        """The methods, each once."""
        if self.methods == "all":
            return tuple(METHODS)
        names = (name.strip() for name in self.methods.split(","))
        return tuple(dict.fromkeys(name for name in names if name))
