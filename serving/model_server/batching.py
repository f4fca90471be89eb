"""Dynamic batching: requests of several callers, computed as one batch.

The knobs are those of TensorFlow Serving (`config_files.Batching`):
https://github.com/tensorflow/serving/blob/master/tensorflow_serving/batching/README.md

Unlike there, a batch only takes requests whose shapes agree beyond the first dimension, so that
none is refused for what its neighbours are, and where a batch fails, each of its requests is
computed alone, so that only the one at fault gets the error.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent import futures
from typing import Any

import numpy as np
from grpc import StatusCode

from serving.model_server.config_files import Batching
from serving.model_server.prometheus import Metrics
from serving.model_server.servable import Servable, Tensors
from serving.model_server.status import StatusError, invalid


@dataclasses.dataclass(frozen=True)
class _Task:
    """A request, or a part of one that is larger than a batch."""

    inputs: Mapping[str, np.ndarray]
    rows: int
    wanted: Sequence[str]  # outputs; all where none is named
    outputs: futures.Future = dataclasses.field(default_factory=futures.Future)
    since: float = dataclasses.field(default_factory=time.monotonic)


@dataclasses.dataclass(eq=False)
class _Batch:
    servable: Servable
    signature: str
    kind: Any  # only tasks of the same kind belong together: shapes, and outputs that are wanted
    due: float  # when it is computed though it is not full
    tasks: list[_Task] = dataclasses.field(default_factory=list)
    full: bool = False

    @property
    def rows(self) -> int:
        """Without those that nobody waits for any more."""
        return sum(task.rows for task in self.tasks if not task.outputs.cancelled())


class Batcher:
    """A queue of batches, and the threads that compute them."""

    def __init__(self, settings: Batching, metrics: Metrics):
        self._settings, self._metrics = settings, metrics
        self._changed = threading.Condition()
        self._queue: list[_Batch] = []  # the oldest first
        self._closing = False
        self._threads = [
            threading.Thread(target=self._work, name=f"{settings.thread_pool_name}-{i}")
            for i in range(settings.num_batch_threads)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Computes what is queued and ends the threads; nothing more is taken."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def run(
        self,
        servable: Servable,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        deadline: float | None = None,
        outputs: Sequence[str] = (),
    ) -> Tensors:
        """Waits for the named outputs, or all, of these inputs.

        At most until time.monotonic() is `deadline`. Raises StatusError: INVALID_ARGUMENT,
        UNAVAILABLE where the queue is full, DEADLINE_EXCEEDED; and what the model raises.
        """
        rows = _rows(inputs)
        if rows > self._settings.max_batch_size:
            raise invalid(
                f"Task size {rows} is larger than maximum input batch size "
                f"{self._settings.max_batch_size}"
            )
        if not rows:
            return servable.run(signature, inputs, outputs)
        self._metrics.observe_input(rows)
        wanted = sorted(outputs)
        step = self._settings.largest
        tasks = [
            _Task({k: v[i : i + step] for k, v in inputs.items()}, min(step, rows - i), wanted)
            for i in range(0, rows, step)
        ]
        try:
            self._enqueue(servable, signature, tasks)
            parts = [_wait(task.outputs, deadline) for task in tasks]
        except BaseException:
            for task in tasks:
                task.outputs.cancel()
            raise
        return parts[0] if len(parts) == 1 else _joined(parts)

    def _enqueue(self, servable: Servable, signature: str, tasks: list[_Task]) -> None:
        with self._changed:
            if self._closing:
                raise StatusError(StatusCode.UNAVAILABLE, "The server is shutting down.")
            for task in tasks:
                self._add(servable, signature, task)
            self._changed.notify(len(tasks))

    def _add(self, servable: Servable, signature: str, task: _Task) -> None:
        kind = (task.wanted, self._shapes(task.inputs))
        self._queue = [batch for batch in self._queue if batch.rows]
        queued = [b for b in self._queue if b.servable is servable and b.signature == signature]
        batch = next((b for b in queued if b.kind == kind and not b.full), None)
        if batch and batch.rows + task.rows > self._settings.largest:
            batch.full = True  # nothing smaller may overtake
            batch = None
        if batch is None:
            if len(queued) >= self._settings.max_enqueued_batches:
                raise StatusError(
                    StatusCode.UNAVAILABLE,
                    "The batch scheduling queue to which this task was submitted is full",
                )
            due = task.since + self._settings.batch_timeout_micros / 1e6
            batch = _Batch(servable, signature, kind, due)
            self._queue.append(batch)
        batch.tasks.append(task)
        batch.full = batch.rows == self._settings.largest

    def _shapes(self, inputs: Mapping[str, np.ndarray]) -> Any:
        if self._settings.pad_variable_length_inputs:
            return sorted((name, array.ndim) for name, array in inputs.items())
        return sorted((name, array.shape[1:]) for name, array in inputs.items())

    def _work(self) -> None:
        while batch := self._take():
            tasks = [t for t in batch.tasks if t.outputs.set_running_or_notify_cancel()]
            for task in tasks:
                waited = time.monotonic() - task.since
                self._metrics.observe_queue(self._settings.thread_pool_name, waited)
            if tasks:
                self._compute(batch, tasks)

    def _take(self) -> _Batch | None:
        """Waits for a batch that is full or due; None when the server closes."""
        with self._changed:
            while True:
                now = time.monotonic()
                for batch in self._queue:
                    if batch.full or batch.due <= now or self._closing:
                        self._queue.remove(batch)
                        return batch
                if self._closing:
                    return None
                due = min((batch.due for batch in self._queue), default=None)
                self._changed.wait(None if due is None else due - now)

    def _compute(self, batch: _Batch, tasks: list[_Task]) -> None:
        try:
            outputs_of_tasks = self._run(batch, tasks)
        except Exception as error:
            if len(tasks) == 1:
                tasks[0].outputs.set_exception(error)
                return
            for task in tasks:
                self._compute(batch, [task])
            return
        for task, outputs in zip(tasks, outputs_of_tasks, strict=True):
            task.outputs.set_result(outputs)

    def _run(self, batch: _Batch, tasks: list[_Task]) -> list[Tensors]:
        rows = sum(task.rows for task in tasks)
        allowed = (n for n in self._settings.allowed_batch_sizes if n >= rows)
        size = next(allowed, rows)
        merged = _merged([task.inputs for task in tasks], size - rows)
        self._metrics.observe_batch(size, size - rows)
        outputs = batch.servable.run(batch.signature, merged, tasks[0].wanted)
        return _split(outputs, [task.rows for task in tasks], size)


def _rows(inputs: Mapping[str, np.ndarray]) -> int:
    if not inputs:
        raise invalid("Batching Run() must have at least one input tensor")
    if not all(array.ndim for array in inputs.values()):
        raise invalid("Batching Run() input tensors must have at least one dimension")
    rows = {array.shape[0] for array in inputs.values()}
    if len(rows) > 1:
        raise invalid("Batching Run() input tensors must have equal 0th-dimension size")
    return rows.pop()


def _wait(outputs: futures.Future, deadline: float | None) -> Tensors:
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    try:
        return outputs.result(left)
    except futures.TimeoutError:
        raise StatusError(
            StatusCode.DEADLINE_EXCEEDED, "The request waited for a batch until its deadline."
        ) from None


def _joined(parts: list[Tensors]) -> Tensors:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _merged(inputs: list[Mapping[str, np.ndarray]], padding: int) -> Tensors:
    """Rows below each other, and the first row of the last request as often as padding is
    needed: it is known to be one that the model takes."""
    merged = {}
    for name in inputs[0]:
        arrays = [one[name] for one in inputs]
        if len({array.shape[1:] for array in arrays}) > 1:
            sizes = np.max([array.shape[1:] for array in arrays], axis=0)
            arrays = [_grown(array, sizes) for array in arrays]
        if padding:
            arrays.append(np.repeat(arrays[-1][:1], padding, axis=0))
        merged[name] = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    return merged


def _grown(array: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Padded to the inner sizes by zeros, or by empty strings."""
    widths = [(0, 0), *((0, int(n) - m) for n, m in zip(sizes, array.shape[1:], strict=True))]
    fill = b"" if array.dtype == object else array.dtype.type(0)
    return np.pad(array, widths, constant_values=fill)


def _split(outputs: Tensors, rows: list[int], size: int) -> list[Tensors]:
    for array in outputs.values():
        if not array.ndim:
            raise StatusError(
                StatusCode.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions"
            )
        if array.shape[0] != size:
            raise StatusError(
                StatusCode.FAILED_PRECONDITION,
                "Batched output tensor's 0th dimension does not equal the sum of the 0th "
                "dimension sizes of the input tensors",
            )
    ends = np.cumsum(rows)
    return [
        {name: array[end - n : end] for name, array in outputs.items()}
        for n, end in zip(rows, ends, strict=True)
    ]
