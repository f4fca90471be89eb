"""In-process inference: an exported model loaded by TensorFlow, without a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.exported_model import ExportedModel
from pipelines.model_contract import BATCH, Signature
from serving.client.errors import InvalidRequest
from serving.client.model import SignatureModel


class InProcessModel(SignatureModel):
    """A SavedModel loaded in this process. Loading takes seconds: keep one per process.

    model: opened, or the folder of a version of a model, or of its versions, of which the newest
    is taken. Raises FileNotFoundError where there is none.
    """

    def __init__(self, model: ExportedModel | str | Path, batch: int = BATCH):
        super().__init__(batch)
        self._model = model if isinstance(model, ExportedModel) else ExportedModel.open(model)
        self._signatures = self._model.graph.signatures

    def version(self) -> str:
        return self._model.name

    def _run(self, signature: Signature, strings: Sequence) -> Mapping[str, Any]:
        import tensorflow as tf  # not at the top: who asks a server needs none

        if signature.name not in self._signatures:
            raise InvalidRequest(
                f"{self._model.name}: no signature {signature.name!r}; there are "
                f"{sorted(self._signatures)}. Export the model again."
            )
        (name,) = signature.inputs
        try:
            outputs = self._signatures[signature.name](**{name: tf.constant(strings, tf.string)})
        except (tf.errors.InvalidArgumentError, ValueError) as error:
            raise InvalidRequest(f"{self._model.name}: {str(error)[:500]}") from error
        return {key: value.numpy() for key, value in outputs.items()}
