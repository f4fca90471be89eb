"""The verdict: one rule, and nothing hides behind 0.5."""

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.coverage import Coverage, ScanSettings
from pipelines.verdict import (
    ClipEvidence,
    Evidence,
    Segment,
    Thresholds,
    Verdict,
    corrected,
    decide,
    judge_tracks,
)

THRESHOLDS = Thresholds(0.4, 0.6)
PROBABILITIES = st.floats(0, 1)
COSTS = st.floats(0, 2)
CLIP_S = 1.28  # 16 frames, 2 apart, at 25 frames a second


def clips_of(*scores, track=0, first=0, frames=16, face_px=None):
    """A face's clips, one after the other."""
    return [
        ClipEvidence(i, track, p, frames, face_px, i * CLIP_S, (i + 1) * CLIP_S)
        for i, p in enumerate(scores, first)
    ]


@st.composite
def videos(draw, most=30):
    """Clips of up to four faces, each seen in some of the moments, at most once in each."""
    places = draw(
        st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), max_size=most, unique=True)
    )
    clips = []
    for moment, track in places:
        length_s = draw(st.floats(0, CLIP_S))
        clips.append(
            ClipEvidence(
                clip=moment,
                track=track,
                probability_fake=draw(PROBABILITIES),
                frames=draw(st.integers(1, 16)),
                face_px=draw(st.none() | st.floats(20, 200)),
                start_s=moment * CLIP_S,
                end_s=moment * CLIP_S + length_s,
            )
        )
    return clips


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
    assert decide(score, THRESHOLDS) is verdict


@pytest.mark.parametrize("pair", [(0.6, 0.4), (-0.1, 0.5), (0.5, 1.1), (0.5, 0.5)])
def test_thresholds_out_of_order_are_refused(pair):
    with pytest.raises(ValueError, match="0 <= real_below < fake_above <= 1"):
        Thresholds(*pair)


@pytest.mark.parametrize("cost", [-0.1, 11.0, float("nan")])
def test_a_search_cost_that_cannot_be_is_refused(cost):
    with pytest.raises(ValueError, match="search_cost=.*expected from 0 to 10"):
        Thresholds(search_cost=cost)


# What a search costs.


def test_at_cost_one_the_odds_are_divided_by_the_places():
    """Odds of 9 to 1, one of three places: 3 to 1."""
    assert corrected(0.9, 3, 1.0) == pytest.approx(0.75)
    assert corrected(0.9, 9, 0.5) == pytest.approx(0.75)


@given(PROBABILITIES, PROBABILITIES, st.floats(1, 1e5), st.floats(1, 1e5), COSTS, COSTS)
def test_a_corrected_score_rises_with_the_mean_and_falls_with_places_and_cost(p, q, n, m, c, d):
    (p, q), (n, m), (c, d) = sorted((p, q)), sorted((n, m)), sorted((c, d))
    assert 0 <= corrected(p, m, d) <= corrected(q, n, c) + 1e-9 <= q + 2e-9


@given(PROBABILITIES, COSTS)
def test_of_a_single_place_nothing_is_taken(mean, cost):
    assert corrected(mean, 1, cost) == mean


# One face.


@given(st.lists(PROBABILITIES, min_size=1, max_size=2), COSTS)
def test_one_face_in_a_video_of_two_clips_scores_exactly_their_mean(scores, cost):
    video = judge_tracks(clips_of(*scores), Thresholds(0.4, 0.6, search_cost=cost))
    assert video.score == sum(scores) / len(scores)


def test_the_mean_is_in_the_order_of_the_clips_to_the_last_bit():
    scores = 0.1, 0.2, 0.3
    settings = ScanSettings(min_fake_s=100)
    (score,) = {
        judge_tracks(order, THRESHOLDS, settings=settings).score
        for order in itertools.permutations(clips_of(*scores))
    }
    assert score == pytest.approx(0.2)


def test_a_run_scores_above_the_whole_where_only_a_part_is_fake():
    scores = [0.1] * 10 + [0.98] * 4 + [0.1] * 6
    video = judge_tracks(clips_of(*scores), THRESHOLDS)
    assert video.score == pytest.approx(corrected(0.98, 20 / 4, 1.0))
    assert video.verdict is Verdict.FAKE
    (segment,) = video.deciding.segments
    assert segment == Segment(
        pytest.approx(10 * CLIP_S), pytest.approx(14 * CLIP_S), pytest.approx(video.score), 4
    )


