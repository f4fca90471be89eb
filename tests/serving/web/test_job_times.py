"""How long who finds the queue full is told to wait."""

import pytest

from serving.web.job_times import FIRST_S, JobTimes


def after(*took_s):
    times = JobTimes()
    for seconds in took_s:
        times.add(seconds, done=True)
    return times


def test_the_wait_grows_with_the_queue_and_shrinks_with_the_workers():
    times = after(FIRST_S)
    assert [times.wait_s(videos, [], 1) for videos in (1, 9, 18)] == [10, 90, 180]
    assert times.wait_s(9, [], 3) == 30


def test_files_that_are_refused_at_once_do_not_shorten_the_wait():
    times = after(FIRST_S)
    for _ in range(1000):
        times.add(0.05, done=False)
    assert times.wait_s(9, [], 1) == 90


def test_what_the_videos_at_work_take_already_lengthens_the_wait():
    times = after(*[1.0] * 50)
    assert times.wait_s(4, [30.0, 50.0], 2) == 80
    assert times.wait_s(4, [0.1, 0.1], 2) <= 3


@pytest.mark.parametrize("took_s", [0.0, 0.001])
def test_nobody_is_told_to_come_back_at_once(took_s):
    assert after(*[took_s] * 100).wait_s(1, [], 64) == 1
