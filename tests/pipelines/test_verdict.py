"""The verdict: one rule, and nothing hides behind 0.5."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.verdict import Evidence, Thresholds, Verdict, decide, deciding_track, track_scores


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


def test_clips_average_within_a_track():
    assert track_scores([0, 0, 1], [0.1, 0.3, 0.9]) == pytest.approx({0: 0.2, 1: 0.9})


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1)), min_size=1, max_size=20))
def test_a_track_scores_between_its_clips_lowest_and_highest(clips):
    ids, scores = zip(*clips, strict=True)
    for track, score in track_scores(ids, scores).items():
        own = [s for i, s in clips if i == track]
        assert min(own) - 1e-9 <= score <= max(own) + 1e-9


TRACKS = st.lists(st.tuples(st.floats(0, 1), st.integers(1, 20), st.floats(1, 200)), min_size=1)


@given(TRACKS)
def test_a_video_is_fake_if_any_face_is_and_else_what_its_highest_face_is(tracks):
    thresholds = Thresholds(0.4, 0.6)
    scores = {i: score for i, (score, _, _) in enumerate(tracks)}
    verdicts = {
        i: decide(score, thresholds, Evidence(frames, px))
        for i, (score, frames, px) in enumerate(tracks)
    }
    decides = deciding_track(scores, verdicts)
    if Verdict.FAKE in verdicts.values():
        assert verdicts[decides] is Verdict.FAKE
    else:
        assert scores[decides] == max(scores.values())
    assert not any(
        scores[i] > scores[decides] and verdicts[i] is verdicts[decides] for i in verdicts
    )


def test_of_faces_that_score_the_same_the_first_decides():
    assert deciding_track({2: 0.5, 1: 0.5}, dict.fromkeys((1, 2), Verdict.INCONCLUSIVE)) == 1


@pytest.mark.parametrize("pair", [(0.6, 0.4), (-0.1, 0.5), (0.5, 1.1), (0.5, 0.5)])
def test_thresholds_out_of_order_are_refused(pair):
    with pytest.raises(ValueError, match="0 <= real_below < fake_above <= 1"):
        Thresholds(*pair)
