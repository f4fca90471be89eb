"""What serving would look at, replayed from the scores of all moments of a video."""

import dataclasses

import numpy as np
import pytest

from pipelines.config import PreprocessConfig
from pipelines.coverage import ScanSettings
from pipelines.shards.open import ClipDataset
from pipelines.verdict import Thresholds, Verdict
from tests.fixtures.scored_videos import DATASET, THRESHOLDS, predictions, video
from trainer.evaluation.as_served import Recording, look, only_looked_at, require_all_moments
from trainer.evaluation.scored import ScoredClip

CONFIG = PreprocessConfig(sampling="all")  # 16 frames, 2 apart: 1.28 s at 25 frames a second
MOMENT_S, STEP_S = 1.28, 0.08
SETTINGS = ScanSettings()


def clips_of(of, scores, shift_s=0.0):
    """A clip for each score; None: no face, so no record."""
    return [
        ScoredClip(
            of,
            0,
            moment,
            0,
            moment,
            score,
            moment * MOMENT_S + np.arange(16) * STEP_S + shift_s,
            np.full(16, score),
            100.0,
            start_s=moment * MOMENT_S + shift_s,
        )
        for moment, score in enumerate(scores)
        if score is not None
    ]


def served(clips, settings=SETTINGS):
    dataset = dataclasses.replace(DATASET, config=CONFIG)
    everything = dataclasses.replace(predictions(clips), datasets=(dataset,))
    return only_looked_at(everything, THRESHOLDS, settings)


def test_the_moments_of_a_recording_are_those_of_the_video():
    moments = Recording.of(clips_of(video("a"), [0.1] * 20), CONFIG).moments
    assert len(moments) == 20 and {len(sampled) for sampled in moments.samples} == {16}
    assert len(moments.times_s) == 20 * 32
    assert moments.edges_s == pytest.approx(np.arange(21) * MOMENT_S)


def test_a_moment_without_a_record_is_there_and_shows_no_face():
    scores = [None, None, 0.1, None, 0.1]
    recording = Recording.of(clips_of(video("a"), scores), CONFIG)
    assert recording.moments.edges_s == pytest.approx(np.arange(6) * MOMENT_S)
    assert [recording.highest(moment) for moment in range(5)] == scores
    coverage = recording.coverage(range(5))
    assert (coverage.moments, coverage.moments_with_face, coverage.share) == (5, 2, 1.0)


def test_a_recording_of_one_moment_lasts_as_long_as_its_frames():
    moments = Recording.of(clips_of(video("a"), [0.1]), CONFIG).moments
    assert moments.duration_s == pytest.approx(MOMENT_S)


def test_a_short_video_is_kept_whole():
    clips = clips_of(video("a"), [0.1] * 10)
    got = served(clips)
    assert got.clips == clips and got.settings == SETTINGS
    assert got.scored[0].coverage.share == 1.0


def test_of_a_long_video_only_what_serving_looks_at_is_kept():
    got = served(clips_of(video("a"), [0.1] * 300) + clips_of(video("b"), [0.2] * 8))
    long, short = got.scored
    assert len(long.clips) == long.coverage.moments <= 64 and len(short.clips) == 8
    assert [got.clips[number].video.id for number in short.clips] == ["b"] * 8
    assert long.coverage.largest_gap_s < 20
    assert got.under_conditions.shape == (0, len(got.clips))


def test_the_verdict_is_that_of_the_moments_looked_at():
    scores = [0.1] * 300
    scores[150:175] = [0.97] * 25
    (got,) = served(clips_of(video("a", "Swap"), scores)).scored
    assert got.verdict is Verdict.FAKE
    assert got.segments[0].start_s == pytest.approx(150 * MOMENT_S, abs=4 * MOMENT_S)
    (got,) = served(clips_of(video("a", "Swap"), scores), ScanSettings(max_clips=4)).scored
    assert got.coverage.moments == 4 and got.coverage.largest_gap_s > 30
    assert got.verdict is not Verdict.REAL


def test_where_a_video_is_looked_at_follows_from_its_name():
    recording = Recording.of(clips_of(video("a"), [0.1] * 300), CONFIG)
    first, again, other = (look(recording, Thresholds(), SETTINGS, name) for name in "aab")
    assert first == again != other


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "holds 2 moments of each video, .*--sampling all, --splits val,test"),
        ({"sampling": "uniform"}, "for models of consecutive frames only"),
    ],
)
def test_shards_that_lack_moments_are_refused(tmp_path, config, message):
    dataset = ClipDataset(tmp_path, {}, PreprocessConfig(**config))
    with pytest.raises(ValueError, match=message):
        require_all_moments(dataset)
