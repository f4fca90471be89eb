"""Prometheus metrics with the names, labels and buckets of TensorFlow Serving 2.20.

Of requests: servables/tensorflow/util.cc, recorded as model_servers/http_server.cc and
prediction_service_impl.cc do; of batches: batching/batching_session.cc and batching_util.h; of
loads: TensorFlow's cc/saved_model/loader.cc and saved_model_warmup_util.cc. The page is that of
util/prometheus_exporter.cc. Times are microseconds.
"""

from __future__ import annotations

import bisect
import collections
import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterator

CONTENT_TYPE = "text/plain"

_PREFIX = ":tensorflow:serving:"
_LATENCY_US = tuple(10 * 1.8**i for i in range(33))
_QUEUING_US = tuple(100 * 1.2**i for i in range(52))
_EXAMPLES = tuple(2.0**i for i in range(15))
_ROWS = tuple(2.0**i for i in range(14))
MOST_UNKNOWN = 1000  # names of models that are not served, after which they are called ""
_LONGEST_UNKNOWN = 256  # characters of such a name


@dataclasses.dataclass(eq=False)
class _Counter:
    name: str
    labels: tuple[str, ...] = ()
    counts: collections.Counter[tuple[str, ...]] = dataclasses.field(
        default_factory=collections.Counter
    )
    kind = "counter"

    def lines(self) -> Iterator[str]:
        for values, count in sorted(self.counts.items()):
            yield f"{self.name}{{{_labels(self.labels, values)}}} {count}"


@dataclasses.dataclass(eq=False)
class _Histogram:
    name: str
    labels: tuple[str, ...]
    limits: tuple[float, ...]
    # By the labels' values: how many fell into each bucket, and their sum.
    counts: dict[tuple[str, ...], list[int]] = dataclasses.field(default_factory=dict)
    sums: collections.Counter[tuple[str, ...]] = dataclasses.field(
        default_factory=collections.Counter
    )
    kind = "histogram"

    def add(self, values: tuple[str, ...], number: float) -> None:
        counts = self.counts.setdefault(values, [0] * (len(self.limits) + 1))
        counts[bisect.bisect_left(self.limits, number)] += 1
        self.sums[values] += number  # type: ignore[assignment]

    def lines(self) -> Iterator[str]:
        for values, counts in sorted(self.counts.items()):
            labels = _labels(self.labels, values)
            before = f"{labels}," if labels else ""
            names = [*(f"{limit:g}" for limit in self.limits), "+Inf"]
            for name, count in zip(names, itertools.accumulate(counts), strict=True):
                yield f'{self.name}_bucket{{{before}le="{name}"}} {count}'
            yield f"{self.name}_sum{{{labels}}} {self.sums[values]:g}"
            yield f"{self.name}_count{{{labels}}} {sum(counts)}"


def _labels(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    return ",".join(
        f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)
    )


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class Metrics:
    """The figures of one server. Its methods may be called by several threads at once."""

    def __init__(self, is_model: Callable[[str], bool] = lambda name: True):
        self._is_model = is_model
        self._unknown: set[str] = set()
        self._lock = threading.Lock()
        self._requests = _Counter(f"{_PREFIX}request_count", ("model_name", "status"))
        self._latency = _Histogram(
            f"{_PREFIX}request_latency", ("model_name", "API", "entrypoint"), _LATENCY_US
        )
        self._runtime = _Histogram(
            f"{_PREFIX}runtime_latency", ("model_name", "API", "runtime"), _LATENCY_US
        )
        self._examples = _Histogram(f"{_PREFIX}request_example_counts", ("model",), _EXAMPLES)
        self._examples_total = _Counter(f"{_PREFIX}request_example_count_total", ("model",))
        loading = ":tensorflow:cc:saved_model:load"
        self._loads = _Counter(f"{loading}_attempt_count", ("model_path", "status"))
        self._load_latency = _Counter(f"{loading}_latency", ("model_path",))
        self._warmup = _Histogram(
            f"{_PREFIX}model_warmup_latency", ("model_path", "status"), _LATENCY_US
        )
        batching = f"{_PREFIX}batching_session:"
        self._queuing = _Histogram(f"{batching}queuing_latency", ("thread_pool_name",), _QUEUING_US)
        self._asked = _Histogram(f"{batching}input_batch_size", (), _ROWS)
        self._processed = _Histogram(f"{batching}processed_batch_size", (), _ROWS)
        self._padding = _Histogram(f"{batching}padding_size", ("execution_batch_size",), _ROWS)
        self._batches = _Counter(f"{batching}wrapped_run_count")
        # There is no request log: the name alone, as in a server that logs none.
        self._logged = _Counter(f"{_PREFIX}request_log_count", ("model_name", "status_code"))

    def count_request(self, model: str, code: str) -> None:
        with self._lock:
            self._requests.counts[self._label(model), code] += 1

    def observe_request(self, model: str, api: str, entrypoint: str, seconds: float) -> None:
        """api: the method's name, over REST in lower case, and "" where a model is only looked at;
        of requests that were answered with OK."""
        with self._lock:
            self._latency.add((self._label(model), api, entrypoint), seconds * 1e6)

    def observe_run(self, model: str, api: str, seconds: float) -> None:
        with self._lock:
            self._runtime.add((self._label(model), api, "TF1"), seconds * 1e6)

    def count_examples(self, model: str, examples: int) -> None:
        with self._lock:
            self._examples.add((self._label(model),), examples)
            self._examples_total.counts[(self._label(model),)] += examples

    def count_load(self, path: str, seconds: float | None) -> None:
        """seconds: None where the load failed."""
        with self._lock:
            self._loads.counts[path, "fail" if seconds is None else "success"] += 1
            if seconds is not None:
                self._load_latency.counts[(path,)] += round(seconds * 1e6)

    def observe_warmup(self, path: str, seconds: float) -> None:
        with self._lock:
            self._warmup.add((path, "OK"), seconds * 1e6)

    def observe_queue(self, pool: str, seconds: float) -> None:
        with self._lock:
            self._queuing.add((pool,), seconds * 1e6)

    def observe_input(self, rows: int) -> None:
        """Of a request that is to share a batch."""
        with self._lock:
            self._asked.add((), rows)

    def observe_batch(self, rows: int, padding: int) -> None:
        """rows: with the padding."""
        with self._lock:
            self._batches.counts[()] += 1
            self._processed.add((), rows)
            self._padding.add((str(rows),), padding)

    def _label(self, model: str) -> str:
        """Whoever asks for models that are not there shall not fill the memory."""
        if self._is_model(model) or model in self._unknown:
            return model
        if len(self._unknown) >= MOST_UNKNOWN or len(model) > _LONGEST_UNKNOWN:
            return ""
        self._unknown.add(model)
        return model

    def requests(self) -> int:
        """How many were answered, errors included."""
        with self._lock:
            return sum(self._requests.counts.values())

    def page(self) -> bytes:
        """In Prometheus' text format, the metrics and their labels in order."""
        families = [f for f in vars(self).values() if isinstance(f, _Counter | _Histogram)]
        lines = []
        with self._lock:
            for family in sorted(families, key=lambda family: family.name):
                lines += [f"# TYPE {family.name} {family.kind}", *family.lines()]
        return ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")
