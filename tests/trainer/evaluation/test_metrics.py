"""Figures of known scores, and how sure they are."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from pipelines.dataclass_json import to_json
from trainer.evaluation.bootstrap import (
    Bootstrap,
    paired_difference,
    percentile_interval,
    weighted_metrics,
)
from trainer.evaluation.labelled_scores import LabelledScores
from trainer.evaluation.measurement import score_metrics
from trainer.evaluation.metrics import (
    ACCURACY,
    AVERAGE_PRECISION,
    BRIER,
    EER,
    LOG_LOSS,
    ROC_AUC,
    TPR_AT_FPR_01,
    equal_error_rate,
    true_positive_rate,
)
from trainer.evaluation.reliability import calibration_bins, expected_calibration_error


def arrays(labels, scores):
    return np.array(labels), np.array(scores, float)


@pytest.mark.parametrize(
    "labels, scores, expected",
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], 0.0),
        ([1, 1, 0, 0], [0.1, 0.2, 0.8, 0.9], 1.0),
        # One of two real ones lies above one of two fakes.
        ([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9], 0.5),
        # At 0.7 one of four real ones is called fake and one of four fakes is missed.
        ([0, 0, 0, 0, 1, 1, 1, 1], [0.1, 0.2, 0.3, 0.7, 0.6, 0.7, 0.8, 0.9], 0.25),
        # From (0, 1/2) to (1/3, 1/2) to (1/3, 1): false alarms meet misses at 1/3 on the upright.
        ([0, 0, 0, 1, 1], [0.1, 0.2, 0.8, 0.5, 0.9], 1 / 3),
        # All the same: the straight line from (0, 0) to (1, 1).
        ([0, 0, 1], [0.5, 0.5, 0.5], 0.5),
    ],
)
def test_equal_error_rate_of_hand_computed_cases(labels, scores, expected):
    assert equal_error_rate(*arrays(labels, scores)) == pytest.approx(expected)


def test_the_equal_error_rate_lies_on_the_line_between_two_thresholds():
    # Ties at 0.5: the curve goes from (0, 1/3) straight to (1/2, 1). On it FPR = x and
    # TPR = 1/3 + 4/3 x, so x = 1 - TPR at x = 2/7.
    labels, scores = arrays([1, 1, 1, 0, 0], [0.9, 0.5, 0.5, 0.5, 0.1])
    assert equal_error_rate(labels, scores) == pytest.approx(2 / 7)


def test_calibration_error_of_a_hand_computed_case():
    # Bin 0.2 to 0.3: three at 0.25, one fake, |0.25 - 1/3| = 1/12. Bin 0.9 to 1: one at 0.95 and
    # one at 1, both fake, |0.975 - 1| = 0.025. Weighted 3/5 and 2/5.
    labels, scores = arrays([0, 0, 1, 1, 1], [0.25, 0.25, 0.25, 0.95, 1.0])
    expected = 3 / 5 / 12 + 2 / 5 * 0.025
    assert expected_calibration_error(labels, scores) == pytest.approx(expected)


def test_probabilities_that_come_true_have_no_calibration_error():
    labels, scores = arrays([1, 0, 0, 0], [0.25] * 4)
    assert expected_calibration_error(labels, scores) == pytest.approx(0)


def test_the_bins_hold_every_score_and_say_where_none_is():
    bins = calibration_bins(*arrays([0, 1, 1], [0.0, 0.99, 1.0]))
    assert [b.count for b in bins] == [1, 0, 0, 0, 0, 0, 0, 0, 0, 2]
    assert bins[9].fake_share == 1 and bins[9].mean_probability == pytest.approx(0.995)
    assert bins[5].fake_share is None


def test_fakes_found_at_a_false_alarm_rate_count_only_thresholds_that_exist():
    labels, scores = arrays([0] * 20 + [1] * 4, [*np.linspace(0, 0.6, 20), 0.3, 0.59, 0.61, 0.9])
    assert true_positive_rate(labels, scores, 0.01) == 0.5  # no false alarm at all
    assert true_positive_rate(labels, scores, 0.05) == 0.75  # one of twenty
    assert true_positive_rate(labels, scores, 1.0) == 1.0


@pytest.mark.parametrize("labels, absent", [([1, 1], "real"), ([0, 0], "fake")])
def test_with_one_class_only_it_is_said_why_figures_are_missing(labels, absent):
    got = score_metrics(LabelledScores.of(labels, [0.2, 0.7]))
    assert absent in got.not_defined
    assert [got.value(metric) for metric in (ROC_AUC, EER, TPR_AT_FPR_01)] == [None] * 3
    assert got.value(ACCURACY) == 0.5 and got.value(BRIER) is not None
    json.dumps(to_json(got), allow_nan=False)


def test_without_any_score_nothing_is_defined_and_nothing_fails():
    got = score_metrics(LabelledScores.of([], []))
    assert got.count == 0 and got.not_defined == "nothing was scored"
    assert got.value(ACCURACY) is None and got.value(LOG_LOSS) is None
    json.dumps(to_json(got), allow_nan=False)


def test_scores_beyond_0_and_1_are_refused():
    with pytest.raises(ValueError, match="expected probabilities"):
        LabelledScores.of([0, 1], [0.5, 3.2])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 10), st.integers(0, 3)),
        min_size=1,
        max_size=25,
    )
)
def test_a_weight_gives_what_the_row_so_often_would_give(rows):
    labels, tenths, counts = (np.array(column) for column in zip(*rows, strict=True))
    once = LabelledScores.of(labels, tenths / 10, 0.6)
    often = LabelledScores.of(np.repeat(labels, counts), np.repeat(tenths / 10, counts), 0.6)
    repeated = score_metrics(often).values
    for name, values in weighted_metrics(once, counts[None]).items():
        if repeated[name] is None:
            assert not math.isfinite(values[0]), name
        else:
            assert values[0] == pytest.approx(repeated[name]), name


def _videos(rng, sources: int, per_source: int = 1, shift: float = 1.0):
    """Scores whose true AUC is Phi(shift / sqrt 2), each source with reals and fakes alike."""
    labels = np.tile([0, 1], sources * per_source)
    units = np.repeat(np.arange(sources), 2 * per_source).astype(str)
    scores = 1 / (1 + np.exp(-(rng.normal(size=len(labels)) + shift * labels)))
    return labels, scores, units


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    labels, scores, units = _videos(np.random.default_rng(0), 30)
    first, again, other = (
        Bootstrap(200, seed).intervals(LabelledScores.of(labels, scores, 0.5, units))
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first["roc_auc"] != other["roc_auc"]


def test_intervals_do_not_depend_on_how_many_resamples_are_held_at_a_time(monkeypatch):
    labels, scores, units = _videos(np.random.default_rng(0), 30)
    whole = Bootstrap(100).intervals(LabelledScores.of(labels, scores, 0.5, units))
    monkeypatch.setattr("trainer.evaluation.bootstrap.BLOCK", 500)
    assert Bootstrap(100).intervals(LabelledScores.of(labels, scores, 0.5, units)) == whole


def test_intervals_cover_a_known_auc_about_as_often_as_they_say():
    rng = np.random.default_rng(3)
    true_auc = 0.5 * (1 + math.erf(0.5))  # Phi(1 / sqrt 2)
    covered = 0
    for trial in range(200):
        labels, scores, units = _videos(rng, 50)
        low, high = Bootstrap(300, trial).intervals(LabelledScores.of(labels, scores, 0.5, units))[
            "roc_auc"
        ]
        covered += low <= true_auc <= high
    assert 0.89 <= covered / 200 <= 0.99


def test_sources_are_drawn_and_not_videos():
    """Ten copies of each video of a source add no knowledge, so the interval stays as wide."""
    labels, scores, units = _videos(np.random.default_rng(0), 20)
    labels10, scores10, units10 = (np.repeat(column, 10) for column in (labels, scores, units))
    copies = LabelledScores.of(labels10, scores10, 0.5, units10)
    once = Bootstrap().intervals(LabelledScores.of(labels, scores, 0.5, units))["roc_auc"]
    assert Bootstrap().intervals(copies)["roc_auc"] == pytest.approx(once)
    apart = Bootstrap().intervals(LabelledScores.of(labels10, scores10))
    assert np.ptp(apart["roc_auc"]) < np.ptp(once) / 2


def test_no_figure_is_rounded_to_more_than_1():
    """Twenty fakes above ten real ones: a sum of floats makes their average precision 1 + 2e-16."""
    labels, scores = np.repeat([0, 1], [10, 20]), np.linspace(0, 1, 30)
    assert sk.average_precision_score(labels, scores) > 1
    assert score_metrics(LabelledScores.of(labels, scores)).value(AVERAGE_PRECISION) == 1
    drawn = Bootstrap().intervals(LabelledScores.of(labels, scores, 0.5, np.arange(30).astype(str)))
    assert drawn["average_precision"][1] <= 1


def test_one_source_alone_has_no_interval():
    assert Bootstrap().intervals(LabelledScores.of([0, 1], [0.2, 0.7], 0.5, ["a", "a"])) == {}


def test_a_figure_that_is_rarely_defined_has_no_interval():
    assert percentile_interval(np.array([0.5, np.nan, np.nan])) is None
    assert percentile_interval(np.array([0.5, 0.5, np.nan])) == (0.5, 0.5)


def test_a_paired_difference_is_narrower_than_the_two_intervals():
    rng = np.random.default_rng(0)
    labels, scores, units = _videos(rng, 100)
    better = np.clip(scores + 0.02 * (2 * labels - 1), 0, 1)
    drawn = [Bootstrap().draw(LabelledScores.of(labels, s, 0.5, units)) for s in (scores, better)]
    low, high = percentile_interval(paired_difference(*drawn)["roc_auc"])
    assert 0 < low < high < np.ptp(percentile_interval(drawn[0]["roc_auc"]))
