"""The benchmark of fine-tuning: steps, points of the curve, its verdict, and the whole of it."""

from __future__ import annotations

import runpy
import sys

import numpy as np
import pytest
from PIL import Image

from benchmarks.fine_tuning import BASE, SCRATCH, Point, plot, steps_of, table, verdict
from benchmarks.runs import labelled
from tests.benchmarks.test_held_out_methods import TINY
from tests.benchmarks.test_runs import pairs
from tests.fixtures import ROOT

SCRIPT = str(ROOT / "benchmarks" / "fine_tuning.py")


def point(steps: int, auc: float) -> Point:
    """Of two seeds, .05 beside the mean."""
    resampled = np.random.default_rng(steps).normal(auc, 0.01, 200)
    return Point(steps, (auc - 0.05, auc + 0.05), resampled)


CURVES = {
    SCRATCH: [point(10, 0.5), point(50, 0.6), point(100, 0.8)],
    BASE: [point(10, 0.7), point(50, 0.85), point(100, 0.9)],
}


def test_steps_are_shares_in_whole_epochs():
    assert steps_of(1000, [1.0, 0.1, 0.1], 4) == [100, 1000]
    assert steps_of(10, [0.5], 4) == [4]


@pytest.mark.parametrize("shares", [[0.0], [1.5], [0.01, 1.0], [-0.5]])
def test_a_share_without_a_step_in_each_epoch_or_over_1_is_refused(shares):
    with pytest.raises(ValueError, match="a share must be more than 0, at most 1, and enough"):
        steps_of(100, shares, 4)


def test_a_point_is_the_mean_of_its_seeds_with_one_interval():
    right, wrong = (labelled(list(pairs([score] * 12))) for score in (0.9, 0.1))
    got = Point.of(10, [right, right, wrong, wrong])
    assert got.aucs == (1.0, 1.0, 0.0, 0.0) and got.auc == 0.5
    assert got.interval == (0.5, 0.5)  # the same people are drawn for all seeds


def test_a_point_of_one_class_alone_is_refused():
    with pytest.raises(ValueError, match="no AUC"):
        Point.of(10, [labelled(list(pairs([0.9]))[:1])])


def test_the_verdict_names_the_fewest_steps_that_suffice():
    text = verdict(CURVES)
    assert "From scratch, 100 steps: AUC 0.800 [" in text
    assert "Fine-tuning reaches that in 50 steps, 50%." in text
    assert "Fine-tuned for 10 steps, less that: -0.100 [" in text
    assert "Fine-tuned for 100 steps, less that: 0.100 [" in text


def test_fine_tuning_that_never_suffices_is_said_so():
    swapped = {SCRATCH: CURVES[BASE], BASE: CURVES[SCRATCH]}
    assert "Fine-tuning does not reach that in 100 steps." in verdict(swapped)


def test_the_table_has_a_row_for_each_number_of_steps():
    rows = [line.split(" | ") for line in table(CURVES).splitlines()[2:]]
    assert [row[0] for row in rows] == ["| 10", "| 50", "| 100"]
    assert [row[1] for row in rows] == ["10%", "50%", "100%"]
    assert rows[0][4] == "0.450 0.550"


def test_the_curve_is_drawn_as_a_picture(tmp_path):
    plot(CURVES, tmp_path / "curve.png", "test")
    picture = np.asarray(Image.open(tmp_path / "curve.png").convert("RGB"))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_trainings_from_scratch_and_from_a_run_become_a_curve(
    sample_shards, trained_run, tmp_path, monkeypatch
):
    flags = ["--steps", "4", "--shares", "0.5", "1", "--epochs", "1", "--seeds", "1", *TINY[:4]]
    base = str(trained_run / "model.keras")
    monkeypatch.setattr(
        sys, "argv", [SCRIPT, str(sample_shards), base, str(tmp_path), *flags, "--no-augment"]
    )
    runpy.run_path(SCRIPT, run_name="__main__")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        *("scratch-2-0", "base-2-0", "scratch-4-0", "base-4-0"),
        *("fine_tuning.md", "fine_tuning.png"),
    }
    text = (tmp_path / "fine_tuning.md").read_text()
    assert "| 2 | 50% | " in text and "From scratch, 4 steps: AUC " in text
