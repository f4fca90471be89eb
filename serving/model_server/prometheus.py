"""Prometheus metrics under TensorFlow Serving's names, such as `:tensorflow:serving:request_count`.

Times are histograms of microseconds with the buckets of its source (util.cc,
batching_session.cc). Names of models that are not configured are left empty: whoever asks for
them shall not fill the memory.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_LATENCY_US = tuple(10 * 1.8**i for i in range(33))
_QUEUING_US = tuple(100 * 1.2**i for i in range(52))
# The client library names counters `..._total` and adds when they were made; the server does not.
_SUFFIX = re.compile(rb"^((?:# \w+ )?:tensorflow:[\w:]*?)_total\b", re.MULTILINE)
_CREATED = re.compile(rb"^(?:# \w+ )?:tensorflow:[\w:]*?_created\b.*\n", re.MULTILINE)


class Metrics:
    """The figures of one server."""

    def __init__(self, is_model: Callable[[str], bool] = lambda name: True):
        self._is_model = is_model
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            ":tensorflow:serving:request_count",
            "The total number of requests.",
            ["model_name", "status"],
            registry=registry,
        )
        self._latency = Histogram(
            ":tensorflow:serving:request_latency",
            "Distribution of wall time (in microseconds) for requests that were answered.",
            ["model_name", "API", "entrypoint"],
            buckets=_LATENCY_US,
            registry=registry,
        )
        self._runtime = Histogram(
            ":tensorflow:serving:runtime_latency",
            "Distribution of wall time (in microseconds) of the model alone.",
            ["model_name"],
            buckets=_LATENCY_US,
            registry=registry,
        )
        self._loads = Counter(
            ":tensorflow:cc:saved_model:load_attempt_count",
            "The number of times a version was loaded and warmed up.",
            ["model_path", "status"],
            registry=registry,
        )
        self._queuing = Histogram(
            ":tensorflow:serving:batching_session:queuing_latency",
            "Distribution of wall time (in microseconds) spent waiting for a batch.",
            ["thread_pool_name"],
            buckets=_QUEUING_US,
            registry=registry,
        )
        self._batch_size = Histogram(
            ":tensorflow:serving:batching_session:processed_batch_size",
            "Rows of the batches that were computed, padding included.",
            buckets=tuple(2**i for i in range(11)),
            registry=registry,
        )
        self._batches = Counter(
            ":tensorflow:serving:batching_session:wrapped_run_count",
            "The number of batches that were computed.",
            registry=registry,
        )

    def count_request(self, model: str, code: str) -> None:
        self._requests.labels(self._label(model), code).inc()

    def observe_request(self, model: str, api: str, entrypoint: str, seconds: float) -> None:
        self._latency.labels(self._label(model), api, entrypoint).observe(seconds * 1e6)

    def observe_run(self, model: str, seconds: float) -> None:
        self._runtime.labels(self._label(model)).observe(seconds * 1e6)

    def count_load(self, path: str, ok: bool) -> None:
        self._loads.labels(path, "success" if ok else "fail").inc()

    def observe_queue(self, pool: str, seconds: float) -> None:
        self._queuing.labels(pool).observe(seconds * 1e6)

    def observe_batch(self, rows: int) -> None:
        self._batches.inc()
        self._batch_size.observe(rows)

    def _label(self, model: str) -> str:
        return model if self._is_model(model) else ""

    def requests(self) -> int:
        """How many were answered, errors included."""
        samples = itertools.chain.from_iterable(m.samples for m in self._requests.collect())
        return int(sum(s.value for s in samples if s.name.endswith("_total")))

    def page(self) -> bytes:
        """In Prometheus' text format."""
        return _SUFFIX.sub(rb"\1", _CREATED.sub(b"", generate_latest(self._registry)))
