"""An ensemble: how scores are combined, and which models it takes."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.ensemble import Ensemble, EnsembleError, Member, mean_logit
from pipelines.verdict import Thresholds

MEMBERS = (Member("base/1", "a" * 64), Member("own/3", "b" * 64))
probabilities = st.floats(0, 1)


def ensemble(**changes):
    values = {
        "members": MEMBERS,
        "fingerprint": "f00",
        "temperature": 1.5,
        "thresholds": Thresholds(0.2, 0.8, True, 0.4),
        "calibration": {"split": "val"},
        **changes,
    }
    return Ensemble(**values)


@given(st.lists(probabilities, min_size=2, max_size=4))
def test_the_score_lies_between_those_of_the_members_at_temperature_1(scores):
    combined = ensemble(temperature=1.0).combine([np.array([score]) for score in scores])
    assert min(scores) - 2e-7 <= combined[0] <= max(scores) + 2e-7


@given(probabilities, probabilities, probabilities)
def test_a_member_that_is_surer_of_fake_never_lowers_the_score(other, low, high):
    low, high = sorted((low, high))
    scores = [ensemble().combine([np.array(p), np.array(other)]) for p in (low, high)]
    assert scores[0] <= scores[1]


@given(probabilities, probabilities)
def test_a_model_with_itself_keeps_its_order(low, high):
    low, high = sorted((low, high))
    scores = [ensemble().combine([np.array(p), np.array(p)]) for p in (low, high)]
    assert scores[0] <= scores[1]
    assert scores[0] < scores[1] or high - low < 1e-6


def test_the_mean_is_of_logits_not_of_probabilities():
    scores = [np.array([0.9]), np.array([0.5])]
    assert mean_logit(scores)[0] == pytest.approx(math.log(9) / 2)
    assert ensemble(temperature=1.0).combine(scores)[0] == pytest.approx(0.75)


def test_certainty_of_one_member_is_finite():
    assert np.isfinite(mean_logit([np.array([0.0]), np.array([1.0])])).all()


def test_what_was_written_is_read(tmp_path):
    ensemble().write(tmp_path / "e.json")
    assert Ensemble.read(tmp_path / "e.json") == ensemble()


@pytest.mark.parametrize(
    "change",
    [
        {"method": "median"},
        {"members": []},
        {"members": [{"name": "a", "model_sha256": "a"}]},
        {"members": [{"name": "a"}, {"name": "b"}]},
        {"members": [{"name": "a", "model_sha256": ["a"]}] * 2},
        {"members": [{"name": "a", "model_sha256": "a", "temperature": "1"}] * 2},
        {"temperature": 0},
        {"thresholds": {"real_below": 0.9, "fake_above": 0.1}},
        {"another": 1},
    ],
)
def test_a_file_that_is_no_ensemble_is_refused_by_name(tmp_path, change):
    file = tmp_path / "e.json"
    file.write_text(json.dumps({**ensemble().to_dict(), **change}))
    with pytest.raises(EnsembleError, match=r"e\.json"):
        Ensemble.read(file)


@pytest.mark.parametrize("text", ["", "[]", "not JSON", "{}"])
def test_any_other_file_is_refused_by_name(tmp_path, text):
    (tmp_path / "e.json").write_text(text)
    with pytest.raises(EnsembleError, match=r"e\.json"):
        Ensemble.read(tmp_path / "e.json")


def test_where_there_is_no_file_the_command_that_writes_one_is_told(tmp_path):
    with pytest.raises(EnsembleError, match="dfdetect calibrate --ensemble mean-logit"):
        Ensemble.read(tmp_path / "mean-logit")


def test_models_are_taken_in_any_order_and_under_any_name():
    ensemble().require([Member("renamed/9", "b" * 64), Member("renamed/9", "a" * 64)])


def calibrated(letter, temperature):
    return Member.of("m", {"model_sha256": letter * 64, "temperature": temperature})


def test_a_member_that_was_calibrated_again_is_refused_with_both_temperatures():
    fitted = ensemble(members=(calibrated("a", 1.25), calibrated("b", 2.0)))
    fitted.require([calibrated("b", 2.0), calibrated("a", 1.25)])
    with pytest.raises(EnsembleError, match=r"are 1\.5 \(m\), 2 \(m\), and were 1\.25 \(m\), 2"):
        fitted.require([calibrated("a", 1.5), calibrated("b", 2.0)])


def test_without_a_temperature_on_one_side_the_weights_decide():
    ensemble().require([calibrated("a", 1.25), calibrated("b", 2.0)])
    fitted = ensemble(members=(calibrated("a", 1.25), calibrated("b", 2.0)))
    fitted.require(MEMBERS)


@pytest.mark.parametrize("models", ["a", "ac", "aab", "aa"])
def test_other_models_than_its_members_are_refused_by_name(models):
    with pytest.raises(EnsembleError, match="own/3"):
        ensemble().require([Member("m/1", letter * 64) for letter in models])
