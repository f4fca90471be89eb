"""The time limit: what passes through it, and what happens where it is overstepped."""

import threading
import time

import pytest

from pipelines.clip import VideoError
from pipelines.faces.extract import FaceExtractor
from pipelines.video import watchdog
from pipelines.video.watchdog import watched


def _wait_until(condition, limit_s: float = 120.0) -> None:
    end_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end_s, "it did not come about in time"
        time.sleep(0.001)


def _watching() -> int:
    """The number of threads that watch over something."""
    return sum(thread.name == "watched" for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def all_threads_end():
    """No test may leave a thread behind, whatever it does with the items."""
    before = _watching()
    yield
    _wait_until(lambda: _watching() == before)


@pytest.fixture
def hanging():
    """A function that hangs until the end of the test."""
    released = threading.Event()
    yield released.wait
    released.set()


@pytest.mark.parametrize("count", [0, 1, 2, 100])
def test_items_come_in_order(count):
    assert list(watched(iter(range(count)), 120.0)) == list(range(count))


def test_an_error_comes_after_the_items_before_it():
    def items():
        yield 1
        raise KeyError("two")

    got = watched(items(), 120.0)
    assert next(got) == 1
    with pytest.raises(KeyError, match="two"):
        next(got)


def test_none_and_exceptions_are_items_like_others():
    items = [None, ValueError("no error of the source")]
    assert list(watched(iter(items), 120.0)) == items


def test_a_source_that_hangs_gives_a_timeout_and_the_caller_goes_on(hanging):
    def items():
        yield 1
        hanging()

    got = watched(items(), 1.0)
    assert next(got) == 1
    with pytest.raises(TimeoutError, match="took longer than 1 s"):
        next(got)


class Clock:
    """In the place of `time`: as much later at each look as is set."""

    def __init__(self, step_s: float):
        self.now_s, self.step_s = 0.0, step_s

    def monotonic(self) -> float:
        self.now_s += self.step_s
        return self.now_s


def test_waiting_adds_up_over_the_items(monkeypatch):
    monkeypatch.setattr(watchdog, "time", Clock(step_s=100.0))
    seen = []
    with pytest.raises(TimeoutError):
        for item in watched(iter(range(100)), 550.0):
            seen.append(item)
    assert seen == [0, 1, 2, 3, 4]


def test_the_callers_own_time_does_not_count(monkeypatch):
    clock = Clock(step_s=0.0)
    monkeypatch.setattr(watchdog, "time", clock)
    for _ in watched(iter(range(5)), 120.0):
        clock.now_s += 1000.0


def test_one_item_is_made_ahead_and_no_more():
    made = []

    def items():
        for i in range(10):
            made.append(i)
            yield i

    got = watched(items(), 120.0)
    next(got)
    _wait_until(lambda: len(made) == 2)
    time.sleep(0.05)
    assert made == [0, 1]
    got.close()


@pytest.mark.parametrize("taken", [1, 2, 3])
def test_leaving_early_ends_the_source(taken):
    closed = threading.Event()

    def items():
        try:
            yield from range(10)
        finally:
            closed.set()

    got = watched(items(), 120.0)
    for _ in range(taken):
        next(got)
    got.close()
    assert closed.wait(120.0)


def test_leaving_while_an_item_is_being_made_ends_the_source_after_it():
    making, go_on, closed = threading.Event(), threading.Event(), threading.Event()

    def items():
        try:
            yield 0
            making.set()
            go_on.wait(120.0)
            yield 1
        finally:
            closed.set()

    got = watched(items(), 120.0)
    next(got)
    assert making.wait(120.0)
    got.close()
    assert not closed.is_set()
    go_on.set()
    assert closed.wait(120.0)


def test_leaving_at_any_moment_leaves_no_thread_behind():
    for i in range(200):
        got = watched(iter(range(1000)), 120.0)
        for _ in range(1 + i % 7):
            next(got)
        got.close()


def test_an_item_that_is_there_too_late_is_not_taken():
    for _ in range(100):
        with pytest.raises(TimeoutError, match="longer than 0 s"):
            next(watched(iter([0]), 0.0))


def test_a_video_that_takes_too_long_is_rejected_as_timeout(small_config, face_video):
    extractor = FaceExtractor(small_config, time_limit_s=1e-9)
    with pytest.raises(VideoError, match="face.mp4: decoding took longer") as caught:
        extractor.extract(str(face_video))
    assert (caught.value.reason, caught.value.stage) == ("timeout", "decode")


def test_an_extractor_serves_the_next_video_after_one_that_hung(
    small_config, face_video, monkeypatch, hanging
):
    extractor = FaceExtractor(small_config, time_limit_s=0.2)
    with monkeypatch.context() as patched:
        patched.setattr("pipelines.video.confined.probe", lambda *_: hanging())
        with pytest.raises(VideoError, match="longer than 0.2 s"):
            extractor.extract(str(face_video))
    extractor._time_limit_s = 60.0
    assert extractor.extract(str(face_video))
