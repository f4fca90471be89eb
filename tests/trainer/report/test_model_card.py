"""The model card and its front matter."""

from __future__ import annotations

from typing import Any

import yaml

from tests.fixtures.scored_videos import clip, evaluated, generated_result, video
from trainer.evaluation.metrics import ROC_AUC
from trainer.report.model_card import model_card
from trainer.report.notes import leakage_line


def front_and_body(card: str) -> tuple[dict[str, Any], str]:
    _, front, body = card.split("---\n", 2)
    assert "nan" not in front.lower() and "null" not in front
    return yaml.safe_load(front), body


def test_a_generated_set_never_goes_by_the_name_of_a_published_one_alone(tmp_path):
    got = generated_result(tmp_path)
    front, body = front_and_body(model_card(got))
    (result,) = front["model-index"][0]["results"]
    assert result["dataset"]["name"] == "ff (generated)"
    assert result["dataset"]["type"] == "ff-generated"
    assert "Trained on ff (generated)" in body


def test_a_model_card_has_front_matter_with_the_video_metrics(tmp_path):
    measured = evaluated(tmp_path)
    front, body = front_and_body(model_card(measured, "detector"))
    assert front["library_name"] == "keras"
    (result,) = front["model-index"][0]["results"]
    values = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert values["roc_auc"] == measured.video.value(ROC_AUC)
    assert leakage_line(measured.leakage) in body and "## Limits" in body


def test_a_bar_in_a_name_does_not_break_the_table_of_a_model_card(tmp_path):
    got = evaluated(tmp_path, [clip(video("a"), 0.1), clip(video("b", "Swap|2"), 0.9)])
    assert "| Swap\\|2 (too few videos) |" in model_card(got)


def test_a_model_card_without_metrics_says_so():
    assert "not evaluated" in model_card(None)
