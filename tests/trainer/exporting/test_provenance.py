"""Provenance of an exported model."""

from __future__ import annotations

import copy
import json

import pytest

from pipelines.model_contract import ModelProvenance
from pipelines.verdict import Thresholds
from trainer.errors import ExportError
from trainer.evaluation.metrics import calibration_bins
from trainer.evaluation.result import SCHEMA
from trainer.exporting.provenance import provenance, read_metrics

CONFIG = {"splits": {"train": {"datasets": {"faceforensics": 5, "dfdc": 2}}}}
THRESHOLDS = Thresholds(0.3, 0.7)
UNTESTED = {
    "tested_on": [],
    "test_videos": None,
    "false_alarm_rate": None,
    "reliability": None,
}
LABELS, SCORES = [0, 0, 1, 1, 1], [0.05, 0.75, 0.71, 0.72, 1.0]
METRICS = {
    "schema": SCHEMA,
    "fingerprint": "abc",
    "thresholds": {"real_below": 0.3, "fake_above": 0.7},
    "videos": 5,
    "sample_data": False,
    "video": {"false_alarm_rate": 0.5},
    "leakage": {"known": True, "videos": {"seen": 0, "of": 5}},
    "cross_dataset": [{"tested_on": ["dfd"]}, {"tested_on": ["celeb_df", "dfd"]}],
    "reliability": calibration_bins(LABELS, SCORES),
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(METRICS))
    return path


def test_the_facts_are_those_of_the_evaluation(file):
    found = provenance(CONFIG, read_metrics(file, "abc", THRESHOLDS)).to_dict()
    bins = found.pop("reliability")
    assert found == {
        "trained_on": ["dfdc", "faceforensics"],
        "sample_data": False,
        "tested_on": ["celeb_df", "dfd"],
        "test_videos": 5,
        "false_alarm_rate": 0.5,
    }
    assert len(bins) == 10 and bins[7] == {"low": 0.7, "high": 0.8, "videos": 3, "fake": 2}
    assert [found["videos"] for found in bins] == [1, 0, 0, 0, 0, 0, 0, 3, 0, 1]


def test_what_is_written_of_the_provenance_is_read_back():
    written = provenance(CONFIG, METRICS)
    assert ModelProvenance.from_dict(json.loads(json.dumps(written.to_dict()))) == written


def test_without_an_evaluation_only_the_training_is_known():
    training = {"trained_on": ["dfdc", "faceforensics"], "sample_data": False}
    assert provenance(CONFIG, None).to_dict() == {**training, **UNTESTED}
    assert provenance({"sample_data": True}, None).sample_data
    assert provenance({}, None).trained_on == ()


def test_the_generated_set_is_not_taken_for_the_one_that_it_is_laid_out_like():
    found = provenance({**CONFIG, "sample_data": True}, {**METRICS, "sample_data": True}).to_dict()
    assert found["trained_on"] == ["dfdc (generated)", "faceforensics (generated)"]
    assert found["tested_on"] == ["celeb_df (generated)", "dfd (generated)"]


def test_a_test_on_videos_of_the_training_is_no_test():
    metrics = copy.deepcopy(METRICS)
    metrics["leakage"]["videos"]["seen"] = 1
    assert provenance(CONFIG, metrics).test_videos is None


@pytest.mark.parametrize("text", ["", "[1]", "{}", "null", "\x00"])
def test_what_is_no_metrics_file_is_refused(tmp_path, text):
    path = tmp_path / "metrics.json"
    path.write_text(text)
    with pytest.raises(ExportError, match="is no metrics.json of `dfdetect evaluate`"):
        read_metrics(path, "abc", THRESHOLDS)


def test_a_missing_metrics_file_is_named(tmp_path):
    with pytest.raises(ExportError, match="none.json: is no metrics.json"):
        read_metrics(tmp_path / "none.json", "abc", THRESHOLDS)


def test_metrics_of_another_version_are_refused(file):
    file.write_text(json.dumps({**METRICS, "schema": "dfdetect-metrics/0"}))
    with pytest.raises(ExportError, match=f"holds dfdetect-metrics/0, expected {SCHEMA}"):
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
