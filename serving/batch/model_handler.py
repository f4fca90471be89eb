"""Inference in a Beam job: groups of clips in, scores of the clips out, by RunInference.

Beam's own TensorFlow handlers expect a Keras model and cannot load an exported SavedModel.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from apache_beam.ml.inference.base import ModelHandler, RemoteModelHandler

from pipelines import storage
from pipelines.beam import job_metrics
from pipelines.clip import Clip
from pipelines.video.stopwatch import Stopwatch
from serving.analysis.video_result import ClipScore, clip_score
from serving.client import (
    BATCH,
    InProcessModel,
    InvalidRequest,
    Model,
    NotFound,
    connect,
    is_server,
)

RETRIES = 5  # of a request, after 5, 10, 20, 40 and 80 s, about
PERMANENT = (InvalidRequest, NotFound, ValueError)  # what asking again does not mend


@dataclasses.dataclass(frozen=True)
class ClipGroup:
    """Some clips of a video on their way to the model.

    key: names the video's results. index: the place of this group among the video's. last:
    whether it ends the video. detail: why a video has no clip. frames_sampled: of the whole video.
    """

    key: str
    uri: str
    index: int
    last: bool
    clips: tuple[Clip, ...]
    detail: str = ""
    frames_sampled: int | None = None


@dataclasses.dataclass(frozen=True)
class GroupScores:
    """A group of clips once the model has seen it: a few numbers a clip.

    frames_sampled: None in what an earlier version of this package left of a job.
    """

    key: str
    uri: str
    index: int
    last: bool
    scores: tuple[ClipScore, ...]
    detail: str = ""
    frames_sampled: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """What a part's file holds."""
        return {**dataclasses.asdict(self), "scores": [score.to_dict() for score in self.scores]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> GroupScores:
        return cls(**{**values, "scores": tuple(map(ClipScore.from_dict, values["scores"]))})


def handler(model: str, name: str) -> ModelHandler[ClipGroup, GroupScores, Model]:
    """For a SavedModel's folder, or for the address of a model server and a name there."""
    return ServedModel(model, name) if is_server(model) else LoadedModel(model)


def open_model(model: str, name: str) -> Model:
    """The model itself. Raises OSError where a folder holds none."""
    if is_server(model):
        return connect(model, name, retries=0)  # Beam asks again, and slows its workers down
    with storage.local_folder(model) as folder:
        return InProcessModel(folder)


def _score(batch: Sequence[ClipGroup], model: Model) -> list[GroupScores]:
    """Clips of several videos in one request, dealt back to their groups."""
    watch = Stopwatch()
    with watch.running("model"):
        predictions = iter(model.predict([c.images for group in batch for c in group.clips]))
    job_metrics.record(watch)
    return [
        GroupScores(
            group.key,
            group.uri,
            group.index,
            group.last,
            tuple(clip_score(clip, next(predictions)) for clip in group.clips),
            group.detail,
            group.frames_sampled,
        )
        for group in batch
    ]


def _not_of_memory_usage(record: logging.LogRecord) -> bool:
    return "memory usage cannot be fetched" not in record.getMessage()


class _ClipGroupHandler:
    """What Beam asks of either handler."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        """In a worker, before Beam measures its memory around the loading of the model: Beam 2.77
        warns twice where its model manager, which is not used here, lacks a package."""
        self.__dict__.update(state)
        logging.getLogger().addFilter(_not_of_memory_usage)

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        """As many clips at a time as the model's client sends, whatever videos they are of."""
        return {
            "min_batch_size": BATCH,
            "max_batch_size": BATCH,
            "element_size_fn": lambda group: max(1, len(group.clips)),
        }

    def get_num_bytes(self, batch: Sequence[ClipGroup]) -> int:
        """Beam would otherwise pickle every batch to learn its size."""
        images = (image for group in batch for clip in group.clips for image in clip.images)
        return sum(map(len, images))


class LoadedModel(_ClipGroupHandler, ModelHandler[ClipGroup, GroupScores, Model]):
    """A SavedModel, loaded once in each worker process."""

    def __init__(self, folder: str):
        super().__init__()
        self._folder = folder

    def load_model(self) -> Model:
        return open_model(self._folder, "")

    def run_inference(
        self,
        batch: Sequence[ClipGroup],
        model: Model,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterable[GroupScores]:
        return _score(batch, model)


class ServedModel(_ClipGroupHandler, RemoteModelHandler[ClipGroup, GroupScores, Model]):
    """A model behind TensorFlow Serving's protocol, asked again after a while when it fails.

    Not asked again where the request itself is wrong. Workers slow down while the server fails.
    """

    def __init__(self, url: str, name: str):
        super().__init__(
            namespace="dfdetect.model_server",
            num_retries=RETRIES,
            retry_filter=lambda error: not isinstance(error, PERMANENT),
        )
        self._url, self._name = url, name

    def create_client(self) -> Model:
        return open_model(self._url, self._name)

    def request(
        self,
        batch: Sequence[ClipGroup],
        model: Model,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterable[GroupScores]:
        return _score(batch, model)
