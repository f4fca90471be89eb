"""In-process inference: an exported model loaded here, without a server."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.exported_model import ExportedModel
from pipelines.model_contract import BATCH, Signature
from serving.client.errors import InvalidRequest, ModelServerError
from serving.client.model import SignatureModel

if TYPE_CHECKING:
    from serving.client.engine_model import EngineModel


def load_model(
    model: ExportedModel | str | Path, batch: int = BATCH, name: str = ""
) -> InProcessModel | EngineModel:
    """An exported model in this process, by the engine that it was exported for.

    The arguments are those of InProcessModel. Raises FileNotFoundError where there is none, and
    ModelServerError where its engine is not installed.
    """
    opened = model if isinstance(model, ExportedModel) else ExportedModel.open(model)
    if opened.format == "saved-model":
        return InProcessModel(opened, batch, name)
    from serving.client.engine_model import EngineModel  # loads OpenCV: not for who asks a server

    return EngineModel(opened, batch, name)


class InProcessModel(SignatureModel):
    """A SavedModel loaded in this process. Loading takes seconds: keep one per process.

    model: opened, or the folder of a version of a model, or of its versions, of which the newest
    is taken. name: of the model, where it is not that of its folder. Raises FileNotFoundError
    where there is none. Threads may share it.
    """

    def __init__(self, model: ExportedModel | str | Path, batch: int = BATCH, name: str = ""):
        super().__init__(batch)
        self._model = model if isinstance(model, ExportedModel) else ExportedModel.open(model)
        self._signatures = self._model.graph.signatures
        self._version = f"{name}/{self._model.folder.name}" if name else self._model.name

    def version(self) -> str:
        return self._version

    def warm_up(self) -> None:
        """Does what TensorFlow does only once, so that the first caller need not wait for it."""
        import tensorflow as tf  # not at the top: who asks a server needs none

        crops = self.config().preprocess
        black = tf.zeros((crops.crop_size, crops.crop_size, 3), tf.uint8)
        clip = [tf.io.encode_jpeg(black).numpy()] * crops.frames_per_clip
        for clips in (1, self._batch):  # the smallest and the fullest request
            self.predict([clip] * clips)
        with contextlib.suppress(InvalidRequest):  # not of earlier exports
            self.explain([clip])

    def _run(self, signature: Signature, strings: Sequence) -> Mapping[str, Any]:
        import tensorflow as tf  # not at the top: who asks a server needs none

        if signature.name not in self._signatures:
            raise InvalidRequest(
                f"{self._version}: no signature {signature.name!r}; there are "
                f"{sorted(self._signatures)}. Export the model again."
            )
        (name,) = signature.inputs
        try:
            outputs = self._signatures[signature.name](**{name: tf.constant(strings, tf.string)})
        except (tf.errors.InvalidArgumentError, ValueError) as error:
            raise InvalidRequest(f"{self._version}: {str(error)[:500]}") from error
        except tf.errors.OpError as error:
            raise ModelServerError(f"{self._version}: {str(error)[:500]}") from error
        return {key: value.numpy() for key, value in outputs.items()}
