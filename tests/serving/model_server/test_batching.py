"""Requests of several callers as one batch: TensorFlow Serving's knobs, and fairness."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from grpc import StatusCode

from serving.model_server.batching import Batcher
from serving.model_server.config_files import (
    METRICS_PATH,
    Batching,
    read_batching,
    read_metrics_path,
    read_models,
)
from serving.model_server.prometheus import Metrics
from serving.model_server.servable import Servable
from serving.model_server.status import StatusError
from tests.fixtures import serving_models

LONG_US = 600_000_000  # no test waits for it


@pytest.fixture(scope="module")
def servable(half_plus_two):
    return Servable("half_plus_two", 1, half_plus_two / serving_models.NAME / "1")


@pytest.fixture
def batcher(servable):
    """Starts batchers with settings, and ends them."""
    started = []

    def start(**settings):
        metrics = Metrics()
        started.append(Batcher(Batching(**{"num_batch_threads": 1, **settings}), metrics))
        started[-1].metrics = metrics
        return started[-1]

    yield start
    for one in started:
        one.close()


def batches(batcher):
    """Sizes of the batches that were computed: their number, and their rows altogether."""
    page = dict(line.rsplit(" ", 1) for line in batcher.metrics.page().decode().splitlines())
    prefix = ":tensorflow:serving:batching_session:"
    rows = float(page[f"{prefix}processed_batch_size_sum{{}}"])
    return int(float(page[f"{prefix}wrapped_run_count{{}}"])), int(rows)


def together(calls):
    """The results of calls that are made at the same time; an exception is a result."""

    def caught(call):
        try:
            return call()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(caught, calls))


def half(batcher, servable, *x, deadline=None):
    inputs = {"x": np.array(x, np.float32)}
    return lambda: batcher.run(servable, "serving_default", inputs, deadline)["y"].tolist()


def test_callers_at_the_same_time_share_a_batch_and_get_their_own_rows(batcher, servable):
    batcher = batcher(max_batch_size=8, batch_timeout_micros=LONG_US)
    found = together([half(batcher, servable, i, i + 1) for i in range(4)])
    assert found == [[i / 2 + 2, (i + 1) / 2 + 2] for i in range(4)]
    assert batches(batcher) == (1, 8)


def queued_together(batcher, servable, gate, calls):
    """Their results; the only thread is held up until all of them are queued."""
    with ThreadPoolExecutor(1 + len(calls)) as pool, gate:
        at_work = pool.submit(held(batcher, servable, gate))
        until(lambda: gate.begun)
        found = [pool.submit(call) for call in calls]
        until(lambda: sum(len(batch.tasks) for batch in batcher._queue) == len(calls))
        gate.open()
        at_work.result()
        return [one.result() for one in found]


def held(batcher, servable, gate):
    inputs = {"gate": np.array([str(gate.path)], object)}
    return lambda: batcher.run(servable, "held", inputs)


def test_a_batch_that_is_not_full_is_computed_after_the_timeout_and_padded(batcher, servable, gate):
    batcher = batcher(max_batch_size=8, batch_timeout_micros=1000, allowed_batch_sizes=(1, 4, 8))
    calls = [half(batcher, servable, 1), half(batcher, servable, 2, 3)]
    assert queued_together(batcher, servable, gate, calls) == [[2.5], [3.0, 3.5]]
    assert batches(batcher) == (1 + 1, 1 + 4)


def words(batcher, servable, *rows):
    inputs = {"words": np.array(rows, object)}
    return lambda: batcher.run(servable, "count", inputs)["count"].tolist()


@pytest.mark.parametrize("pad", [False, True])
def test_rows_of_other_lengths_are_batched_apart_unless_padding_is_on(batcher, servable, gate, pad):
    batcher = batcher(max_batch_size=4, batch_timeout_micros=1000, pad_variable_length_inputs=pad)
    calls = [
        words(batcher, servable, [b"a"]),
        words(batcher, servable, [b"a", b"b"]),
        words(batcher, servable, [b"a", b"b", b""]),
        words(batcher, servable, [b""]),
    ]
    assert queued_together(batcher, servable, gate, calls) == [[1], [2], [2], [0]]
    assert batches(batcher)[0] == 1 + (1 if pad else 3)


def test_an_error_in_one_request_does_not_fail_its_neighbours(batcher, servable):
    batcher = batcher(max_batch_size=3, batch_timeout_micros=LONG_US)

    def root(x):
        inputs = {"x": np.array([x], np.float32)}
        return lambda: batcher.run(servable, "root", inputs)["root"].tolist()

    good, bad, other = together([root(4), root(-1), root(9)])
    assert (good, other) == ([2.0], [3.0])
    assert "negative number" in str(bad)


def test_a_request_larger_than_a_batch_is_refused_or_split_if_asked_for(batcher, servable):
    with pytest.raises(StatusError, match="Task size 3 is larger than maximum input batch size 2"):
        half(batcher(max_batch_size=2), servable, 1, 2, 3)()
    splitting = batcher(
        max_batch_size=8,
        enable_large_batch_splitting=True,
        max_execution_batch_size=2,
        allowed_batch_sizes=(2,),
    )
    assert half(splitting, servable, 1, 2, 3, 4, 5)() == [2.5, 3.0, 3.5, 4.0, 4.5]
    assert batches(splitting) == (3, 6)


def until(condition):
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.fixture
def busy(batcher, servable, gate):
    """A batcher of one row a batch and one batch in the queue, whose only thread is at work until
    the gate is open."""
    batcher = batcher(max_batch_size=1, max_enqueued_batches=1)
    with ThreadPoolExecutor(2) as pool, gate:
        pool.submit(held(batcher, servable, gate))
        until(lambda: gate.begun)
        yield batcher, pool


def test_a_full_queue_refuses_at_once_and_what_is_queued_is_answered(busy, servable, gate):
    batcher, pool = busy
    queued = pool.submit(half(batcher, servable, 1))
    until(lambda: batcher._queue)
    with pytest.raises(StatusError, match="is full") as caught:
        half(batcher, servable, 2)()
    assert caught.value.code is StatusCode.UNAVAILABLE
    gate.open()
    assert queued.result(120) == [2.5]


def test_a_request_does_not_wait_longer_than_its_deadline_and_leaves_its_place(
    busy, servable, gate
):
    batcher, pool = busy
    with pytest.raises(StatusError, match="until its deadline") as caught:
        half(batcher, servable, 1, deadline=time.monotonic() + 0.02)()
    assert caught.value.code is StatusCode.DEADLINE_EXCEEDED
    queued = pool.submit(half(batcher, servable, 2))
    until(lambda: any(not t.outputs.cancelled() for b in batcher._queue for t in b.tasks))
    gate.open()
    assert queued.result(120) == [3.0]


def test_closing_computes_what_is_queued_and_refuses_the_rest(batcher, servable):
    batcher = batcher(max_batch_size=8, batch_timeout_micros=LONG_US)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(half(batcher, servable, 1))
        until(lambda: batcher._queue)
        batcher.close()
        assert waiting.result(120) == [2.5]
    with pytest.raises(StatusError, match="shutting down"):
        half(batcher, servable, 1)()


@pytest.mark.parametrize(
    ("signature", "inputs", "text"),
    [
        ("serving_default", {"x": np.float32(1)}, "at least one dimension"),
        ("named", {"a": np.zeros((2, 2)), "b": np.zeros(3)}, "equal 0th-dimension size"),
        ("total", {"x": np.zeros(2, np.float32)}, "Batched output tensor has 0 dimensions"),
    ],
)
def test_what_has_no_rows_cannot_be_batched(batcher, servable, signature, inputs, text):
    arrays = {name: np.asarray(value) for name, value in inputs.items()}
    with pytest.raises(StatusError, match=text):
        batcher(max_batch_size=4).run(servable, signature, arrays)


FILE = """
max_batch_size { value: 8 }
batch_timeout_micros { value: 5000 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 2 }
thread_pool_name { value: "pool" }
allowed_batch_sizes: 1
allowed_batch_sizes: 8
pad_variable_length_inputs: true
"""


def test_the_batching_file_is_read_as_tensorflow_serving_reads_it(tmp_path):
    file = tmp_path / "batching.pbtxt"
    file.write_text(FILE)
    assert read_batching(file) == Batching(8, 5000, 100, 2, "pool", (1, 8), True)
    file.write_text("")
    assert read_batching(file) == Batching()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size: 8", "not a BatchingParameters in text format"),
        ("max_size { value: 8 }", "max_size"),
        ("max_batch_size { value: 0 }", "max_batch_size is 0"),
        ("num_batch_threads { value: 0 }", "num_batch_threads is 0"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros is -1"),
        ("allowed_batch_sizes: 4 allowed_batch_sizes: 2", "in increasing order"),
        ("allowed_batch_sizes: 4 max_batch_size { value: 8 }", "must equal the largest batch, 8"),
        ("max_execution_batch_size { value: 2000 }", "max_execution_batch_size is 2000"),
    ],
)
def test_a_batching_file_that_cannot_work_is_named_with_the_reason(tmp_path, text, message):
    file = tmp_path / "batching.pbtxt"
    file.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_batching(file)
    assert str(file) in str(caught.value)


def test_the_monitoring_file_says_where_the_metrics_are(tmp_path):
    file = tmp_path / "monitoring.pbtxt"
    file.write_text('prometheus_config { enable: true, path: "/metrics" }')
    assert read_metrics_path(file) == "/metrics"
    file.write_text("prometheus_config { enable: true }")
    assert read_metrics_path(file) == METRICS_PATH
    file.write_text("")
    assert read_metrics_path(file) is None
    with pytest.raises(ValueError, match="not a ModelServerConfig"):
        file.write_text("models {}")
        read_models(file)
