"""The evaluation report, as a page and as Markdown."""

from __future__ import annotations

import json

from pipelines.clip import ORIGINAL
from tests.fixtures.scored_videos import (
    clip,
    evaluated,
    generated_result,
    result_of_two_data_sets,
    trained_on,
    video,
)
from trainer.evaluation.evaluate import Evaluation
from trainer.evaluation.metrics import RECALL, ROC_AUC
from trainer.evaluation.result import EvaluationResult
from trainer.report.render import render, write_report


def no_crops(result: EvaluationResult) -> list[list[bytes]]:
    return [[b"" for _ in error.frames] for error in result.worst_errors]


def rendered(template: str, result: EvaluationResult) -> str:
    plots = dict.fromkeys(("roc", "precision_recall", "calibration"), b"")
    return render(template, result, plots, no_crops(result))


def test_a_score_beyond_a_threshold_that_rests_on_too_little_is_counted_and_said(tmp_path):
    """The confusion matrix goes by the score and the verdict does not: the report says so."""
    got = evaluated(tmp_path, [clip(video("a"), 0.1), clip(video("b", "Swap"), 0.9, frames=2)])
    assert got.verdicts.counts["fake"]["INCONCLUSIVE"] == 1
    assert got.video.confusion_matrix == ((1, 0), (0, 1))
    assert got.verdicts.too_little_evidence == 1
    assert "1 of them are INCONCLUSIVE for another reason" in rendered("report.md", got)


def test_an_interval_without_width_is_not_left_to_be_taken_for_certainty(tmp_path):
    narrow = evaluated(tmp_path)
    assert narrow.video.value(RECALL) == 1 and narrow.video.value(ROC_AUC) < 1
    assert "3 in n (here n is at most 20)" in rendered("report.md", narrow)
    clips = [clip(video(f"{i}", "Swap" if i % 2 else ORIGINAL), i * 7 % 10 / 10) for i in range(40)]
    assert "3 in n" not in rendered("report.md", evaluated(tmp_path, clips))


def test_a_generated_set_never_goes_by_the_name_of_a_published_one_alone(tmp_path):
    text = rendered("report.md", generated_result(tmp_path))
    assert "| ff (generated) | ff (generated) | yes |" in text
    assert "Trained on ff (generated): 9 videos" in text


def test_methods_that_the_training_left_out_are_named_where_the_figures_are(tmp_path):
    held_out = {"train": {"without_methods": "Swap"}}
    sentence = "Fakes of these methods were left out of the training: Swap."
    for config, times in ((trained_on("ff"), 0), ({**trained_on("ff"), **held_out}, 2)):
        assert rendered("report.md", evaluated(tmp_path, **config)).count(sentence) == times


def test_data_that_the_model_was_trained_on_alone_are_said_to_tell_nothing_of_others(tmp_path):
    clips = [clip(video("a"), 0.1), clip(video("b", "Swap"), 0.9)]
    sentence = "how it does on them was not measured"
    for dataset, expected in (("ff", True), ("celeb", False)):
        got = evaluated(tmp_path, clips, **trained_on(dataset))
        assert (sentence in rendered("report.md", got)) == expected


def test_several_data_sets_are_reported_and_drawn_apart(tmp_path):
    got, table = result_of_two_data_sets(tmp_path)
    write_report(tmp_path, Evaluation(got, table.scored, no_crops(got)))
    assert "celeb/Swap" in (tmp_path / "report.md").read_text()


def test_metrics_of_one_class_alone_are_null_with_a_reason(tmp_path):
    got = evaluated(tmp_path, [clip(video(str(i), "Swap"), 0.1 * i) for i in range(5)])
    assert got.video.value(ROC_AUC) is None and got.video.value(RECALL) is not None
    json.dumps(got.to_dict(), allow_nan=False)
    page = rendered("report.html", got)
    assert "there are no real ones" in page and ">nan" not in page
