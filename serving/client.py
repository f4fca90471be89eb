"""Asking a model: over TensorFlow Serving's REST API, or loaded in this process.

The REST side imports no TensorFlow. https://www.tensorflow.org/tfx/serving/api_rest
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import httpx

from pipelines.config import PreprocessConfig
from serving.verdict import Thresholds

BATCH = 8  # clips in a request


class ModelServerError(RuntimeError):
    """The model server gave no answer that can be used."""


class Unreachable(ModelServerError):
    """Nobody answers at the address."""


class Timeout(ModelServerError):
    """The answer did not come in time."""


class NotFound(ModelServerError):
    """The server knows no such model or version."""


class InvalidRequest(ModelServerError):
    """The server or the model refused the request."""


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """What a model says of itself: how its crops are made, and its thresholds."""

    preprocess: PreprocessConfig
    thresholds: Thresholds

    @classmethod
    def from_json(cls, preprocess_json: str, verdict_json: str) -> ModelConfig:
        """Raises ValueError where this package would make other crops than the training did."""
        stored = json.loads(preprocess_json)
        preprocess = PreprocessConfig.from_dict(stored["config"])
        if preprocess.fingerprint != stored["fingerprint"]:
            raise ValueError(
                f"The model was trained on crops with fingerprint {stored['fingerprint']}; this "
                f"package would make crops with {preprocess.fingerprint}. Use the version of "
                "this package that trained the model, or train again."
            )
        return cls(preprocess, Thresholds.from_dict(json.loads(verdict_json)))


@dataclasses.dataclass(frozen=True)
class Prediction:
    """P(fake) of a clip and of each of its frames; padding frames are left out by callers."""

    probability_fake: float
    frame_probability: list[float]


class Model(Protocol):
    """What `predict` needs of a model, wherever it runs."""

    def version(self) -> str:
        """NAME/VERSION. Raises ModelServerError where a server does not say."""

    def config(self) -> ModelConfig:
        """Raises ModelServerError or ValueError."""

    def predict(self, clips: Sequence[Sequence[bytes]]) -> list[Prediction]:
        """Encoded crops per clip, b"" for a missing frame -> a prediction per clip."""

    def close(self) -> None:
        """Lets go of connections."""


def _batches(clips: Sequence[Sequence[bytes]], config: ModelConfig) -> Iterator[list[list[bytes]]]:
    """The clips, padded to the length that the model was trained with, a request at a time."""
    length = config.preprocess.frames_per_clip
    padded = [[*clip, *[b""] * (length - len(clip))] for clip in clips]
    for start in range(0, len(padded), BATCH):
        yield padded[start : start + BATCH]


class RestClient:
    """A model behind TensorFlow Serving's REST API, ours or the stock server.

    Holds connections open until it is closed; `with` closes it.
    """

    def __init__(self, url: str, name: str = "dfdetect", timeout_s: float = 60.0):
        self._name = name
        self._base = f"{url.rstrip('/')}/v1/models/{name}"
        # Retries of the transport are for connections that fail, never for a sent request.
        self._http = httpx.Client(
            timeout=timeout_s, transport=httpx.HTTPTransport(retries=3), trust_env=False
        )

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> RestClient:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _call(self, method: str, path: str = "", body: Any = None) -> dict[str, Any]:
        address = self._base + path
        try:
            response = self._http.request(method, address, json=body)
        except httpx.TimeoutException as error:
            raise Timeout(f"{address}: no answer in time. Is the server overloaded?") from error
        except httpx.HTTPError as error:
            raise Unreachable(
                f"{address}: no model server answers ({error}). Start one with `dfdetect serve`."
            ) from error
        if response.is_success:
            return response.json()
        try:
            detail = response.json()["error"]
        except (ValueError, KeyError, TypeError):
            detail = response.text[:200]
        kind: type[ModelServerError] = ModelServerError
        if response.status_code < 500:
            kind = NotFound if response.status_code == 404 else InvalidRequest
        raise kind(f"{address}: status {response.status_code}: {detail}")

    def wait_ready(self, deadline_s: float = 60.0) -> None:
        """Returns when a version of the model is AVAILABLE. Raises the last error otherwise."""
        end = time.monotonic() + deadline_s
        while True:
            try:
                self.version()
                return
            except (Unreachable, Timeout, NotFound):
                if time.monotonic() > end:
                    raise
            time.sleep(0.2)

    def version(self) -> str:
        """The one that answers: the highest that is AVAILABLE."""
        states = self._call("GET")["model_version_status"]
        available = [int(v["version"]) for v in states if v["state"] == "AVAILABLE"]
        if not available:
            raise NotFound(f"{self._base}: no version is AVAILABLE yet.")
        return f"{self._name}/{max(available)}"

    @functools.cache  # noqa: B019 (a client lives as long as its process needs it)
    def config(self) -> ModelConfig:
        body = {"signature_name": "config", "inputs": {"query": [""]}}
        outputs = self._call("POST", ":predict", body)["outputs"]
        return ModelConfig.from_json(outputs["preprocess_json"][0], outputs["verdict_json"][0])

    def predict(self, clips: Sequence[Sequence[bytes]]) -> list[Prediction]:
        predictions = []
        for batch in _batches(clips, self.config()):
            frames = [
                [{"b64": base64.b64encode(image).decode()} for image in clip] for clip in batch
            ]
            outputs = self._call("POST", ":predict", {"inputs": {"frames": frames}})["outputs"]
            predictions.extend(_predictions(outputs))
        return predictions


def _predictions(outputs: Mapping[str, Any]) -> list[Prediction]:
    return [
        Prediction(float(probability), [float(p) for p in frames])
        for probability, frames in zip(
            outputs["probability_fake"], outputs["frame_probability"], strict=True
        )
    ]


def newest_version(folder: Path) -> Path:
    """`folder` itself if it is a version of a model, else its version with the highest number.

    Raises FileNotFoundError where there is none.
    """
    if (folder / "saved_model.pb").is_file():
        return folder
    versions = [p for p in folder.glob("[0-9]*") if p.name.isdigit() and p.is_dir()]
    if not versions:
        raise FileNotFoundError(
            f"{folder}: holds neither saved_model.pb nor a numbered version of a model. "
            "Make one with `dfdetect export`."
        )
    return max(versions, key=lambda p: int(p.name))


class InProcessModel:
    """A SavedModel loaded in this process. Loading takes seconds: keep one per process."""

    def close(self) -> None:
        """Nothing to close; here because a model is closed wherever it runs."""

    def __init__(self, folder: str | Path):
        import tensorflow as tf

        version = newest_version(Path(folder))
        self._version = f"{version.parent.name}/{version.name}"
        self._loaded = tf.saved_model.load(str(version))
        self._strings = lambda values: tf.constant(values, tf.string)

    def version(self) -> str:
        return self._version

    @functools.cache  # noqa: B019
    def config(self) -> ModelConfig:
        outputs = self._loaded.signatures["config"](query=self._strings([""]))
        return ModelConfig.from_json(
            outputs["preprocess_json"].numpy()[0].decode(),
            outputs["verdict_json"].numpy()[0].decode(),
        )

    def predict(self, clips: Sequence[Sequence[bytes]]) -> list[Prediction]:
        predictions = []
        for batch in _batches(clips, self.config()):
            frames = self._strings(batch)
            outputs = self._loaded.signatures["serving_default"](frames=frames)
            predictions.extend(_predictions({k: v.numpy() for k, v in outputs.items()}))
        return predictions
