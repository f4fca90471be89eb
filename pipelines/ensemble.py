"""Mean-logit ensemble: one score of several calibrated models, with a calibration of its own.

`dfdetect calibrate --ensemble` writes its file; `evaluate`, `predict`, `score` and `web` read it.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.atomic import write_json
from pipelines.errors import DfdetectError
from pipelines.verdict import Thresholds

MEAN_LOGIT = "mean-logit"
METHODS = (MEAN_LOGIT,)
# P(fake) leaves a model as float32, of which the neighbours of 0 and 1 have infinite logits soon.
CLOSEST = 1e-7


class EnsembleError(DfdetectError, ValueError):
    """An ensemble that cannot be used, or not with these models."""


@dataclasses.dataclass(frozen=True)
class Member:
    """A model of an ensemble. model_sha256: of the file of weights that it was calibrated with,
    which is the same however it was exported. temperature: of its calibration, None where nobody
    noted it."""

    name: str
    model_sha256: str
    temperature: float | None = None

    def __post_init__(self) -> None:
        texts = isinstance(self.name, str) and isinstance(self.model_sha256, str)
        if not (texts and isinstance(self.temperature, float | int | None)):
            raise EnsembleError(
                f"{self}: expected texts as name and model_sha256, and a number as temperature."
            )

    @classmethod
    def of(cls, name: str, calibration: Mapping[str, Any] | None) -> Member:
        """calibration: that of the model, as in its verdict.json."""
        values = calibration or {}
        return cls(name, values.get("model_sha256", ""), values.get("temperature"))


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """Several models that see the same crops, and how their scores make one.

    The logit of a clip is the mean of those of the members' calibrated P(fake), each within 1e-7
    of 0 and 1; P(fake) is sigmoid(logit / temperature). fingerprint: of the crops. thresholds: of
    videos' P(fake). calibration: how they were fitted, as in a model's verdict.json.
    """

    members: tuple[Member, ...]
    fingerprint: str
    temperature: float
    thresholds: Thresholds
    calibration: Mapping[str, Any]
    method: str = MEAN_LOGIT

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise EnsembleError(f"The method is {self.method!r}; there is {', '.join(METHODS)}.")
        if len(self.members) < 2:
            raise EnsembleError(f"{len(self.members)} member: an ensemble has two or more.")
        if not 0 < self.temperature < float("inf"):
            raise EnsembleError(f"temperature is {self.temperature}; it must be above 0.")

    @property
    def name(self) -> str:
        return f"{self.method} of {' and '.join(member.name for member in self.members)}"

    def combine(self, probabilities: Sequence[np.ndarray]) -> np.ndarray:
        """P(fake), float64 of the members' shape, from the P(fake) of each of them."""
        return 1 / (1 + np.exp(-mean_logit(probabilities) / self.temperature))

    def require(self, models: Sequence[Member]) -> None:
        """Raises EnsembleError where these are not its members, whatever their order and names, or
        were calibrated otherwise since: their P(fake) would be others."""
        if Counter(m.model_sha256 for m in models) != Counter(m.model_sha256 for m in self.members):
            raise EnsembleError(
                f"The ensemble was calibrated for {_told(self.members)}; the models given are "
                f"{_told(models)}. Give the former, or calibrate again."
            )
        given, known = (
            Counter((m.model_sha256, m.temperature) for m in of) for of in (models, self.members)
        )
        if given != known and all(m.temperature is not None for m in (*models, *self.members)):
            raise EnsembleError(
                f"The models were calibrated again since the ensemble was: their temperatures are "
                f"{_temperatures(models)}, and were {_temperatures(self.members)}. Calibrate the "
                f"ensemble again: dfdetect calibrate --ensemble {self.method}."
            )

    def to_dict(self) -> dict[str, Any]:
        """JSON."""
        return dataclasses.asdict(self)

    def write(self, path: Path) -> None:
        """Raises OSError."""
        write_json(path, self.to_dict())

    @classmethod
    def read(cls, path: Path) -> Ensemble:
        """Raises EnsembleError where the file is none that `dfdetect calibrate` wrote."""
        if not path.is_file():
            advice = (
                f"Write one: dfdetect calibrate --ensemble {MEAN_LOGIT} --model A --model B "
                "--data DIR --out FILE."
            )
            raise EnsembleError(f"{path}: there is no such file of an ensemble. {advice}")
        try:
            values = json.loads(path.read_text())
            members = tuple(Member(**member) for member in values.pop("members"))
            thresholds = Thresholds(**values.pop("thresholds"))
            return cls(members=members, thresholds=thresholds, **values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise EnsembleError(
                f"{path}: is no ensemble that `dfdetect calibrate` wrote ({error})."
            ) from error


def _told(members: Sequence[Member]) -> str:
    return ", ".join(f"{m.name} ({m.model_sha256[:12] or 'uncalibrated'})" for m in members)


def _temperatures(members: Sequence[Member]) -> str:
    return ", ".join(f"{m.temperature:.6g} ({m.name})" for m in members)


def mean_logit(probabilities: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of the logits of P(fake), each within 1e-7 of 0 and 1; float64."""
    within = np.clip(np.asarray(probabilities, np.float64), CLOSEST, 1 - CLOSEST)
    return np.mean(np.log(within) - np.log1p(-within), axis=0)
