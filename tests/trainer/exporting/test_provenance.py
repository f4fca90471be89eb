"""Provenance of an exported model."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from pipelines.clip import ORIGINAL
from pipelines.model_contract import ModelProvenance
from pipelines.verdict import Thresholds
from tests.fixtures.scored_videos import clip, evaluated, video
from trainer.errors import ExportError
from trainer.evaluation.result import SCHEMA, EvaluationResult, MemberProvenance, VerdictThresholds
from trainer.exporting.provenance import provenance, read_metrics
from trainer.leakage import Leakage, SeenCount

CONFIG = {"splits": {"train": {"datasets": {"faceforensics": 5, "dfdc": 2}}}}
THRESHOLDS = Thresholds(0.3, 0.7)
UNTESTED = {
    "tested_on": [],
    "test_videos": None,
    "false_alarm_rate": None,
    "reliability": None,
}
LABELS, SCORES = [0, 0, 1, 1, 1], [0.05, 0.75, 0.71, 0.72, 1.0]


@pytest.fixture
def result(tmp_path) -> EvaluationResult:
    """Of five videos in two data sets, none of them seen in training."""
    clips = [
        clip(video(f"{i}", "Swap" if label else ORIGINAL), score)
        for i, (label, score) in enumerate(zip(LABELS, SCORES, strict=True))
    ]
    got = evaluated(tmp_path, clips)
    (row,) = got.cross_dataset
    return dataclasses.replace(
        got,
        fingerprint="abc",
        thresholds=VerdictThresholds(0.3, 0.7),
        leakage=Leakage(True, *[SeenCount(0, 5)] * 3),
        cross_dataset=tuple(
            dataclasses.replace(row, tested_on=names) for names in (("dfd",), ("celeb_df", "dfd"))
        ),
    )


@pytest.fixture
def file(tmp_path, result) -> Path:
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(result.to_dict()))
    return path


def test_the_facts_are_those_of_the_evaluation(file):
    got = provenance(CONFIG, read_metrics(file, "abc", THRESHOLDS)).to_dict()
    bins = got.pop("reliability")
    assert got == {
        "trained_on": ["dfdc", "faceforensics"],
        "sample_data": False,
        "tested_on": ["celeb_df", "dfd"],
        "test_videos": 5,
        "false_alarm_rate": 0.5,
    }
    assert len(bins) == 10 and bins[7] == {"low": 0.7, "high": 0.8, "videos": 3, "fake": 2}
    assert [part["videos"] for part in bins] == [1, 0, 0, 0, 0, 0, 0, 3, 0, 1]


def test_what_is_written_of_the_provenance_is_read_back(result):
    written = provenance(CONFIG, result)
    assert ModelProvenance.from_dict(json.loads(json.dumps(written.to_dict()))) == written


def test_without_an_evaluation_only_the_training_is_known():
    training = {"trained_on": ["dfdc", "faceforensics"], "sample_data": False}
    assert provenance(CONFIG, None).to_dict() == {**training, **UNTESTED}
    assert provenance({"sample_data": True}, None).to_dict()["sample_data"]
    assert provenance({}, None).to_dict()["trained_on"] == []


def test_the_generated_set_is_not_taken_for_the_one_that_it_is_laid_out_like(result):
    generated = dataclasses.replace(result, sample_data=True)
    got = provenance({**CONFIG, "sample_data": True}, generated).to_dict()
    assert got["trained_on"] == ["dfdc (generated)", "faceforensics (generated)"]
    assert got["tested_on"] == ["celeb_df (generated)", "dfd (generated)"]


def test_a_test_on_videos_of_the_training_is_no_test(result):
    leakage = dataclasses.replace(result.leakage, videos=SeenCount(1, 5))
    leaked = dataclasses.replace(result, leakage=leakage)
    assert provenance(CONFIG, leaked).to_dict()["test_videos"] is None


@pytest.mark.parametrize("text", ["", "[1]", "{}", "null", "\x00"])
def test_what_is_no_metrics_file_is_refused(tmp_path, text):
    path = tmp_path / "metrics.json"
    path.write_text(text)
    with pytest.raises(ExportError, match="is no metrics.json of `dfdetect evaluate`"):
        read_metrics(path, "abc", THRESHOLDS)


def test_a_missing_metrics_file_is_named(tmp_path):
    with pytest.raises(ExportError, match="none.json: is no metrics.json"):
        read_metrics(tmp_path / "none.json", "abc", THRESHOLDS)


def test_a_metrics_file_without_a_key_is_refused_with_the_key_named(file, result):
    values = result.to_dict()
    del values["video"]["confusion_matrix"]
    file.write_text(json.dumps(values))
    with pytest.raises(ExportError, match="is no metrics.json .*: video has no 'confusion_matrix'"):
        read_metrics(file, "abc", THRESHOLDS)


def test_metrics_of_another_version_are_refused(file, result):
    file.write_text(json.dumps({**result.to_dict(), "schema": "dfdetect-metrics/0"}))
    with pytest.raises(ExportError, match=f"holds dfdetect-metrics/0, expected {SCHEMA}"):
        read_metrics(file, "abc", THRESHOLDS)


def test_metrics_of_an_ensemble_are_not_those_of_a_member(file, result):
    member = MemberProvenance("a", "a" * 64, (), {}, None, False)
    model = dataclasses.replace(result.model, name="mean-logit of a and a", members=(member,) * 2)
    file.write_text(json.dumps(dataclasses.replace(result, model=model).to_dict()))
    with pytest.raises(ExportError, match="measured of an ensemble, mean-logit of a and a. Run"):
        read_metrics(file, "abc", THRESHOLDS)


@pytest.mark.parametrize(
    ("fingerprint", "thresholds", "message"),
    [
        ("abd", THRESHOLDS, "measured with fingerprint abc, this model has abd"),
        ("abc", Thresholds(0.1, 0.7), "measured with thresholds .*0.3"),
    ],
)
def test_metrics_of_another_model_are_refused(file, fingerprint, thresholds, message):
    with pytest.raises(ExportError, match=message):
        read_metrics(file, fingerprint, thresholds)