def test_one_high_clip_among_low_ones_is_no_fake():
    """A run looks at 3 seconds: at least three clips."""
    video = judge_tracks(clips_of(*[0.1] * 10, 1.0, *[0.1] * 10), THRESHOLDS)
    assert video.score < 0.5 and not video.deciding.segments


def test_a_face_that_is_seen_in_one_clip_alone_can_be_fake():
    clips = clips_of(*[0.1] * 10) + clips_of(0.999, track=1, first=3)
    video = judge_tracks(clips, THRESHOLDS)
    assert (video.verdict, video.deciding.track) == (Verdict.FAKE, 1)
    assert [(s.start_s, s.clips) for s in video.deciding.segments] == [(3 * CLIP_S, 1)]


def test_the_ends_of_a_run_that_are_not_fake_are_no_part_of_its_segment():
    video = judge_tracks(clips_of(*[0.0] * 3, 1.0, 1.0, *[0.0] * 3), Thresholds(0.1, 0.3))
    assert [(s.start_s, s.clips) for s in video.deciding.segments] == [(3 * CLIP_S, 2)]


def test_two_fake_parts_are_two_segments():
    scores = [0.0] * 5 + [1.0] * 4 + [0.0] * 20 + [1.0] * 3 + [0.0] * 5
    segments = judge_tracks(clips_of(*scores), THRESHOLDS).deciding.segments
    assert [(s.start_s / CLIP_S, s.clips) for s in segments] == [
        (pytest.approx(5), 4),
        (pytest.approx(29), 3),
    ]


def test_what_was_not_looked_at_within_a_segment_is_part_of_it():
    clips = [
        dataclasses.replace(c, clip=10 * c.clip, start_s=c.start_s * 10, end_s=c.start_s * 10 + 1.2)
        for c in clips_of(0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0)
    ]
    (segment,) = judge_tracks(clips, THRESHOLDS).deciding.segments
    assert segment.end_s - segment.start_s == pytest.approx(2 * 10 * CLIP_S + 1.2)


def test_a_part_that_chance_may_explain_is_neither_fake_nor_real():
    video = judge_tracks(clips_of(*[0.05] * 30, 0.8, 0.8, 0.8, *[0.05] * 30), THRESHOLDS)
    assert video.score <= THRESHOLDS.real_below and video.verdict is Verdict.INCONCLUSIVE
    assert "A part scores 80% and would be FAKE as a video of its own" in video.reasons[0]


# Any clips.


@given(videos(), st.randoms(), COSTS)
def test_the_order_of_clips_does_not_change_the_verdict(clips, random, cost):
    thresholds = Thresholds(0.4, 0.6, search_cost=cost)
    mixed = list(clips)
    random.shuffle(mixed)
    assert judge_tracks(mixed, thresholds) == judge_tracks(clips, thresholds)


@given(videos(), st.data(), COSTS)
def test_the_score_rises_with_every_clips_probability(clips, data, cost):
    thresholds = Thresholds(0.4, 0.6, search_cost=cost)
    higher = [
        dataclasses.replace(c, probability_fake=data.draw(st.floats(c.probability_fake, 1)))
        for c in clips
    ]
    for low, high in zip(
        judge_tracks(clips, thresholds).tracks, judge_tracks(higher, thresholds).tracks, strict=True
    ):
        assert (low.track, low.score) <= (high.track, high.score + 1e-9)


@given(videos(), COSTS, COSTS)
def test_the_score_rises_when_a_search_costs_less(clips, cost, other):
    cheap, dear = (
        judge_tracks(clips, Thresholds(0.4, 0.6, search_cost=c)).tracks
        for c in sorted((cost, other))
    )
    assert all(a.score >= b.score - 1e-9 for a, b in zip(cheap, dear, strict=True))


@given(videos(), COSTS)
def test_a_face_is_fake_if_and_only_if_it_has_a_segment(clips, cost):
    for track in judge_tracks(clips, Thresholds(0.4, 0.6, search_cost=cost)).tracks:
        assert (track.verdict is Verdict.FAKE) == bool(track.segments)
        own = [clip for clip in clips if clip.track == track.track]
        assert track.evidence == Evidence.of([c.frames for c in own], [c.face_px for c in own])
        assert track.verdict is decide(track.score, THRESHOLDS, track.evidence)


