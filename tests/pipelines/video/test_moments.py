"""Which moments of a video are looked at, and what coverage says of them."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.config import PreprocessConfig
from pipelines.coverage import ScanSettings
from pipelines.verdict import ClipEvidence, Thresholds, Verdict, judge_tracks
from pipelines.video.moments import LONG_FRAMES_S, WHOLE_MOMENTS, Moments, first_pass, next_pass

CONFIG = PreprocessConfig()  # 16 frames, 2 apart: 1.28 s at 25 frames a second
THRESHOLDS = Thresholds(0.4, 0.6)
PASSES = 4


def moments_of(seconds, fps=25.0, config=CONFIG):
    return Moments.of(np.arange(max(1, round(seconds * fps))) / fps, config)


def scan(moments, fake=lambda time_s: False, face=lambda time_s: True, **options):
    """Looks at a video with a face that scores 0.97 where it is fake, and 0.05 elsewhere.

    Returns the moments looked at (with P(fake), None without a face) and the verdict.
    """
    settings = ScanSettings(**options)
    scores = {}
    wanted = first_pass(moments, settings, "content")
    for number in range(1, PASSES + 1):
        for moment in wanted:
            assert moment not in scores
            middle = moments.edges_s[moment : moment + 2].mean()
            scores[moment] = (0.97 if fake(middle) else 0.05) if face(middle) else None
        wanted = next_pass(moments, scores, THRESHOLDS, settings, number == PASSES - 1)
        if not wanted:
            break
    times = [moments.times_s[sampled] for sampled in moments.samples]
    clips = [
        ClipEvidence(m, 0, p, len(times[m]), 100.0, float(times[m][0]), float(times[m][-1]))
        for m, p in scores.items()
        if p is not None
    ]
    coverage = moments.coverage({m: p is not None for m, p in scores.items()})
    return scores, judge_tracks(clips, THRESHOLDS, coverage, settings), coverage


def overlap(segments, truth):
    """Intersection over union of the segments, in seconds, and (start, end)."""
    start, end = truth
    both = sum(max(0.0, min(s.end_s, end) - max(s.start_s, start)) for s in segments)
    return both / (sum(s.end_s - s.start_s for s in segments) + end - start - both)


# Videos as people show them.


@pytest.mark.parametrize(
    ("seconds", "truth"),
    [(600, (300, 330)), (600, (4.0, 34.0)), (60, (31.0, 36.0)), (600, (570, 600)), (590, (0, 590))],
)
def test_a_fake_part_is_found_wherever_it_lies(seconds, truth):
    _, video, coverage = scan(moments_of(seconds), lambda t: truth[0] <= t < truth[1])
    assert video.verdict is Verdict.FAKE
    assert overlap(video.deciding.segments, truth) >= 0.5
    assert coverage.moments <= 64 and coverage.largest_gap_s < 30


def test_a_video_that_is_real_at_two_moments_alone_is_fake():
    """What was called REAL when a quarter and three quarters of the length were looked at."""
    quarters = 590 / 4, 590 * 3 / 4
    _, video, _ = scan(moments_of(590), lambda t: all(abs(t - q) > 0.8 for q in quarters))
    assert video.verdict is Verdict.FAKE
    assert overlap(video.deciding.segments, (0, 590)) > 0.9


def test_ten_real_minutes_are_real_within_the_budget():
    scores, video, coverage = scan(moments_of(600))
    assert video.verdict is Verdict.REAL
    assert len(scores) == coverage.moments <= 64
    assert coverage.largest_gap_s < 20 and 0.1 < coverage.share < 0.2


def test_a_face_in_the_last_seconds_alone_is_too_little_for_real():
    _, video, coverage = scan(moments_of(60), face=lambda t: t > 57)
    assert video.verdict is Verdict.INCONCLUSIVE
    assert coverage.usable_share < 0.5 and "REAL needs half of them" in video.reasons[0]


def test_a_fake_face_in_the_last_seconds_alone_is_fake():
    _, video, _ = scan(moments_of(60), lambda t: True, face=lambda t: t > 57)
    assert video.verdict is Verdict.FAKE


def test_an_hour_at_one_frame_a_second_has_moments_longer_than_a_real_may_leave_out():
    _, video, coverage = scan(moments_of(3600, fps=1.0))
    assert video.verdict is Verdict.INCONCLUSIVE
    assert coverage.moments == 64 and 30 < coverage.largest_gap_s <= 64
    assert scan(moments_of(3600, fps=1.0), max_clips=0, every=1)[1].verdict is Verdict.REAL


def test_an_hour_is_too_long_for_real_by_the_default_budget():
    _, video, coverage = scan(moments_of(3600))
    assert coverage.largest_gap_s > 30 and video.verdict is Verdict.INCONCLUSIVE


def test_everything_is_looked_at_where_that_is_asked_for():
    scores, video, coverage = scan(moments_of(300), every=0.5, max_clips=0)
    assert len(scores) == len(moments_of(300))
    assert (video.verdict, coverage.share, coverage.largest_gap_s) == (Verdict.REAL, 1.0, 0.0)


@pytest.mark.parametrize("seconds", [0.04, 0.5, 5, 20])
def test_short_videos_are_looked_at_completely(seconds):
    moments = moments_of(seconds)
    assert len(moments) <= WHOLE_MOMENTS
    scores, _, coverage = scan(moments)
    assert sorted(scores) == list(range(len(moments)))
    assert (coverage.share, coverage.largest_gap_s) == (1.0, 0.0)


def test_a_video_of_one_frame_that_scores_high_has_no_next_pass():
    moments = moments_of(0.04)
    assert next_pass(moments, {0: 0.99}, THRESHOLDS, ScanSettings()) == []


def test_long_frames_that_a_moment_skips_are_a_gap():
    """Every second frame is shown for 10 s, and the clips of a stride of 2 take the others."""
    steps = np.where(np.arange(200) % 2, 10.0, 0.04)
    moments = Moments.of(np.concatenate([[0.0], np.cumsum(steps)[:-1]]), CONFIG)
    coverage = moments.coverage(dict.fromkeys(range(len(moments)), True))
    assert coverage.largest_gap_s == pytest.approx(10) and coverage.share < 0.02


def test_models_of_evenly_spread_frames_see_all_seconds_of_a_video():
    moments = moments_of(60, config=PreprocessConfig(sampling="uniform"))
    assert len(moments) == 12
    coverage = moments.coverage(dict.fromkeys(range(12), True))
    assert (coverage.share, coverage.largest_gap_s) == (1.0, 0.0)


# Any video.

configs = st.builds(
    PreprocessConfig,
    frames_per_clip=st.integers(1, 32),
    frame_stride=st.integers(1, 4),
    sampling=st.sampled_from(["consecutive", "uniform", "all"]),
)
constant_times = st.builds(
    lambda frames, fps: np.arange(frames) / fps, st.integers(1, 5000), st.floats(0.5, 120)
)
variable_times = st.lists(st.floats(0.001, 30.0), max_size=300).map(
    lambda steps: np.concatenate([[0.0], np.cumsum(steps)])
)
all_moments = st.builds(Moments.of, constant_times | variable_times, configs)
settings = st.builds(
    ScanSettings,
    every=st.floats(0.05, 20),
    max_clips=st.integers(0, 80),
    min_fake_s=st.floats(0, 10),
)


@given(all_moments, settings, st.randoms(use_true_random=False))
def test_no_moment_is_looked_at_twice_and_no_more_than_the_budget(moments, settings, random):
    scores = {}
    wanted = first_pass(moments, settings, "content")
    assert wanted
    for number in range(1, PASSES + 1):
        assert sorted(set(wanted)) == wanted and not set(wanted) & set(scores)
        assert 0 <= wanted[0] and wanted[-1] < len(moments)
        scores |= {m: random.choice([None, random.random()]) for m in wanted}
        assert len(scores) <= (settings.max_clips or len(moments))
        wanted = next_pass(moments, scores, THRESHOLDS, settings, number == PASSES - 1)
        assert wanted == next_pass(moments, scores, THRESHOLDS, settings, number == PASSES - 1)
        if not wanted:
            break


@given(all_moments, settings)
def test_no_gap_between_frames_is_larger_than_coverage_says(moments, settings):
    wanted = first_pass(moments, settings, "content")
    scores = dict.fromkeys(wanted, 0.5)
    scores |= dict.fromkeys(next_pass(moments, scores, THRESHOLDS, settings, True), 0.5)
    coverage = moments.coverage(dict.fromkeys(scores, True))
    frames = np.unique(np.concatenate([moments.samples[m] for m in scores]))
    ends = np.append(moments.times_s[1:], moments.duration_s)
    starts = np.append(moments.times_s[frames], moments.duration_s)
    not_shown = starts - np.concatenate([[0.0], ends[frames]])
    assert not_shown.max() <= coverage.largest_gap_s + LONG_FRAMES_S + 1e-6
    assert 0 <= coverage.share <= 1
    assert sum(b - a for a, b in coverage.gaps) + coverage.seconds == pytest.approx(
        moments.duration_s
    )
    assert all(a < b for a, b in coverage.gaps)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(coverage.gaps))


@given(st.floats(0.1, 60), st.floats(1, 120), configs)
def test_of_everything_nothing_is_left_out(seconds, fps, config):
    config = dataclasses.replace(config, sampling="all")
    moments = moments_of(seconds, max(fps, 2.0 * config.frame_stride), config)
    coverage = moments.coverage(dict.fromkeys(range(len(moments)), True))
    assert (coverage.share, coverage.largest_gap_s) == (1.0, 0.0)


@given(st.floats(60, 2000), settings)
def test_one_moment_lies_in_each_slice_of_the_first_pass(seconds, settings):
    moments = moments_of(seconds, fps=10.0)
    wanted = first_pass(moments, settings, "content")
    edges = moments.edges_s
    slices = min(
        int(np.ceil(moments.duration_s / settings.every)),
        int(np.ceil(0.75 * settings.max_clips)) if settings.max_clips else len(moments),
    )
    if len(wanted) == len(moments):
        return
    bounds = np.linspace(0, moments.duration_s, slices + 1)
    for low, high in itertools.pairwise(bounds):
        assert any(edges[m] < high and edges[m + 1] >= low for m in wanted)


@given(st.floats(60, 2000), st.floats(2.0, 20.0), st.integers(2, 5))
def test_finer_slices_keep_the_moments_of_coarser_ones(seconds, every, parts):
    moments = moments_of(seconds)
    # A whole number of fine slices to a coarse one: their borders coincide.
    slices = max(1, int(moments.duration_s / every))
    steps_s = [moments.duration_s / (n - 0.5) for n in (slices, parts * slices)]
    coarse, fine = (
        set(first_pass(moments, ScanSettings(every=step_s, max_clips=0), "content"))
        for step_s in steps_s
    )
    assert coarse <= fine


def test_most_moments_are_kept_whatever_the_finer_step():
    moments = moments_of(600)
    coarse = set(first_pass(moments, ScanSettings(every=4.0, max_clips=0), "content"))
    for every in (3.9, 3.0, 2.3, 1.5):
        fine = set(first_pass(moments, ScanSettings(every=every, max_clips=0), "content"))
        assert len(coarse & fine) >= 0.8 * len(coarse)


def test_another_file_is_looked_at_at_other_places():
    moments = moments_of(600)
    first, second = (first_pass(moments, ScanSettings(), content) for content in ("a", "b"))
    assert first == first_pass(moments, ScanSettings(), "a")
    assert len(set(first) & set(second)) < len(first) / 2


def test_nothing_follows_where_more_was_looked_at_than_the_budget():
    moments = moments_of(600)
    scores = dict.fromkeys(range(0, len(moments), 2), 0.1)
    assert next_pass(moments, scores, THRESHOLDS, ScanSettings(max_clips=10)) == []
