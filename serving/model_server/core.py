"""Request handling that REST and gRPC share: deadlines, batching, metrics."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
from grpc import StatusCode

from serving.model_server.batching import Batcher
from serving.model_server.methods import Run
from serving.model_server.prometheus import Metrics
from serving.model_server.servable import Servable
from serving.model_server.status import StatusError
from serving.model_server.tensors import Tensor, Tensors
from serving.model_server.versions import Models


class Core:
    """Behind every request."""

    def __init__(self, models: Models, batcher: Batcher | None, metrics: Metrics):
        self.models, self.metrics = models, metrics
        self._batcher = batcher

    def runner(self, deadline: float | None, api: str = "") -> Run:
        """How a request that must be answered at time.monotonic() `deadline` runs a signature.

        api: under which its time is recorded, if at all. What has begun to compute is not
        interrupted.
        """

        def run(
            servable: Servable,
            signature: str,
            inputs: Mapping[str, Tensor],
            outputs: Sequence[str],
        ) -> Tensors:
            if deadline is not None and time.monotonic() >= deadline:
                raise StatusError(
                    StatusCode.DEADLINE_EXCEEDED, "The deadline passed before the request's turn."
                )
            started = time.monotonic()
            small = all(isinstance(tensor, np.ndarray) for tensor in inputs.values())
            if self._batcher is None or not small:
                results = servable.run(signature, inputs, outputs)
            else:
                results = self._batcher.run(servable, signature, inputs, deadline, outputs)
            if api:
                self.metrics.observe_run(servable.name, api, time.monotonic() - started)
            return results

        return run