@given(videos(), COSTS)
def test_segments_lie_apart_and_in_order_within_the_clips_of_their_face(clips, cost):
    for track in judge_tracks(clips, Thresholds(0.1, 0.4, search_cost=cost)).tracks:
        own = sorted((c for c in clips if c.track == track.track), key=lambda c: c.clip)
        starts, ends = [c.start_s for c in own], [c.end_s for c in own]
        places = [(starts.index(s.start_s), ends.index(s.end_s)) for s in track.segments]
        assert [last - first + 1 for first, last in places] == [s.clips for s in track.segments]
        assert all(a[1] < b[0] for a, b in itertools.pairwise(places))
        assert all(0.4 - 1e-9 <= s.score <= track.score + 1e-9 for s in track.segments)


@given(videos())
def test_a_video_is_fake_if_any_face_is_and_else_what_its_highest_face_is(clips):
    video = judge_tracks(clips, THRESHOLDS)
    if not clips:
        assert (video.score, video.verdict, video.deciding) == (None, Verdict.NO_FACE, None)
        return
    assert {track.track for track in video.tracks} == {clip.track for clip in clips}
    assert video.score == video.deciding.score
    assert video.verdict in {video.deciding.verdict, Verdict.INCONCLUSIVE}
    assert (video.verdict is video.deciding.verdict) or (
        video.deciding.verdict is Verdict.REAL and video.reasons
    )
    fakes = [track for track in video.tracks if track.verdict is Verdict.FAKE]
    assert video.deciding.score == max(track.score for track in fakes or video.tracks)
    assert not fakes or video.deciding in fakes


def test_of_faces_that_score_the_same_the_first_decides():
    clips = clips_of(0.5, track=2) + clips_of(0.5, track=1)
    assert judge_tracks(clips, THRESHOLDS).deciding.track == 1


def test_a_long_track_finds_its_fake_part_though_not_every_length_is_tried():
    scores = [0.1] * 3000 + [0.97] * 500 + [0.1] * 4000
    (segment,) = judge_tracks(clips_of(*scores), THRESHOLDS).deciding.segments
    assert (segment.start_s, segment.clips) == (pytest.approx(3000 * CLIP_S), 500)


# What was looked at.


def coverage(largest_gap_s=9.0, moments=64, moments_with_face=64):
    return Coverage(590.0, 80.0, moments, moments_with_face, largest_gap_s, 1024, 14750)


@pytest.mark.parametrize(
    ("looked_at", "reason"),
    [
        (coverage(largest_gap_s=31.0), "31 s in a row were not looked at; REAL allows 30 s"),
        (coverage(moments_with_face=31), "found in 31 of 64 moments; REAL needs half of them"),
    ],
)
def test_real_needs_coverage_and_fake_does_not(looked_at, reason):
    real, fake = clips_of(*[0.1] * 8), clips_of(*[0.9] * 8)
    assert judge_tracks(real, THRESHOLDS, coverage()).verdict is Verdict.REAL
    video = judge_tracks(real, THRESHOLDS, looked_at)
    assert video.verdict is Verdict.INCONCLUSIVE and reason in video.reasons[0]
    video = judge_tracks(fake, THRESHOLDS, looked_at)
    assert (video.verdict, video.reasons) == (Verdict.FAKE, ())


def test_which_gap_a_real_allows_is_a_setting():
    settings = ScanSettings(max_gap_s=5)
    assert judge_tracks(clips_of(0.1), THRESHOLDS, coverage(9.0), settings).reasons


def test_half_of_the_moments_with_a_face_are_enough():
    looked_at = coverage(moments_with_face=32)
    assert judge_tracks(clips_of(*[0.1] * 32), THRESHOLDS, looked_at).verdict is Verdict.REAL


def test_too_little_evidence_is_a_reason():
    video = judge_tracks(clips_of(0.9, frames=2, face_px=20.0), THRESHOLDS)
    assert video.verdict is Verdict.INCONCLUSIVE
    assert [reason.split(";")[0] for reason in video.reasons] == [
        "Only 2 frames with a usable face",
        "The face is 20 px wide",
    ]


def test_a_coverage_is_read_as_it_was_written():
    looked_at = dataclasses.replace(coverage(), gaps=((1.28, 10.28),))
    assert Coverage.from_dict(looked_at.to_dict()) == looked_at
