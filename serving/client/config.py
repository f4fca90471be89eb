"""What a model says of itself: how its crops are made, its thresholds, and how it was tested."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from pipelines.config import PreprocessConfig
from pipelines.verdict import Thresholds
from serving.client.errors import FingerprintMismatch, ModelServerError


@dataclasses.dataclass(frozen=True)
class ReliabilityBin:
    """Of the test videos that were scored from `low` to `high`, how many there are and are fake."""

    low: float
    high: float
    videos: int
    fake: int


@dataclasses.dataclass(frozen=True)
class ModelFacts:
    """Where a model comes from and how it did in its test; empty and None where nobody said.

    trained_on, tested_on: names of data sets. false_alarm_rate: the share of the test's real
    videos called FAKE. reliability: bins of scores from 0 to 1. sample_data: whether it was
    trained on the generated set, which only serves to try the system.
    """

    trained_on: tuple[str, ...] = ()
    tested_on: tuple[str, ...] = ()
    test_videos: int | None = None
    false_alarm_rate: float | None = None
    reliability: tuple[ReliabilityBin, ...] | None = None
    sample_data: bool = False

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelFacts:
        """From a model's facts.json; what else it holds is not read."""
        bins = values.get("reliability")
        names = [field.name for field in dataclasses.fields(ReliabilityBin)]
        return cls(
            tuple(values.get("trained_on") or ()),
            tuple(values.get("tested_on") or ()),
            values.get("test_videos"),
            values.get("false_alarm_rate"),
            bins and tuple(ReliabilityBin(**{name: b[name] for name in names}) for b in bins),
            bool(values.get("sample_data")),
        )


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """What a client needs to know of a model, all of it from the model itself.

    preprocess: makes the crops that the model was trained on, of all faces. Training mostly takes
    the largest face, which is the one that a data set's label speaks of; whoever asks about a
    video asks about everyone in it.
    """

    preprocess: PreprocessConfig
    thresholds: Thresholds
    facts: ModelFacts = ModelFacts()

    @classmethod
    def from_json(
        cls, preprocess_json: str, verdict_json: str, facts_json: str = "{}"
    ) -> ModelConfig:
        """From the outputs of the signature `config`, or the files in assets.extra/.

        Raises FingerprintMismatch where this package would make other crops than the training
        did, and ModelServerError where the texts are not what `dfdetect export` writes.
        """
        try:
            stored = json.loads(preprocess_json)
            preprocess = PreprocessConfig.from_dict(stored["config"])
            fingerprint = stored["fingerprint"]
            thresholds = Thresholds.from_dict(json.loads(verdict_json))
            facts = ModelFacts.from_dict(json.loads(facts_json))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelServerError(
                f"The model's description of itself cannot be read ({error!r}). Export the model "
                "again with this version of `dfdetect export`."
            ) from error
        if preprocess.fingerprint != fingerprint:
            raise FingerprintMismatch(
                f"The model was trained on crops with fingerprint {fingerprint}; this package "
                f"would make crops with {preprocess.fingerprint}. Use the version of this package "
                "that trained the model, or train again."
            )
        return cls(dataclasses.replace(preprocess, faces="all"), thresholds, facts)
