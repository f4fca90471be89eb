"""Request handling that REST and gRPC share: deadlines, batching, metrics, errors."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping

import numpy as np
from grpc import StatusCode

from serving.model_server.batching import Batcher
from serving.model_server.methods import Run
from serving.model_server.prometheus import Metrics
from serving.model_server.servable import Servable
from serving.model_server.status import StatusError, as_status
from serving.model_server.tensors import Tensor, Tensors
from serving.model_server.versions import Models


class Core:
    """Behind every request."""

    def __init__(self, models: Models, batcher: Batcher | None, metrics: Metrics):
        self.models, self.metrics = models, metrics
        self._batcher = batcher

    def runner(self, deadline: float | None) -> Run:
        """How a request that must be answered at time.monotonic() `deadline` runs a signature.

        What has begun to compute is not interrupted.
        """

        def run(servable: Servable, signature: str, inputs: Mapping[str, Tensor]) -> Tensors:
            if deadline is not None and time.monotonic() >= deadline:
                raise StatusError(
                    StatusCode.DEADLINE_EXCEEDED, "The deadline passed before the request's turn."
                )
            started = time.monotonic()
            small = all(isinstance(tensor, np.ndarray) for tensor in inputs.values())
            if self._batcher is None or not small:
                outputs = servable.run(signature, inputs)
            else:
                outputs = self._batcher.run(servable, signature, inputs, deadline)
            self.metrics.observe_run(servable.name, time.monotonic() - started)
            return outputs

        return run

    @contextlib.contextmanager
    def recorded(self, model: str, api: str, entrypoint: str) -> Iterator[None]:
        """Counts a request, and turns whatever is raised into a StatusError."""
        started = time.monotonic()
        try:
            yield
        except Exception as error:
            status = as_status(error)
            self.metrics.count_request(model, status.code.name)
            raise status from error
        self.metrics.count_request(model, StatusCode.OK.name)
        self.metrics.observe_request(model, api, entrypoint, time.monotonic() - started)
