"""An ensemble of calibrated models as one detector for evaluation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.ensemble import Ensemble, EnsembleError, Member, mean_logit
from trainer.calibration import Calibration
from trainer.evaluation.measured_model import ClipScores, Detector, load_detector


def load_ensemble(models: Sequence[str | os.PathLike], file: str | os.PathLike) -> Detector:
    """A detector from the members, each any that `load_detector` takes, and the file of
    `dfdetect calibrate --ensemble`.

    Raises EnsembleError where the file is none or is of other models, and as `load_detector`.
    """
    ensemble = Ensemble.read(Path(file))
    try:
        Calibration.from_dict(ensemble.calibration)
    except ValueError as error:
        raise EnsembleError(f"{file}: {error} Calibrate the ensemble again.") from error
    return of_ensemble(ensemble, [load_detector(model) for model in models])


def of_ensemble(ensemble: Ensemble, members: Sequence[Detector]) -> Detector:
    """One detector of the members', which scores as serving does. Raises EnsembleError where they
    are not those of the ensemble."""
    ensemble.require([Member.of(model.name, model.calibration) for model in members])
    for model in members:
        if model.fingerprint != ensemble.fingerprint:
            raise EnsembleError(
                f"{model.name} takes crops of fingerprint {model.fingerprint}, the ensemble was "
                f"calibrated on crops of {ensemble.fingerprint}. Calibrate it again."
            )

    def predict(clips, mask):
        scores = [model.predict(clips, mask) for model in members]
        clip = as_exported([each.probability_fake for each in scores])
        frame = as_exported([each.frame_probability for each in scores])
        return ClipScores(mean_logit(clip), ensemble.combine(clip), ensemble.combine(frame))

    return Detector(
        name=ensemble.name,
        predict=predict,
        thresholds=ensemble.thresholds,
        calibration=dict(ensemble.calibration),
        config={},
        folder=None,
        fingerprint=ensemble.fingerprint,
        shape=members[0].shape,
        members=tuple(members),
    )


def as_exported(probabilities: Sequence[Sequence[float] | np.ndarray]) -> list[np.ndarray]:
    """P(fake) of each member as its export answers it, in float32: a run's is of float64, and what
    lies close to 0 and 1 has another logit there."""
    return [np.asarray(values, np.float32) for values in probabilities]


def require_members(models: Sequence[Detector]) -> None:
    """Raises EnsembleError where models cannot become an ensemble: they are too few, one is not
    calibrated, or they take different crops."""
    if len(models) < 2:
        raise EnsembleError(f"{len(models)} model: an ensemble has two or more.")
    if others := [m.name for m in models if not Member.of(m.name, m.calibration).model_sha256]:
        verb = "is" if len(others) == 1 else "are"
        raise EnsembleError(
            f"{', '.join(others)} {verb} not calibrated, or by a version that did not note for "
            "which weights; the members of an ensemble are. Run `dfdetect calibrate --run RUN "
            "--data DIR` first, and export again what was exported."
        )
    if len({model.fingerprint for model in models}) > 1:
        crops = ", ".join(f"{model.name} of {model.fingerprint}" for model in models)
        raise EnsembleError(
            f"The models take crops of different fingerprints: {crops}. The members of an ensemble "
            "see the same crops: train them on the same shards of `dfdetect preprocess`."
        )


def short_names(models: Sequence[Detector]) -> list[str]:
    """The last two parts of each model's path, or as many more as tell different paths apart: an
    ensemble's file goes to other machines, where the rest has no meaning."""
    paths = [Path(model.name).resolve() for model in models]
    paths = [path.parent if path.suffix == ".keras" else path for path in paths]
    parts, longest = 2, max(len(path.parts) for path in paths)
    while parts < longest and len({path.parts[-parts:] for path in paths}) < len(set(paths)):
        parts += 1
    return [str(Path(*path.parts[-parts:])) for path in paths]
