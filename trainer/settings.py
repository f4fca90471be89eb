"""Training settings as YAML: the file of `--config`, and a run's config.yaml."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import yaml

from trainer.config import TrainConfig


def settings_text(config: TrainConfig, data: str | None) -> str:
    """The YAML that `read_settings` takes to make a run again; data: the folder of its shards."""
    return yaml.safe_dump({"data": data, **config.to_dict()}, sort_keys=False)


def read_settings(path: str) -> dict[str, Any]:
    """Settings by name from a YAML file. Raises FileNotFoundError, or ValueError where they are
    not settings of a training."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"--config {path}: there is no such file.")
    try:
        settings = yaml.safe_load(Path(path).read_text()) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"--config {path}: is not YAML: {error}") from error
    names = ["data", *(field.name for field in dataclasses.fields(TrainConfig))]
    if not isinstance(settings, dict) or (unknown := sorted(set(map(str, settings)) - set(names))):
        raise ValueError(
            f"--config {path}: expected settings of a training by name, "
            + (f"found {unknown}; " if isinstance(settings, dict) else "found none; ")
            + f"there are {', '.join(names)}."
        )
    # As text where it is not a switch, so that each is read, and checked, like a flag.
    return {k: v if isinstance(v, bool | None) else str(v) for k, v in settings.items()}
