"""Frame sampling: clips of frame indices from frame times."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.video.sampling import sample_clips

COUNTS = {
    "frames": st.integers(1, 500),
    "clips": st.integers(1, 6),
    "length": st.integers(1, 20),
    "stride": st.integers(1, 5),
}


def steady(frames: int) -> np.ndarray:
    return np.arange(frames) / 25


@given(**COUNTS)
def test_clips_lie_within_the_video_and_do_not_overlap(frames, clips, length, stride):
    sampled = sample_clips(steady(frames), clips, length, stride)
    assert 1 <= len(sampled) <= clips
    joined = np.concatenate(sampled)
    assert joined.min() >= 0 and joined.max() < frames
    assert (np.diff(joined) > 0).all()
    assert all((np.diff(clip) == stride).all() for clip in sampled)
    span = (length - 1) * stride + 1
    assert len(sampled) == max(1, min(clips, frames // span))
    if frames >= span:
        assert all(len(clip) == length for clip in sampled)
    else:
        assert len(sampled[0]) == len(range(0, frames, stride))


@given(**COUNTS)
def test_each_clip_lies_in_the_middle_of_its_slice(frames, clips, length, stride):
    sampled = sample_clips(steady(frames), clips, length, stride)
    if len(sampled[0]) == length:
        for i, clip in enumerate(sampled):
            middle = (i + 0.5) * frames / len(sampled)
            assert abs((clip[0] + clip[-1] + 1) / 2 - middle) <= 1


@given(**COUNTS)
def test_all_visits_every_stride_th_frame_once(frames, clips, length, stride):
    sampled = sample_clips(steady(frames), clips, length, stride, "all")
    np.testing.assert_array_equal(np.concatenate(sampled), np.arange(0, frames, stride))
    assert all(len(clip) == length for clip in sampled[:-1])
    assert 1 <= len(sampled[-1]) <= length


@given(**COUNTS)
def test_uniform_clips_are_spread_evenly_over_a_steady_video(frames, clips, length, stride):
    sampled = sample_clips(steady(frames), clips, length, stride, "uniform")
    joined = np.concatenate(sampled)
    assert (np.diff(joined) > 0).all()
    assert len(sampled) == max(1, min(clips, frames // length))
    if frames >= length:
        assert all(len(clip) == length for clip in sampled)
        step = frames / len(joined)
        assert np.abs(joined + 0.5 - (np.arange(len(joined)) + 0.5) * step).max() <= 0.5 + 1e-6
    else:
        np.testing.assert_array_equal(joined, np.arange(frames))


@given(
    st.lists(st.floats(1e-3, 10.0), min_size=1, max_size=200),
    COUNTS["clips"],
    COUNTS["length"],
)
def test_uniform_clips_follow_time_where_the_rate_varies(gaps, clips, length):
    times_s = np.cumsum(gaps) - gaps[0]
    sampled = sample_clips(times_s, clips, length, 1, "uniform")
    joined = np.concatenate(sampled)
    assert joined.min() >= 0 and joined.max() < len(times_s)
    assert (np.diff(joined) >= 0).all()
    for clip in sampled:
        assert 1 <= len(clip) <= length and (np.diff(clip) > 0).all()
    # Each moment between two samples is less than a slice away from one of them.
    step = (times_s[-1] - times_s[0]) / len(times_s) + times_s[-1] / (len(sampled) * length)
    shown = [times_s[0], *times_s[joined], times_s[-1]]
    gap = max(gaps)
    assert np.diff(shown).max() <= 2 * step + gap


def test_uniform_sampling_spends_as_many_frames_on_a_slow_half_as_on_a_fast_one():
    times_s = np.concatenate([np.arange(100) / 100, 1 + np.arange(900) / 900])
    (clip,) = sample_clips(times_s, 1, 10, 1, "uniform")
    assert (times_s[clip] < 1).sum() == 5


@pytest.mark.parametrize("sampling", ["consecutive", "uniform", "all"])
def test_a_video_of_one_frame_gives_one_clip_of_it(sampling):
    sampled = sample_clips(np.zeros(1), 4, 16, 2, sampling)
    assert [clip.tolist() for clip in sampled] == [[0]]


@pytest.mark.parametrize("frames, clips, length, stride", [(10, 0, 4, 1), (0, 1, 4, 1)])
def test_sampling_refuses_a_count_below_one(frames, clips, length, stride):
    with pytest.raises(ValueError, match="each must be at least 1"):
        sample_clips(steady(frames), clips, length, stride)


def test_sampling_refuses_a_way_it_does_not_know():
    with pytest.raises(ValueError, match="'random'; use consecutive, uniform or all"):
        sample_clips(steady(10), 1, 4, 1, "random")
