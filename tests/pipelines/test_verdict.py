"""The verdict: one rule, and nothing hides behind 0.5."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.verdict import (
    ClipEvidence,
    Evidence,
    Thresholds,
    Verdict,
    decide,
    deciding_track,
    judge_tracks,
    track_scores,
)


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


CLIPS = st.lists(
    st.builds(
        ClipEvidence,
        clip=st.integers(0, 5),
        track=st.integers(0, 3),
        probability_fake=st.floats(0, 1),
        frames=st.integers(1, 8),
        face_px=st.none() | st.floats(1, 200),
    ),
    max_size=20,
)
THRESHOLDS = Thresholds(0.4, 0.6)


@given(CLIPS, st.randoms())
def test_the_order_of_clips_does_not_change_the_verdict(clips, random):
    mixed = list(clips)
    random.shuffle(mixed)
    assert judge_tracks(mixed, THRESHOLDS) == judge_tracks(clips, THRESHOLDS)


@given(CLIPS)
def test_each_track_has_the_mean_of_its_clips_and_the_verdict_on_its_evidence(clips):
    tracks = judge_tracks(clips, THRESHOLDS).tracks
    assert {track.track for track in tracks} == {clip.track for clip in clips}
    for track in tracks:
        own = [clip for clip in clips if clip.track == track.track]
        assert track.score == pytest.approx(sum(c.probability_fake for c in own) / len(own))
        assert track.evidence == Evidence.of([c.frames for c in own], [c.face_px for c in own])
        assert track.verdict is decide(track.score, THRESHOLDS, track.evidence)


@given(CLIPS)
def test_score_and_verdict_of_a_video_are_those_of_the_deciding_track(clips):
    video = judge_tracks(clips, THRESHOLDS)
    if not clips:
        assert (video.score, video.verdict, video.deciding) == (None, Verdict.NO_FACE, None)
        return
    scores = {track.track: track.score for track in video.tracks}
    verdicts = {track.track: track.verdict for track in video.tracks}
    assert video.deciding in video.tracks
    assert video.deciding.track == deciding_track(scores, verdicts)
    assert (video.score, video.verdict) == (video.deciding.score, video.deciding.verdict)


def test_the_sum_over_a_track_is_in_the_order_of_its_clips():
    """To the last bit: 0.1 + 0.2 + 0.3 is another number than 0.3 + 0.2 + 0.1."""
    clips = [ClipEvidence(i, 0, p, 4) for i, p in enumerate((0.1, 0.2, 0.3))]
    assert judge_tracks(reversed(clips), THRESHOLDS).score == (0.1 + 0.2 + 0.3) / 3
