"""Run folder of a training: opened once when finished, checked for resuming when not."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy
import sklearn
import tensorflow as tf

from pipelines.atomic import write_json
from pipelines.config import PreprocessConfig
from pipelines.shards.open import ClipDataset
from trainer.calibration import Calibration, sha256_of
from trainer.config import TrainConfig
from trainer.errors import TrainError
from trainer.leakage import SEEN_NAME, Seen, read_seen
from trainer.model.detector import load_model

MODEL_NAME = "model.keras"  # its presence marks a finished run
BEST_NAME = "best.keras"  # until the run is finished
CHECKPOINT_NAME = "checkpoint.safetensors"  # until the run is finished
CONFIG_NAME = "config.json"
SETTINGS_NAME = "config.yaml"  # for --config
CALIBRATION_NAME = "calibration.json"
VERSIONS_NAME = "versions.json"
PARTS = (
    *(MODEL_NAME, BEST_NAME, CHECKPOINT_NAME, SETTINGS_NAME, SEEN_NAME, CALIBRATION_NAME),
    *("history.json", "history.csv"),
)


def versions() -> dict[str, str]:
    """Versions of what decides the result."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": numpy.__version__,
        "scikit-learn": sklearn.__version__,
    }


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished training: its folder, its config.json, and the model with what belongs to it.

    record: config.json, see docs/training.md.
    """

    folder: Path
    record: dict[str, Any]

    @classmethod
    def open(cls, folder: str | os.PathLike) -> Run:
        """Raises FileNotFoundError where the training is not finished."""
        folder = Path(folder)
        for name in (CONFIG_NAME, MODEL_NAME):
            if not (folder / name).is_file():
                raise FileNotFoundError(
                    f"{folder / name} is missing: finish `dfdetect train` first."
                )
        return cls(folder, json.loads((folder / CONFIG_NAME).read_text()))

    @functools.cached_property
    def model(self) -> keras.Model:
        """The trained detector, in the precision that it was saved in."""
        return load_model(self.folder / MODEL_NAME)

    @functools.cached_property
    def calibration(self) -> Calibration | None:
        """None where there is none. Raises ValueError where it is damaged or of other weights."""
        path = self.folder / CALIBRATION_NAME
        if not path.is_file():
            return None
        advice = "Run `dfdetect calibrate` again."
        try:
            calibration = Calibration.from_dict(json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: {error} {advice}") from error
        if calibration.model_sha256 not in ("", sha256_of(self.folder / MODEL_NAME)):
            raise ValueError(
                f"{path}: was made with another {MODEL_NAME} than is there now. {advice}"
            )
        return calibration

    def write_calibration(self, calibration: Calibration) -> Calibration:
        """Stores a calibration of this run's model, and returns it with the model's checksum."""
        checksum = sha256_of(self.folder / MODEL_NAME)
        calibration = dataclasses.replace(calibration, model_sha256=checksum)
        write_json(self.folder / CALIBRATION_NAME, calibration.to_dict())
        return calibration

    @functools.cached_property
    def seen(self) -> Seen | None:
        """What the training has seen, as hashes; None where it keeps no record of that."""
        return read_seen(self.folder)

    @property
    def fingerprint(self) -> str:
        """Of the crops that the model was trained on."""
        return self.record["fingerprint"]

    @functools.cached_property
    def preprocess(self) -> PreprocessConfig:
        """How the crops were made."""
        return PreprocessConfig.from_dict(self.record["preprocess"])


def describe(config: TrainConfig, dataset: ClipDataset) -> dict[str, Any]:
    """What config.json says of a run before it begins."""
    return {
        "train": config.to_dict(),
        "preprocess": dataset.config.to_dict(),
        "fingerprint": dataset.fingerprint,
        "data": os.path.abspath(dataset.folder),
        "data_sha256": dataset.sha256,
        "splits": dataset.splits,
        "sample_data": dataset.generated,
    }


def can_resume(folder: Path, record: Mapping[str, Any], overwrite: bool) -> bool:
    """Whether an unfinished run of the same settings is there to resume. Changes nothing.

    record: by `describe`. Raises TrainError where the folder holds foreign files, or a finished run
    or one of other settings that `overwrite` does not allow to replace.
    """
    if folder.exists() and not folder.is_dir():
        raise TrainError(f"{folder} is a file; give a folder as --out.")
    if not folder.is_dir() or not any(folder.iterdir()):
        return False
    if not (folder / CONFIG_NAME).is_file():
        raise TrainError(f"{folder} is not empty and not a training run; give another --out.")
    if overwrite:
        return False
    _check_same(folder, record)
    return (folder / CHECKPOINT_NAME).is_file()


def _check_same(folder: Path, record: Mapping[str, Any]) -> None:
    if (folder / MODEL_NAME).exists():
        raise TrainError(
            f"{folder} holds a finished run. Give another --out, or --overwrite to replace it."
        )
    recorded = json.loads((folder / CONFIG_NAME).read_text())
    changes = [
        f"--{name.replace('_', '-')} was {recorded['train'].get(name)!r} and is {value!r}"
        for name, value in record["train"].items()
        if name not in TrainConfig.FREE_ON_RESUME and recorded["train"].get(name) != value
    ]
    if recorded.get("data_sha256") != record["data_sha256"]:
        changes.append("the shards are others")
    if changes:
        raise TrainError(
            f"{folder} holds an unfinished run that began otherwise: {'; '.join(changes)}. Repeat "
            "its command to resume it, give another --out, or --overwrite to begin anew."
        )


def clear(folder: Path) -> None:
    """Makes the folder, without what an earlier run left in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in PARTS:
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "tensorboard", ignore_errors=True)


def training_datasets(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the data sets in the training split of a config.json; none where it has none."""
    train = record.get("splits", {}).get("train") or {}
    return tuple(sorted(train.get("datasets", {})))
