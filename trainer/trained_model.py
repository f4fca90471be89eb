"""A trained model as its run left it: the network, its config, and the data sets it saw."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.run import CONFIG_NAME, MODEL_NAME


def load_run(run: str | os.PathLike) -> tuple[Any, dict[str, Any]]:
    """The run's model and its config.json. Raises FileNotFoundError where it is not finished."""
    run = Path(run)
    for name in (CONFIG_NAME, MODEL_NAME):
        if not (run / name).is_file():
            raise FileNotFoundError(f"{run / name} is missing: finish `dfdetect train` first.")
    config = json.loads((run / CONFIG_NAME).read_text())
    return load_model(run / MODEL_NAME), config


def load_model(path: str | os.PathLike) -> Any:
    """A detector from a .keras file."""
    import keras  # takes seconds

    import trainer.model.layers  # noqa: F401  registers the layers

    return keras.models.load_model(path, compile=False)


def trained_on_of(config: Mapping[str, Any]) -> list[str]:
    """Names of the data sets in the training split; none where they are not known.

    config: the training's config.json.
    """
    train = config.get("splits", {}).get("train") or {}
    return sorted(train.get("datasets", {}))
