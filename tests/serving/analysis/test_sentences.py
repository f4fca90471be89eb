"""Sentences on a verdict: where a video is fake, and how much of it was looked at."""

import dataclasses

import pytest

from pipelines.coverage import Coverage
from serving.analysis.sentences import clock, fake_parts, looked_at

COVERAGE = Coverage(590.0, 82.6, 64, 60, 9.2, 1024, 14_750, ((3.0, 12.2),))


@pytest.mark.parametrize(
    ("seconds", "tenths", "text"),
    [
        (0, False, "0:00"),
        (252.4, False, "4:12"),
        (59.6, False, "1:00"),
        (3852, False, "1:04:12"),
        (3.04, True, "0:03.0"),
        (59.96, True, "1:00.0"),
    ],
)
def test_times_are_told_as_a_player_does(seconds, tenths, text):
    assert clock(seconds, tenths) == text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "looked at 64 moments of 9:50 (14 % of the video), largest gap 9 s"),
        ({"moments": 1}, "looked at 1 moment of 9:50 (14 % of the video), largest gap 9 s"),
        ({"largest_gap_s": 1.44}, "looked at 64 moments of 9:50 (14 % of the video), "
                                  "largest gap 1.4 s"),
        ({"gaps": ()}, "looked at all of 9:50 (64 moments)"),
        ({"gaps": (), "duration_s": 0.64, "moments": 2}, "looked at all of 0:00.6 (2 moments)"),
    ],
)  # fmt: skip
def test_how_much_was_looked_at_is_said(changes, text):
    assert looked_at(dataclasses.replace(COVERAGE, **changes)) == text


@pytest.mark.parametrize(
    ("segments", "where"),
    [
        ([(252, 281)], "between 4:12 and 4:41"),
        ([(400, 420), (252, 281)], "between 4:12 and 4:41 and between 6:40 and 7:00"),
        ([(252, 281), (270, 300)], "between 4:12 and 5:00"),  # of two faces
        ([(10, 12.5)], "between 0:10.0 and 0:12.5"),
        (
            [(10 * i, 10 * i + 6) for i in range(5)],
            "between 0:00 and 0:06, between 0:10 and 0:16, between 0:20 and 0:26 and in 2 more "
            "parts",
        ),
    ],
)
def test_the_parts_that_are_fake_are_named(segments, where):
    assert fake_parts(segments, 590) == f"Likely FAKE {where}; nothing else reached the threshold."


@pytest.mark.parametrize(
    ("segments", "duration_s"),
    [([(0.0, 590.0)], 590), ([(0, 300), (320, 580)], 590), ([(0.0, 0.56)], 0.64)],
)
def test_of_a_video_that_is_fake_as_a_whole_no_part_is_named(segments, duration_s):
    assert fake_parts(segments, duration_s) == "Likely FAKE throughout."


def test_a_video_that_is_not_fake_has_no_such_sentence():
    assert fake_parts([], 590) == ""
