"""Panel of models that are asked about the same video: each has its opinion, the first decides."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from pipelines.ensemble import Ensemble, EnsembleError, Member
from pipelines.model_contract import ModelProvenance
from serving.analysis.settings import ModelSettings
from serving.client import (
    Model,
    ModelConfig,
    ModelServerError,
    ModelSource,
    Prediction,
    model_sources,
)


class Predictor(Protocol):
    """The part of a Model that gives scores."""

    def predict(self, clips: Sequence[Sequence[bytes]]) -> list[Prediction]: ...


@dataclasses.dataclass(frozen=True, eq=False)
class Voice:
    """What judges a video: a model, or an ensemble of several.

    name: NAME/VERSION of a model; of an ensemble its method and the models. config: what it says
    of itself. models: the numbers, in the panel, of those that it asks.
    """

    name: str
    config: ModelConfig
    models: tuple[int, ...] = (0,)
    ensemble: Ensemble | None = None

    def predictions(self, of_models: Mapping[int, Sequence[Prediction]]) -> Sequence[Prediction]:
        """On some clips, from what each model says of them."""
        said = [of_models[number] for number in self.models]
        if self.ensemble is None:
            return said[0]
        return [_combined(self.ensemble, clip) for clip in zip(*said, strict=True)]


def _combined(ensemble: Ensemble, predictions: Sequence[Prediction]) -> Prediction:
    """What the members say of a clip as one; a frame that all give 0 is one without the face."""
    whole = ensemble.combine([np.array(p.probability_fake) for p in predictions])
    frames = np.array([p.frame_probability for p in predictions])
    each = np.where(frames.any(axis=0), ensemble.combine(list(frames)), 0.0)
    return Prediction(float(whole), each.tolist())


class Panel:
    """Several models, or one, and an ensemble of them, if one was calibrated.

    The first voice's verdict is that of a video: the ensemble's, or else the first model's.
    """

    def __init__(self, models: Sequence[Model], ensemble: Ensemble | None = None):
        self.models, self.ensemble = tuple(models), ensemble

    @classmethod
    def of(cls, model: Model | Panel) -> Panel:
        return model if isinstance(model, Panel) else cls([model])

    def close(self) -> None:
        with contextlib.ExitStack() as stack:
            for model in self.models:
                stack.callback(model.close)

    def version(self) -> str:
        """Of all models that answer now. Raises ModelServerError."""
        return ", ".join(_told_apart([model.version() for model in self.models]))

    def voices(self) -> tuple[Voice, ...]:
        """What the models say of themselves now. Raises ModelServerError, also where they are none
        of the ensemble's."""
        return self._voices()[0]

    def _voices(self) -> tuple[tuple[Voice, ...], str]:
        """With the version that they are of."""
        described = [(model.config(), model.version()) for model in self.models]
        names = _told_apart([version for _, version in described])
        voices = [
            Voice(name, config, (number,))
            for number, (name, (config, _)) in enumerate(zip(names, described, strict=True))
        ]
        if self.ensemble:
            try:
                voices.insert(0, _of_ensemble(self.ensemble, voices))
            except EnsembleError as error:  # servers may have got other versions
                raise ModelServerError(str(error)) from error
        return tuple(voices), ", ".join(names)

    @contextlib.contextmanager
    def at_one_version(self) -> Iterator[tuple[Voice, ...]]:
        """The voices, for as long as one video is judged.

        A server may get a new version at any time; what two versions judged together is no verdict.
        Raises ModelServerError where another version took over within.
        """
        voices, before = self._voices()
        yield voices
        if (now := self.version()) != before:
            raise ModelServerError(f"{now} took over from {before} meanwhile. Ask once more.")


def sources_of(settings: ModelSettings) -> list[ModelSource]:
    """Where the models are that the settings name. Raises UsageError."""
    return model_sources(settings.model, settings.model_server, settings.model_name)


def ensemble_of(settings: ModelSettings) -> Ensemble | None:
    """The ensemble that the settings name, if any. Raises EnsembleError."""
    return Ensemble.read(Path(settings.ensemble)) if settings.ensemble else None


def _told_apart(names: Sequence[str]) -> list[str]:
    """Two exports in folders of the same name have one name and version."""
    return [
        name if names.count(name) == 1 else f"{name} #{names[: number + 1].count(name)}"
        for number, name in enumerate(names)
    ]


def _of_ensemble(ensemble: Ensemble, models: Sequence[Voice]) -> Voice:
    ensemble.require([Member.of(voice.name, voice.config.calibration) for voice in models])
    crops = models[0].config.preprocess
    for voice in models:
        if voice.config.preprocess.fingerprint != ensemble.fingerprint:
            raise EnsembleError(
                f"{voice.name} wants crops {voice.config.preprocess.fingerprint}; the ensemble was "
                f"calibrated on {ensemble.fingerprint}. Calibrate it again."
            )
    told = [voice.config.provenance for voice in models]
    provenance = ModelProvenance(
        trained_on=tuple(dict.fromkeys(name for one in told for name in one.trained_on)),
        sample_data=any(one.sample_data for one in told),
    )
    return Voice(
        f"{ensemble.method}/{'+'.join(voice.name for voice in models)}",
        ModelConfig(crops, ensemble.thresholds, provenance, ensemble.calibration),
        tuple(range(len(models))),
        ensemble,
    )
