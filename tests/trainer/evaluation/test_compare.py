"""Two models on the same videos."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from dfdetect.__main__ import main
from pipelines.clip import FAKE, ORIGINAL, REAL, Video
from pipelines.dataclass_json import to_json
from pipelines.verdict import Thresholds, decide
from trainer.evaluation import compare
from trainer.evaluation.bootstrap import Bootstrap
from trainer.evaluation.measured_model import Detector
from trainer.evaluation.predictions import Predictions
from trainer.evaluation.scored import ScoredVideo
from trainer.leakage import check_leakage
from trainer.report.comparison import markdown
from trainer.run import CONFIG_NAME, MODEL_NAME

DETECTOR = Detector("m", lambda *_: None, Thresholds(), None, {}, None, "f00d", (2, 32))


def table(scores: np.ndarray) -> Predictions:
    """Real and fake by turns, two videos of each source."""
    videos = []
    for i, score in enumerate(scores.tolist()):
        label = FAKE if i % 2 else REAL
        method = "Swap" if label else ORIGINAL
        video = Video(f"{i}", "", label, "ff", method, source_id=f"{i // 2}", split="test")
        videos.append(ScoredVideo(video, 0, score, decide(score, Thresholds())))
    return Predictions((), ("test",), [], videos, True, {}, (), np.zeros((0, 0)))


def scores(seed: int, shift: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=200) + shift * (np.arange(200) % 2)
    return 1 / (1 + np.exp(-logits))


def test_a_better_model_is_found_better_beyond_chance():
    tables = [table(scores(0, 0.5)), table(scores(1, 2.5))]
    got = compare.difference([DETECTOR, DETECTOR], tables, Bootstrap(200))
    auc = got.metrics["roc_auc"]
    assert auc.difference == pytest.approx(auc.b - auc.a) and auc.difference > 0.2
    assert 0 < auc.interval[0] < auc.difference < auc.interval[1]
    assert auc.beyond_chance is True
    assert got.bootstrap.units == 100 and got.videos == 200


def test_a_model_does_not_differ_from_itself():
    same = table(scores(0, 1.0))
    got = compare.difference([DETECTOR, DETECTOR], [same, same], Bootstrap(50))
    for row in got.metrics.values():
        assert row.difference == 0 and row.interval == (0, 0) and not row.beyond_chance


def test_swapping_the_models_turns_the_difference_around():
    tables = [table(scores(0, 0.5)), table(scores(1, 1.0))]
    one, other = (
        compare.difference([DETECTOR, DETECTOR], pair, Bootstrap(100)).metrics["roc_auc"]
        for pair in (tables, tables[::-1])
    )
    assert one.interval == pytest.approx([-bound for bound in other.interval[::-1]])


def one_class() -> Predictions:
    both = table(scores(0, 1.0))
    return dataclasses.replace(both, videos=both.videos[::2])


def test_one_class_alone_gives_no_difference_and_no_crash():
    reals = one_class()
    got = compare.difference([DETECTOR, DETECTOR], [reals, reals], Bootstrap(50))
    assert got.metrics["roc_auc"].difference is None
    assert got.metrics["roc_auc"].beyond_chance is None
    json.dumps(to_json(got), allow_nan=False)


def test_models_that_scored_other_videos_are_not_compared():
    tables = [table(scores(0, 1.0)), table(scores(0, 1.0)[:-2])]
    with pytest.raises(ValueError, match="same videos"):
        compare.difference([DETECTOR, DETECTOR], tables, Bootstrap(50))


def test_generated_videos_the_validation_split_and_one_class_are_said_under_the_table():
    got = compare.difference([DETECTOR] * 2, [one_class(), one_class()], Bootstrap(20))
    unknown = {name: check_leakage([None], []) for name in "ab"}
    comparison = compare.Comparison(
        schema=compare.SCHEMA,
        split="val",
        data=("data",),
        leakage=unknown,
        sample_data=True,
        **vars(got),
    )
    text = markdown(comparison)
    assert "there are no fake ones" in text and "validation split" in text
    assert "say nothing about real deepfakes" in text


def test_the_command_writes_one_table(trained_run, exported, sample_shards, tmp_path, capsys):
    models = [str(trained_run), str(exported)]
    arguments = ["--data", str(sample_shards), "--out", str(tmp_path)]
    assert main(["compare", *models, *arguments]) == 0
    got = json.loads((tmp_path / "comparison.json").read_text())
    assert abs(got["metrics"]["brier"]["difference"]) < 1e-3
    lines = (tmp_path / "comparison.md").read_text().splitlines()
    assert lines[0].startswith("A: ") and "eakage" in lines[0].lower()
    assert sum(line.startswith("|") for line in lines) == len(got["metrics"]) + 2
    assert "comparison.md" in capsys.readouterr().out


def test_a_model_that_takes_other_crops_is_refused(trained_run, sample_shards, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    (other / MODEL_NAME).write_bytes((trained_run / MODEL_NAME).read_bytes())
    config = json.loads((trained_run / CONFIG_NAME).read_text())
    (other / CONFIG_NAME).write_text(json.dumps({**config, "fingerprint": "0" * 16}))
    arguments = ["--data", str(sample_shards), "--out", str(tmp_path / "out")]
    assert main(["compare", str(trained_run), str(other), *arguments]) == 1
    assert "the model was trained on crops of 0000" in capsys.readouterr().err
