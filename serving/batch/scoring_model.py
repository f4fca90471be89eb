"""The model of a scoring job: an exported model in the worker, or a server that is asked again."""

from __future__ import annotations

import time
from collections.abc import Sequence

from apache_beam.io.components.adaptive_throttler import ReactiveThrottler
from apache_beam.utils import retry

from pipelines import storage
from serving.client import (
    Clips,
    InvalidRequest,
    Model,
    NotFound,
    Prediction,
    connect_all,
    is_server,
    load_model,
)

RETRIES = 5  # of a request, after 5, 10, 20, 40 and 80 s, about
PERMANENT = (InvalidRequest, NotFound, ValueError)  # what asking again does not mend


def open_model(places: Sequence[str], name: str) -> Model:
    """The model in a folder, or behind the addresses of one or several servers. Raises OSError
    where a folder holds none, and ValueError where there are several places and one is a folder."""
    if len(places) > 1 or is_server(places[0]):
        return connect_all(places, name, retries=0)  # see PatientModel
    with storage.local_folder(places[0]) as folder:
        return load_model(folder)


def open_patiently(places: Sequence[str], name: str) -> Model | PatientModel:
    """The same for a worker, which asks servers again."""
    model = open_model(places, name)
    return PatientModel(model) if is_server(places[0]) else model


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
