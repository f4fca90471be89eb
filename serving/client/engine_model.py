"""In-process inference by another engine than TensorFlow: OpenVINO or ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from pipelines.exported_model import ExportedModel
from pipelines.faces.decode_crops import CropError, decode_crops
from pipelines.inference_engines import InferenceEngineError
from pipelines.model_contract import BATCH, CONFIG, SERVING_DEFAULT, Signature
from serving.client.errors import InvalidRequest, ModelServerError
from serving.client.model import SignatureModel


class EngineModel(SignatureModel):
    """What `dfdetect export --format openvino` or `onnx` wrote, loaded in this process.

    Makes no heat maps. name: of the model, where it is not that of its folder. Raises
    ModelServerError where its engine is not installed or cannot load it. Threads may share it.
    """

    def __init__(self, model: ExportedModel, batch: int = BATCH, name: str = ""):
        super().__init__(batch)
        self._model = model
        try:
            self._engine = model.tensors
        except InferenceEngineError as error:
            raise ModelServerError(str(error)) from error
        self._version = f"{name}/{model.folder.name}" if name else model.name

    def version(self) -> str:
        return self._version

    def warm_up(self) -> None:
        """Does what the engine does only once, so that the first caller need not wait for it."""
        crops = self.config().preprocess
        black = np.zeros((crops.crop_size, crops.crop_size, 3), np.uint8)
        self.predict([[cv2.imencode(".jpg", black)[1].tobytes()]])

    def _run(self, signature: Signature, strings: Sequence) -> Mapping[str, Any]:
        if signature == CONFIG:
            return {
                name: [text] * len(strings)
                for name, text in self._model.description.to_json().items()
            }
        if signature != SERVING_DEFAULT:
            raise InvalidRequest(
                f"{self._version}: no signature {signature.name!r}; only the SavedModel has it."
            )
        crops = self._model.description.preprocess
        try:
            clips, mask = decode_crops(strings, crops.frames_per_clip, crops.crop_size)
        except CropError as error:
            raise InvalidRequest(f"{self._version}: {error}") from error
        if not mask.any(axis=1).all():
            raise InvalidRequest(
                f"{self._version}: A clip holds no frame at all; leave it out of the request."
            )
        try:
            return self._engine(clips, mask)
        except InferenceEngineError as error:
            raise ModelServerError(f"{self._version}: {error}") from error
