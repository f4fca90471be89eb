"""The typed evaluation result, and what a new metric takes."""

from __future__ import annotations

import json

import jsonschema
import numpy as np
import pytest

from pipelines.clip import FAKE, ORIGINAL, REAL, Video
from pipelines.dataclass_json import json_schema
from tests.fixtures.scored_videos import (
    BOOTSTRAP,
    clip,
    detector,
    evaluated,
    forty_clips,
    generated_result,
    predictions,
    result_of_two_data_sets,
)
from trainer.evaluation import compare
from trainer.evaluation.documents import metrics_table
from trainer.evaluation.metrics import METRICS, Metric
from trainer.evaluation.result import EvaluationResult, SchemaError
from trainer.report.model_card import model_card
from trainer.report.render import render
from trainer.report.terminal import print_result

SPREAD = Metric(
    "spread",
    "spread of scores (SD)",
    "The scores' standard deviation.",
    compute=lambda table: np.std(table.scores),
    resample=lambda table: np.sqrt(table.mean(table.scores**2) - table.mean(table.scores) ** 2),
    needs=(),
    in_slices=True,
    headline=True,
    printed=True,
    slice_column=True,
    dataset_column=True,
    hub_type="spread",
)


@pytest.fixture
def with_spread(monkeypatch) -> Metric:
    """A metric that only the table of metrics knows."""
    monkeypatch.setitem(METRICS, SPREAD.name, SPREAD)
    return SPREAD


def test_a_metric_of_the_table_is_in_every_level_and_slice_of_metrics_json(with_spread, tmp_path):
    values = evaluated(tmp_path).to_dict()
    parts = [values[level] for level in ("frame", "clip", "video")]
    parts += [*values["slices"]["method"], *values["cross_dataset"]]
    for part in parts:
        low, high = part["intervals"]["spread"]
        assert low <= part["spread"] <= high
    jsonschema.validate(values, json_schema(EvaluationResult))


def test_a_metric_of_the_table_is_on_every_page(with_spread, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")  # so that the terminal's table is not wrapped
    result = evaluated(tmp_path)
    plots = dict.fromkeys(("roc", "precision_recall", "calibration"), b"")
    crops = [[b"" for _ in error.frames] for error in result.worst_errors]
    text = render("report.md", result, plots, crops)
    lines = [line for line in text.splitlines() if line.startswith("| spread of scores (SD) |")]
    assert len(lines) == 2  # a headline and a row of the levels
    assert text.count("| spread of scores |") == 2  # columns of slices and of data sets
    card = model_card(result)
    assert "| spread of scores (SD) |" in card and "type: spread" in card
    print_result(result)
    assert "spread of scores (SD)" in capsys.readouterr().out
    assert "| `spread` | spread of scores (SD) |" in metrics_table(METRICS.values())


def test_a_metric_of_the_table_is_compared(with_spread, tmp_path):
    tables = [
        predictions([clip(of, score) for of, score in zip(_videos(), scores, strict=True)])
        for scores in (np.linspace(0.4, 0.6, 20), np.linspace(0.1, 0.9, 20))
    ]
    got = compare.difference([detector(tmp_path)] * 2, tables, BOOTSTRAP)
    row = got.metrics["spread"]
    assert row.beyond_chance and row.difference == pytest.approx(row.b - row.a) and row.b > row.a


def _videos() -> list[Video]:
    return [
        Video(f"{i}", "", FAKE if i % 2 else REAL, "ff", "Swap" if i % 2 else ORIGINAL)
        for i in range(20)
    ]


def results(folder) -> list[EvaluationResult]:
    """With one class alone, several data sets, wrong verdicts and a generated set."""
    one_class = [c for c in forty_clips() if c.video.label == FAKE]
    return [
        evaluated(folder),
        evaluated(folder, one_class),
        evaluated(folder, forty_clips()[:1]),
        result_of_two_data_sets(folder)[0],
        generated_result(folder),
    ]


def test_a_result_is_read_as_it_was_written_and_follows_its_json_schema(tmp_path):
    schema = json_schema(EvaluationResult)
    jsonschema.Draft202012Validator.check_schema(schema)
    for result in results(tmp_path):
        values = json.loads(json.dumps(result.to_dict(), allow_nan=False))
        assert EvaluationResult.from_dict(values) == result
        jsonschema.validate(values, schema)


def test_a_metric_that_an_earlier_version_did_not_have_is_not_defined(with_spread, tmp_path):
    values = evaluated(tmp_path).to_dict()
    del values["video"]["spread"]
    assert EvaluationResult.from_dict(values).video.value(SPREAD) is None


def test_what_a_later_version_adds_is_passed_over(tmp_path):
    result = evaluated(tmp_path)
    assert EvaluationResult.from_dict({**result.to_dict(), "more": 1}) == result


@pytest.mark.parametrize(
    "change, message",
    [
        ({"videos": "5"}, "videos is '5'; expected integer"),
        ({"videos": True}, "videos is 'True'; expected integer"),
        ({"thresholds": {"real_below": 0.1}}, "thresholds has no 'fake_above'"),
        ({"worst_errors": {}}, "worst_errors is '{}'; expected an array"),
        ({"leakage": None}, "leakage is 'None'; expected an object"),
        ({"unusable": {"unreadable": 0.5}}, "unusable.unreadable is '0.5'; expected integer"),
        ({"robustness": {"clean": 1}}, "robustness.clean is '1'; expected an object"),
    ],
)
def test_a_value_of_another_type_is_refused_with_its_path(change, message, tmp_path):
    values = {**evaluated(tmp_path).to_dict(), **change}
    with pytest.raises(ValueError, match=message):
        EvaluationResult.from_dict(values)


def test_another_schema_is_refused(tmp_path):
    values = {**evaluated(tmp_path).to_dict(), "schema": "dfdetect-metrics/2"}
    with pytest.raises(SchemaError, match="holds dfdetect-metrics/2, expected dfdetect-metrics/1"):
        EvaluationResult.from_dict(values)


def test_an_interval_has_two_bounds(tmp_path):
    values = json.loads(json.dumps(evaluated(tmp_path).to_dict()))
    values["video"]["intervals"]["roc_auc"] = [0.5]
    with pytest.raises(ValueError, match="video.intervals.roc_auc is .*; expected 2 items"):
        EvaluationResult.from_dict(values)
