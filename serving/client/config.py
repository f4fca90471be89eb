"""A model's configuration for inference: how to make its crops, its thresholds, its provenance."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pipelines.config import PreprocessConfig
from pipelines.model_contract import ModelContractError, ModelDescription, ModelProvenance
from pipelines.verdict import Thresholds
from serving.client.errors import FingerprintMismatch, ModelServerError


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """What a client needs to know of a model, all of it from the model itself.

    preprocess: makes the crops that the model was trained on, of all faces. Training mostly takes
    the largest face, which is the one that a data set's label speaks of; whoever asks about a
    video asks about everyone in it. calibration: how thresholds and temperature were fitted, and to
    which weights; None where they were not.
    """

    preprocess: PreprocessConfig
    thresholds: Thresholds
    provenance: ModelProvenance = ModelProvenance()
    calibration: Mapping[str, Any] | None = None

    @classmethod
    def from_json(
        cls, preprocess_json: str, verdict_json: str, facts_json: str = "{}"
    ) -> ModelConfig:
        """From the outputs of the signature "config".

        Raises FingerprintMismatch where this package would make other crops than the training
        did, and ModelServerError where the texts are not what `dfdetect export` writes.
        """
        try:
            described = ModelDescription.from_json(preprocess_json, verdict_json, facts_json)
        except ModelContractError as error:
            raise ModelServerError(str(error)) from error
        return cls.of(described)

    @classmethod
    def of(cls, described: ModelDescription) -> ModelConfig:
        """Raises FingerprintMismatch, as above."""
        preprocess = described.preprocess
        if preprocess.fingerprint != described.fingerprint:
            raise FingerprintMismatch(
                f"The model was trained on crops with fingerprint {described.fingerprint}; this "
                f"package would make crops with {preprocess.fingerprint}. Use the version of this "
                "package that trained the model, or train again."
            )
        all_faces = dataclasses.replace(preprocess, faces="all")
        return cls(all_faces, described.thresholds, described.provenance, described.calibration)
