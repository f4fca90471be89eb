"""The model of a scoring job: an exported model in the worker, or a server that is asked again."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Sequence

from apache_beam.io.components.adaptive_throttler import ReactiveThrottler
from apache_beam.utils import retry

from pipelines import storage
from pipelines.ensemble import Ensemble
from serving.analysis.panel import Panel, Voice
from serving.client import (
    Clips,
    InvalidRequest,
    Model,
    ModelSource,
    NotFound,
    Prediction,
    connect_all,
)

RETRIES = 5  # of a request, after 5, 10, 20, 40 and 80 s, about
PERMANENT = (InvalidRequest, NotFound, ValueError)  # what asking again does not mend


@dataclasses.dataclass(frozen=True)
class ScoringPanel:
    """The models that score, as the launcher learns of them before any work.

    sources: of each model, pinned to its version. voices: what judges by them.
    """

    sources: tuple[ModelSource, ...]
    voices: tuple[Voice, ...]

    @classmethod
    def describe(
        cls, sources: Sequence[ModelSource], ensemble: Ensemble | None = None
    ) -> ScoringPanel:
        """Raises OSError, ModelServerError."""
        with contextlib.ExitStack() as stack:
            models = [stack.enter_context(contextlib.closing(open_model(one))) for one in sources]
            voices = Panel(models, ensemble).voices()
            pinned = [
                source.pinned(model.version())
                for source, model in zip(sources, models, strict=True)
            ]
        return cls(tuple(pinned), voices)

    @property
    def lead(self) -> Voice:
        return self.voices[0]

    def open_patiently(self) -> OpenModels:
        return OpenModels([open_patiently(source) for source in self.sources])


@dataclasses.dataclass(frozen=True, eq=False)
class OpenModels:
    """The models of a worker, which its threads share."""

    models: Sequence[Model | PatientModel]


def open_model(source: ModelSource) -> Model:
    """A model in a folder on any of Beam's file systems, or behind servers. Raises OSError where a
    folder holds none."""
    if source.is_server:
        return connect_all(source.places, source.name, retries=0)  # see PatientModel
    with storage.local_folder(source.places[0]) as folder:
        return dataclasses.replace(source, places=(str(folder),)).open()


def open_patiently(source: ModelSource) -> Model | PatientModel:
    """The same for a worker, which asks servers again."""
    model = open_model(source)
    return PatientModel(model) if source.is_server else model


class PatientModel:
    """A model behind servers, asked again after a while when it fails.

    Not asked again where the request itself is wrong. A worker slows down while the server fails:
    Beam's throttling, as its own handlers of remote models have it (RemoteModelHandler in
    apache_beam/ml/inference/base.py), also tells a runner that scales not to add workers.
    """

    def __init__(self, model: Model):
        self._model = model
        self._throttler = ReactiveThrottler(
            window_ms=1000, bucket_ms=1000, overload_ratio=2, namespace="dfdetect.model_server"
        )
        self._persist = retry.with_exponential_backoff(
            num_retries=RETRIES, retry_filter=lambda error: not isinstance(error, PERMANENT)
        )

    def predict(self, clips: Clips) -> list[Prediction]:
        return self._persist(self._ask)(clips)

    def _ask(self, clips: Clips) -> list[Prediction]:
        self._throttler.throttle()
        asked_ms = time.time() * 1000
        predictions = self._model.predict(clips)
        self._throttler.successful_request(asked_ms)
        return predictions
