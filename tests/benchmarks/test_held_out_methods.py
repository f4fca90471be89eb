"""The benchmark of methods left out: its table, and the whole of it on the sample set."""

from __future__ import annotations

import runpy
import sys

import pytest

from benchmarks.held_out_methods import HEAD, methods_of, row
from pipelines.shards.open import ClipDataset
from tests.benchmarks.test_runs import pairs
from tests.fixtures import ROOT

SCRIPT = str(ROOT / "benchmarks" / "held_out_methods.py")
TINY = ("--backbone", "resnext_tiny", "--temporal", "mean", "--epochs", "1", "--no-augment")


def test_a_row_compares_the_detector_without_a_method_with_the_one_with_it():
    without = [*pairs([0.4] * 12, "New"), *pairs([0.9] * 12, "Known")]
    whole = [*pairs([0.9] * 12, "New"), *pairs([0.9] * 12, "Known")]
    cells = dict(zip(HEAD, row("New", without, whole), strict=True))
    assert cells["left out"] == "New" and cells["its fakes"] == "12"
    for name, value in (
        ("AUC on it", "0.000"),
        ("AUC on it, trained with it", "1.000"),
        ("AUC on the others", "1.000"),
        ("pair order on it", "0.000"),
        ("pair order, trained with it", "1.000"),
    ):
        assert cells[name].startswith(value), name


def test_the_methods_are_those_of_the_fakes(sample_shards):
    assert methods_of(ClipDataset.open(sample_shards)) == ["FaceSwap", "SelfBlend"]


@pytest.mark.parametrize(
    ("data", "flags", "message"),
    [
        ("nowhere", (), "holds no finished data set"),
        ("", ("--methods", "Swop"), "'Swop'; there are: FaceSwap, SelfBlend"),
    ],
)
def test_what_cannot_be_left_out_is_refused_before_any_training(
    data, flags, message, sample_shards, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "argv", [SCRIPT, data or str(sample_shards), str(tmp_path), *flags])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(SCRIPT, run_name="__main__")
    assert message in capsys.readouterr().err and not any(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_each_method_of_the_sample_set_is_left_out_in_turn(sample_shards, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", [SCRIPT, str(sample_shards), str(tmp_path), *TINY])
    runpy.run_path(SCRIPT, run_name="__main__")
    text = (tmp_path / "held_out_methods.md").read_text()
    assert text.startswith("test split, 2 real videos; trained on all methods: AUC ")
    assert [line.split(" | ")[0] for line in text.splitlines()[4:]] == ["| FaceSwap", "| SelfBlend"]
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {
        *("all", "without-FaceSwap", "without-SelfBlend")
    }
