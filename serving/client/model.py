"""The interface of a model for inference, wherever it runs, over the signatures of an export."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from pipelines.model_contract import BATCH, CONFIG, EXPLAIN, SERVING_DEFAULT, Signature
from serving.client.config import ModelConfig
from serving.client.errors import ModelServerError

Clips = Sequence[Sequence[bytes]]  # of each clip its encoded crops, b"" for no face in that frame


@dataclasses.dataclass(frozen=True)
class Prediction:
    """P(fake) of a clip and of each of its T frames; 0 for a frame without a face."""

    probability_fake: float
    frame_probability: list[float]


class Model(Protocol):
    """A detector. All methods but `close` raise ModelServerError; see serving.client.errors."""

    def version(self) -> str:
        """NAME/VERSION of the version that answers."""

    def config(self) -> ModelConfig:
        """Of the version that answers. Raises FingerprintMismatch too."""

    def predict(self, clips: Clips) -> list[Prediction]:
        """A prediction for each clip of up to `frames_per_clip` crops."""

    def explain(self, clips: Clips) -> list[np.ndarray]:
        """For each clip of T crops a heat map, float32 (T, h, w): see `dfdetect export`."""

    def close(self) -> None:
        """Lets go of connections."""


class SignatureModel(abc.ABC):
    """A model asked through its signatures; subclasses know how to run one.

    batch: clips in a request at most; not more than the server's max_batch_size. `with` closes it.
    """

    def __init__(self, batch: int = BATCH):
        if batch < 1:
            raise ValueError(f"batch is {batch}; it must be at least 1 clip.")
        self._batch = batch
        self._config: tuple[str, ModelConfig] | None = None  # with the version that it is of

    @abc.abstractmethod
    def version(self) -> str: ...

    @abc.abstractmethod
    def _run(self, signature: Signature, strings: Sequence) -> Mapping[str, Any]:
        """The signature's outputs, by name, for its one input of strings, [B] or [B, T]."""

    def close(self) -> None:  # noqa: B027 (not every model holds something)
        """Lets go of what a subclass holds."""

    def __enter__(self):
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def config(self) -> ModelConfig:
        version = self.version()  # another one may have been rolled out since
        if not self._config or self._config[0] != version:
            self._config = version, config_of(self._run(CONFIG, [b""]))
        return self._config[1]

    def predict(self, clips: Clips) -> list[Prediction]:
        predictions = []
        for batch, outputs in self._in_batches(SERVING_DEFAULT, clips):
            probabilities = _output(outputs, "probability_fake", len(batch))
            frames = _output(outputs, "frame_probability", len(batch))
            for clip, probability, of_frames in zip(batch, probabilities, frames, strict=True):
                values = [float(p) for p in of_frames[: len(clip)]]
                predictions.append(Prediction(_probability(probability), values))
        return predictions

    def explain(self, clips: Clips) -> list[np.ndarray]:
        return [
            np.asarray(heat_map, np.float32)[: len(clip)]
            for batch, outputs in self._in_batches(EXPLAIN, clips)
            for clip, heat_map in zip(batch, _output(outputs, "heat_map", len(batch)), strict=True)
        ]

    def _in_batches(
        self, signature: Signature, clips: Clips
    ) -> Iterator[tuple[Clips, Mapping[str, Any]]]:
        """The clips a request at a time, with what the signature says of them.

        They are padded to the length that the model was trained with: a server puts requests of
        several callers into one batch only if their shapes agree.
        """
        length = (self._config[1] if self._config else self.config()).preprocess.frames_per_clip
        for start in range(0, len(clips), self._batch):
            batch = clips[start : start + self._batch]
            padded = [[*clip, *[b""] * (length - len(clip))] for clip in batch]
            yield batch, self._run(signature, padded)


def config_of(outputs: Mapping[str, Any]) -> ModelConfig:
    """The model's configuration, from the outputs of its signature "config" for one query.

    Raises FingerprintMismatch, ModelServerError.
    """
    # Earlier exports do not tell of their provenance.
    names = [n for n in CONFIG.outputs if n != "facts_json" or n in outputs]
    texts = [_text(_output(outputs, name, 1)[0]) for name in names]
    return ModelConfig.from_json(*texts)


def _output(outputs: Mapping[str, Any], name: str, rows: int) -> Any:
    if name not in outputs:
        raise ModelServerError(
            f"The model gives {sorted(outputs)}, expected {name!r} too. Is it one that "
            "`dfdetect export` wrote?"
        )
    if len(outputs[name]) != rows:
        raise ModelServerError(
            f"The model gave {len(outputs[name])} rows of {name!r} for {rows} clips."
        )
    return outputs[name]


def _probability(value: Any) -> float:
    if not 0 <= value <= 1:  # also catches NaN, which would pass for INCONCLUSIVE
        raise ModelServerError(
            f"The model gave {value} as a probability. Its weights or the clip are damaged."
        )
    return float(value)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else value
