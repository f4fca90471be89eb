"""The folder of a training run: what lies in it, and whether it can begin or go on there."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.config import TrainConfig
from trainer.errors import TrainError

MODEL_NAME = "model.keras"  # its presence marks a finished run
BEST_NAME = "best.keras"  # until the run is finished
CHECKPOINT_NAME = "checkpoint.safetensors"  # until the run is finished
CONFIG_NAME = "config.json"
SETTINGS_NAME = "config.yaml"  # for --config
SEEN_NAME = "seen.json"
CALIBRATION_NAME = "calibration.json"
PARTS = (
    *(MODEL_NAME, BEST_NAME, CHECKPOINT_NAME, SETTINGS_NAME, SEEN_NAME, CALIBRATION_NAME),
    *("history.json", "history.csv"),
)


def versions() -> dict[str, str]:
    """Versions of what decides the result."""
    import keras
    import numpy
    import sklearn
    import tensorflow as tf

    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": numpy.__version__,
        "scikit-learn": sklearn.__version__,
    }


def describe(config: TrainConfig, data: str | os.PathLike, info: dict[str, Any]) -> dict[str, Any]:
    """What config.json says of a run before it begins."""
    shards = json.dumps({name: facts["sha256"] for name, facts in sorted(info["shards"].items())})
    return {
        "train": config.to_dict(),
        "preprocess": info["config"],
        "fingerprint": info["fingerprint"],
        "data": os.path.abspath(data),
        "data_sha256": hashlib.sha256(shards.encode()).hexdigest(),
        "splits": info["splits"],
        "sample_data": is_sample(info),
    }


def is_sample(info: Mapping[str, Any]) -> bool:
    """Whether the data set of a dataset_info.json is a generated one (`dfdetect sample-data`)."""
    notes = " ".join(str(note) for note in info.get("problems", []))
    return "sample" in str(info.get("dataset", "")).lower() or "generated" in notes.lower()


def can_go_on(out: Path, facts: dict[str, Any], overwrite: bool) -> bool:
    """Whether an unfinished run of the same settings is there to go on with. Changes nothing.

    facts: by `describe`. Raises TrainError where the folder holds foreign files, or a finished run
    or one of other settings that `overwrite` does not allow to replace.
    """
    if out.exists() and not out.is_dir():
        raise TrainError(f"{out} is a file; give a folder as --out.")
    if not out.is_dir() or not any(out.iterdir()):
        return False
    if not (out / CONFIG_NAME).is_file():
        raise TrainError(f"{out} is not empty and not a training run; give another --out.")
    if overwrite:
        return False
    _check_same(out, facts)
    return (out / CHECKPOINT_NAME).is_file()


def begin(out: Path) -> None:
    """Makes the folder, without what an earlier run left in it."""
    for name in PARTS:
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / "tensorboard", ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)


def _check_same(out: Path, facts: dict[str, Any]) -> None:
    if (out / MODEL_NAME).exists():
        raise TrainError(
            f"{out} holds a finished run. Give another --out, or --overwrite to replace it."
        )
    before = json.loads((out / CONFIG_NAME).read_text())
    changes = [
        f"--{name.replace('_', '-')} was {before['train'].get(name)!r} and is {value!r}"
        for name, value in facts["train"].items()
        if name not in TrainConfig.FREE and before["train"].get(name) != value
    ]
    if before.get("data_sha256") != facts["data_sha256"]:
        changes.append("the shards are others")
    if changes:
        raise TrainError(
            f"{out} holds an unfinished run that began otherwise: {'; '.join(changes)}. Repeat "
            "its command to go on, give another --out, or --overwrite to begin anew."
        )


def write_settings(path: Path, config: TrainConfig, data: str | os.PathLike) -> None:
    """What --config takes to make the run again."""
    path.write_text(settings_text(config, os.path.abspath(data)))


def settings_text(config: TrainConfig, data: str | None) -> str:
    import yaml

    return yaml.safe_dump({"data": data, **config.to_dict()}, sort_keys=False)


def read_settings(path: str) -> dict[str, Any]:
    """Settings by name from a YAML file. Raises FileNotFoundError, or ValueError where they are
    not settings of a training."""
    import yaml

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
