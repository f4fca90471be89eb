"""The verdict: one rule, and nothing hides behind 0.5."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.verdict import Thresholds, Verdict, decide, track_scores, video_score


@pytest.mark.parametrize(
    ("score", "verdict"),
    [
        (None, Verdict.NO_FACE),
        (0.0, Verdict.REAL),
        (0.4, Verdict.REAL),
        (0.5, Verdict.INCONCLUSIVE),
        (0.6, Verdict.FAKE),
        (1.0, Verdict.FAKE),
    ],
)
def test_the_score_decides_by_the_two_thresholds(score, verdict):
    assert decide(score, Thresholds(0.4, 0.6)) is verdict


def test_clips_average_within_a_track_and_the_highest_track_decides():
    assert track_scores([0, 0, 1], [0.1, 0.3, 0.9]) == pytest.approx({0: 0.2, 1: 0.9})
    assert video_score([0, 0, 1], [0.1, 0.3, 0.9]) == pytest.approx(0.9)


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1)), min_size=1, max_size=20))
def test_a_video_score_lies_between_its_clips_lowest_and_highest(clips):
    ids, scores = zip(*clips, strict=True)
    assert min(scores) - 1e-9 <= video_score(ids, scores) <= max(scores) + 1e-9


def test_a_video_without_clips_has_no_score():
    with pytest.raises(ValueError, match="no score"):
        video_score([], [])


@pytest.mark.parametrize("pair", [(0.6, 0.4), (-0.1, 0.5), (0.5, 1.1), (0.5, 0.5)])
def test_thresholds_out_of_order_are_refused(pair):
    with pytest.raises(ValueError, match="0 <= real_below < fake_above <= 1"):
        Thresholds(*pair)
