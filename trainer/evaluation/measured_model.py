"""A detector for evaluation, from a training run, a .keras file or an exported model."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from pipelines.exported_model import ExportedModel
from pipelines.inference_engines import InferenceEngine
from pipelines.model_contract import ModelDescription
from pipelines.verdict import Thresholds
from trainer.calibration import Calibration, apply
from trainer.leakage import Seen, read_seen
from trainer.model.detector import load_model
from trainer.run import CONFIG_NAME, MODEL_NAME, Run


class ClipScores(NamedTuple):
    """Of a batch of clips, float arrays: the logit (B,), P(fake) (B,) and that of the frames
    (B, T); without meaning where the mask is false. The logit knows no temperature."""

    logit: np.ndarray
    probability_fake: np.ndarray
    frame_probability: np.ndarray


@dataclasses.dataclass(frozen=True)
class Detector:
    """A model that can be measured.

    predict: clips uint8 (B, T, H, W, 3) and mask bool (B, T) -> their scores.
    config: the training's config.json, empty where it is not known. folder: where records of the
    training may lie. fingerprint: of its crops, None where it is not known. members: the models of
    an ensemble, each with its own training; the ensemble has none.
    """

    name: str
    predict: Callable[[Any, Any], ClipScores]
    thresholds: Thresholds
    calibration: dict[str, Any] | None
    config: Mapping[str, Any]
    folder: Path | None
    fingerprint: str | None
    shape: tuple[int, int]  # frames of a clip, side of a crop in px
    members: tuple[Detector, ...] = ()

    @property
    def trained(self) -> tuple[Detector, ...]:
        """The models that were trained: an ensemble's members, or just this one."""
        return self.members or (self,)

    @functools.cached_property
    def seen(self) -> Seen | None:
        """What the training has seen, as hashes; None where no record of that is kept. Raises
        ValueError where it is damaged."""
        return read_seen(self.folder) if self.folder else None


def load_detector(model: str | os.PathLike) -> Detector:
    """A detector from a run folder, a .keras file or an exported model.

    Of a folder of numbered SavedModels the newest is taken. Raises FileNotFoundError where there
    is none of these.
    """
    path = Path(model)
    if path.suffix == ".keras":
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: finish `dfdetect train` first.")
        if path.name == MODEL_NAME and (path.parent / CONFIG_NAME).is_file():
            # What a run was calibrated with belongs to its finished model only.
            return of_run(Run.open(path.parent), name=str(path))
        beside = path.parent / CONFIG_NAME
        config = json.loads(beside.read_text()) if beside.is_file() else {}
        return _of_keras(path, load_model(path), config, None)
    try:
        exported = ExportedModel.open(path)
    except FileNotFoundError:  # a run, then, or nothing
        return of_run(Run.open(path))
    return of_tensors(
        exported.tensors,
        exported.description,
        str(exported.folder),
        exported.training,
        exported.extra,
    )


def of_run(run: Run, calibrated: bool = True, name: str = "") -> Detector:
    """The model of a finished training; as it was trained, or calibrated where it is."""
    calibration = run.calibration if calibrated else None
    return _of_keras(Path(name or run.folder), run.model, run.record, calibration)


def _of_keras(
    path: Path, model: keras.Model, config: dict[str, Any], calibration: Calibration | None
) -> Detector:
    folder = path if path.is_dir() else path.parent
    temperature = calibration.temperature if calibration else 1.0
    frames, side = model.input["clips"].shape[1:3]

    @tf.function(reduce_retracing=True)
    def logits(clips, mask):
        outputs = model({"clips": clips, "mask": mask}, training=False)
        return tf.cast(outputs["logit"], tf.float32), tf.cast(outputs["frame_logit"], tf.float32)

    def predict(clips, mask):
        clip, frame = (values.numpy() for values in logits(clips, mask))
        return ClipScores(clip, apply(clip, temperature), apply(frame, temperature))

    return Detector(
        name=str(path),
        predict=predict,
        thresholds=calibration.thresholds if calibration else Thresholds(),
        calibration=calibration.to_dict() if calibration else None,
        config=config,
        folder=folder,
        fingerprint=config.get("fingerprint"),
        shape=(frames, side),
    )


def of_tensors(
    tensors: InferenceEngine,
    description: ModelDescription,
    name: str,
    config: Mapping[str, Any],
    folder: Path,
) -> Detector:
    """A detector that an engine runs; the others are as of Detector."""

    def predict(clips, mask):
        clips, mask = np.asarray(clips), np.asarray(mask)
        # The signature refuses a clip without a frame; its score is not used.
        outputs = tensors(clips, mask | ~mask.any(axis=1, keepdims=True))
        return ClipScores(*(outputs[name] for name in ClipScores._fields))

    crops = description.preprocess
    return Detector(
        name=name,
        predict=predict,
        thresholds=description.thresholds,
        calibration=dict(description.calibration) if description.calibration else None,
        config=config,
        folder=folder,
        fingerprint=description.fingerprint,
        shape=(crops.frames_per_clip, crops.crop_size),
    )
