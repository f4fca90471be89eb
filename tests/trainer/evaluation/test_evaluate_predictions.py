"""Predictions to the evaluation result."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from pipelines.clip import ORIGINAL, Clip, Reject, Video
from pipelines.datasets import write_manifest
from pipelines.shards import schema
from pipelines.verdict import Verdict, corrected
from tests.fixtures.scored_videos import (
    DATASET,
    THRESHOLDS,
    clip,
    evaluated,
    result_of_two_data_sets,
    scored,
    video,
)
from trainer.evaluation.evaluate_predictions import count_verdicts
from trainer.evaluation.metrics import RECALL, ROC_AUC
from trainer.evaluation.predictions import _identities, _parse, unscored_videos
from trainer.evaluation.scored import group_clips, rescore, score_videos


def test_methods_that_name_their_videos_alike_are_never_merged():
    methods = (ORIGINAL, "Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
    clips = [clip(video("000_003", m, compression=c), 0.5) for m in methods for c in ("c23", "c40")]
    assert len(group_clips(clips)) == 10
    assert len(score_videos(clips, THRESHOLDS)) == 10


def test_people_of_any_name_are_read_from_records_and_from_the_list_of_videos(tmp_path):
    names = ("a;b", "a,b", "a\x1fb", " é ", "[1]")
    faces = np.zeros((2, 4), np.float32)
    crops = Clip(
        index=0,
        track=0,
        fps=25.0,
        images=[b"", b""],
        times_s=faces[:, 0],
        boxes=faces,
        landmarks=np.zeros((2, 5, 2), np.float32),
        confidence=faces[:, 0],
        transforms=np.zeros((2, 2, 3), np.float32),
    )
    of = Video("a", "/a.mp4", 1, "set", "Swap", "", names, "b", "test")
    parsed = _parse(tf.constant(schema.serialize(of, crops, "f00d")), frames=2, side=8)
    assert _identities(parsed["identities"].numpy().decode()) == names

    (tmp_path / "manifest.csv").write_bytes(write_manifest([of]))
    reject = Reject(of.key, of.uri, "no_face", "faces", "")
    (tmp_path / "rejects.jsonl").write_text(json.dumps(reject.to_line()) + "\n")
    faceless, _ = unscored_videos(dataclasses.replace(DATASET, folder=tmp_path), "test")
    assert [missed.video for missed in faceless] == [dataclasses.replace(of, uri="")]


def test_a_video_is_scored_as_serving_scores_it():
    of = video("a", "Swap")
    clips = [clip(of, 0.2), clip(of, 0.4), clip(of, 0.5, track=1), clip(of, 0.9, track=1)]
    (got,) = score_videos(clips, THRESHOLDS)
    # The mean of the higher track; that there are two halves its odds.
    assert got.score == pytest.approx(corrected(0.7, 2, THRESHOLDS.search_cost))
    assert got.verdict == Verdict.INCONCLUSIVE
    assert (got.tracks, got.frames, got.clips) == (2, 16, (0, 1, 2, 3))
    probabilities = np.array([1.0, 0.8, 0.0, 0.0])
    expected = corrected(0.9, 2, THRESHOLDS.search_cost)
    assert rescore([got], clips, probabilities, THRESHOLDS) == [pytest.approx(expected)]


def test_a_video_whose_clips_hold_no_face_gets_no_score():
    clips = [clip(video("a"), 0.9, frames=0), clip(video("b"), 0.1)]
    first, second = score_videos(clips, THRESHOLDS)
    assert (first.score, first.verdict) == (None, Verdict.NO_FACE)
    assert second.verdict == Verdict.REAL


def test_videos_without_a_verdict_stay_in_the_denominator():
    videos = [scored(video(str(i)), score) for i, score in enumerate([0.1, 0.5, 0.9, None])]
    got = count_verdicts(videos, THRESHOLDS)
    assert got.counts["real"] == {"FAKE": 1, "REAL": 1, "INCONCLUSIVE": 1, "NO_FACE": 1}
    assert got.inconclusive_share == got.no_face_share == got.correct_share == 0.25
    assert got.correct_share_of_decided == 0.5 and got.videos == 4


def test_levels_are_measured_each_for_itself(tmp_path):
    of = video("b", "Swap")
    got = evaluated(tmp_path, [clip(video("a"), 0.1), clip(of, 0.3), clip(of, 0.9, frames=5)])
    assert [level.count for level in (got.frame, got.clip, got.video)] == [13, 3, 2]
    assert got.clip.value(RECALL) == 0.5 and got.video.value(RECALL) == 1.0  # mean 0.6
    assert got.frame.value(RECALL) == pytest.approx(5 / 9)


def test_each_data_set_has_a_row_that_says_whether_the_model_was_trained_on_it(tmp_path):
    got, _ = result_of_two_data_sets(tmp_path)
    rows = [(r.data, r.tested_on, r.seen_dataset, r.value(ROC_AUC)) for r in got.cross_dataset]
    assert rows == [("x", ("ff",), True, 0.75), ("y", ("celeb",), False, 0.75)]
    assert all(row.trained_on == ("ff",) for row in got.cross_dataset)
    assert list(got.methods) == ["celeb/Swap", "ff/Swap"]


def test_the_worst_errors_are_the_most_certain_and_only_wrong_verdicts(tmp_path):
    errors = evaluated(tmp_path).worst_errors
    assert [error.video for error in errors] and {error.truth for error in errors} == {"real"}
    assert len(errors) == 2 and all(error.verdict == "FAKE" for error in errors)
    assert errors[0].probability_fake >= errors[1].probability_fake
    assert (errors[0].start_s, errors[0].end_s) == (0.0, 1.5)
