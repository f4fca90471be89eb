"""Temperature, thresholds, and their way from the validation split into the exported model."""

import dataclasses
import json
import math
import shutil

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from dfdetect.__main__ import main
from pipelines.clip import FAKE, REAL
from pipelines.shards.open import ClipDataset
from pipelines.verdict import Thresholds, corrected
from serving.client import InProcessModel
from tests.fixtures.clip_datasets import write_clip_dataset
from tests.fixtures.coloured_crops import (
    CONFIG,
    SIDE,
    VAL,
    T,
    clip_of,
    logit_of,
    write_run,
    write_shards,
)
from trainer import calibration
from trainer.calibration import Calibration, choose_thresholds, fit_temperature, log_loss
from trainer.evaluation import calibrate
from trainer.exporting import export
from trainer.leakage import collect, write_seen
from trainer.run import Run

labelled_scores = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from([REAL, FAKE])), min_size=2, max_size=40
).filter(lambda rows: len({label for _, label in rows}) == 2)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("shards"), val=VAL, train=VAL)


@pytest.fixture
def run(tmp_path):
    """A run whose model knows how red a crop is."""
    return write_run(tmp_path / "run")


# The temperature.


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_the_temperature_that_made_the_labels_is_found(temperature):
    random = np.random.default_rng(0)
    logits = random.normal(0, 3 * temperature, 50_000)
    labels = random.random(50_000) < calibration.apply(logits, temperature)
    assert fit_temperature(logits, labels.astype(int)) == pytest.approx(temperature, rel=0.03)


def test_one_error_in_three_alike_is_worked_out_by_hand():
    # sigmoid(2 / T) = 2 / 3, so 2 / T = log 2.
    assert fit_temperature([2, 2, -2], [1, 0, 0]) == pytest.approx(2 / math.log(2))


logits_and_labels = st.lists(
    st.tuples(st.floats(-50, 50), st.sampled_from([REAL, FAKE])), min_size=1, max_size=30
)


@given(logits_and_labels)
def test_no_other_temperature_gives_a_lower_loss_unless_it_claims_too_much(rows):
    logits, labels = zip(*rows, strict=True)
    fitted = fit_temperature(logits, labels)
    assert 0.05 <= fitted <= 20
    loss = log_loss(logits, labels, fitted)
    shown = math.log((len(rows) + 2) / (len(rows) + 1))
    for other in np.geomspace(0.05, 20, 60):
        other_loss = log_loss(logits, labels, other)
        assert loss <= other_loss + 1e-9 or other_loss < shown + 1e-9


@pytest.mark.parametrize("size", [0.5, 3.0, 15.0])
def test_of_classes_told_apart_only_as_much_is_claimed_as_they_show(size):
    logits, labels = [-size, -size, size, 2 * size], [0, 0, 1, 1]
    fitted = fit_temperature(logits, labels)
    assert log_loss(logits, labels, fitted) == pytest.approx(math.log(6 / 5))
    assert calibration.apply(logits, fitted).max() < 0.99


def test_logits_that_say_the_contrary_become_as_unsure_as_can_be():
    assert fit_temperature([3, -3], [0, 1]) == 20


def test_logits_that_are_all_zero_stay_as_they_are():
    assert fit_temperature([0, 0], [0, 1]) == 1


def test_enormous_logits_overflow_nothing():
    fitted = fit_temperature([1e4, 1e4, -1e4], [1, 0, 0])
    assert fitted == 20 and math.isfinite(log_loss([1e4], [0], 0.05))


def test_a_weight_counts_like_so_many_samples():
    twice = fit_temperature([2, 1, 1, -2, 1], [1, 0, 0, 0, 1])
    weighted = fit_temperature([2, 1, -2, 1], [1, 0, 0, 1], [1, 2, 1, 1])
    assert weighted == pytest.approx(twice)


@pytest.mark.parametrize(
    ("logits", "message"), [([], "no logits"), ([1.0, math.nan], "the model is broken")]
)
def test_what_no_temperature_can_be_fitted_to_is_refused(logits, message):
    with pytest.raises(ValueError, match=message):
        fit_temperature(logits, [1] * len(logits))


# The thresholds.


@pytest.mark.parametrize(
    ("real", "fake", "max_fpr", "expected"),
    [
        # Overlapping: just above the highest real, just below the lowest fake.
        ([0.1, 0.2, 0.3, 0.6], [0.4, 0.7, 0.8, 0.9], 0.0, (0.35, 0.65)),
        # One error of four is allowed on each side, and what is left has a gap.
        ([0.1, 0.2, 0.3, 0.6], [0.4, 0.7, 0.8, 0.9], 0.25, (0.4, 0.6)),
        ([0.1, 0.2, 0.3, 0.6], [0.4, 0.7, 0.8, 0.9], 0.24, (0.35, 0.65)),
        # Apart: the middle half of the gap.
        ([0.1, 0.2], [0.8, 0.9], 0.05, (0.35, 0.65)),
        ([0.0], [1.0], 0.05, (0.25, 0.75)),
        # Mixed up: nearly everything is inconclusive.
        ([0.05, 0.95], [0.1, 0.9], 0.0, (0.075, 0.975)),
        ([0.5, 0.5], [0.5, 0.5], 0.0, (0.25, 0.75)),
        # The contrary of the truth.
        ([0.9], [0.1], 0.0, (0.05, 0.95)),
        # No threshold lies beyond 0 and 1.
        ([1.0, 1.0], [0.0, 0.0], 0.0, (0.0, 1.0)),
    ],
)
def test_thresholds_by_hand(real, fake, max_fpr, expected):
    labels = [REAL] * len(real) + [FAKE] * len(fake)
    assert choose_thresholds([*real, *fake], labels, max_fpr) == pytest.approx(expected)


@pytest.mark.parametrize("real", [19, 20, 39, 40])
def test_five_percent_of_the_real_videos_are_whole_videos(real):
    scores = [*np.linspace(0, 0.9, real), 0.1, 0.95]
    _, above = choose_thresholds(scores, [REAL] * real + [FAKE] * 2, 0.05)
    assert sum(score >= above for score in scores[:real]) == real // 20


@given(labelled_scores, st.floats(0, 0.99))
def test_both_kinds_of_error_stay_within_the_share(rows, max_fpr):
    scores, labels = map(np.array, zip(*rows, strict=True))
    below, above = choose_thresholds(scores, labels, max_fpr)
    assert 0 <= below < above <= 1
    share = max_fpr + 1e-9
    assert above == 1 or np.mean(scores[labels == REAL] >= above) <= share
    assert below == 0 or np.mean(scores[labels == FAKE] <= below) <= share


@given(labelled_scores, st.floats(0, 0.99))
def test_a_fake_is_called_one_at_the_smallest_threshold_unless_there_is_a_gap(rows, max_fpr):
    scores, labels = map(np.array, zip(*rows, strict=True))
    _, above = choose_thresholds(scores, labels, max_fpr)
    real, fake = scores[labels == REAL], scores[labels == FAKE]
    allowed = [t for t in sorted({*scores, 1.0}) if np.mean(real >= t) <= max_fpr + 1e-9]
    if allowed and ((scores >= above) != (scores >= allowed[0])).any():
        assert above > allowed[0]
        assert np.mean(fake < allowed[0]) <= max_fpr + 1e-9


@given(labelled_scores, st.floats(0, 0.99))
def test_the_thresholds_treat_both_classes_alike(rows, max_fpr):
    scores, labels = map(np.array, zip(*rows, strict=True))
    scores = np.round(scores * 64) / 64  # so that 1 - score is exact
    below, above = choose_thresholds(scores, labels, max_fpr)
    mirrored = choose_thresholds(1 - scores, 1 - labels, max_fpr)
    assert mirrored == pytest.approx((1 - above, 1 - below))


@pytest.mark.parametrize(
    ("scores", "labels", "max_fpr", "message"),
    [
        ([0.1, 0.2], [0, 0], 0.05, "2 real and 0 fake videos; thresholds need both"),
        ([0.1, math.nan], [0, 1], 0.05, "not from 0 to 1"),
        ([0.1, 1.5], [0, 1], 0.05, "not from 0 to 1"),
        ([0.1, 0.2], [0, 1], 1.0, "max_fpr is 1.0"),
        ([0.1, 0.2], [0, 1], math.nan, "max_fpr is nan"),
    ],
)
def test_thresholds_that_cannot_be_chosen_are_refused(scores, labels, max_fpr, message):
    with pytest.raises(ValueError, match=message):
        choose_thresholds(scores, labels, max_fpr)


# A run's calibration.


def test_a_run_is_calibrated_by_the_rules_of_serving(run, data):
    found = calibrate.calibrate(run, data, max_fpr=0.4)
    clips = [(v, label, *clip) for v, (label, clips) in VAL.items() for clip in clips]
    logits = [logit_of(red) for *_, red in clips]
    labels = [label for _, label, *_ in clips]
    weights = [1 / len(VAL[v][1]) for v, *_ in clips]
    assert found.temperature == pytest.approx(fit_temperature(logits, labels, weights), rel=1e-4)
    p = {red: calibration.apply(logit_of(red), found.temperature) for *_, red in clips}
    # Means of clips within a track; of f1's two tracks the higher one, for which the other costs.
    real = [(p[100] + p[130]) / 2, p[130], p[150]]
    fake = [corrected(p[170], 2, found.search_cost), (p[140] + p[160]) / 2, (p[190] + p[140]) / 2]
    chosen = choose_thresholds([*real, *fake], [0, 0, 0, 1, 1, 1], 0.4)
    assert (found.real_below, found.fake_above) == pytest.approx(chosen, abs=1e-5)
    assert (found.videos, found.fake_videos, found.split, found.max_fpr) == (6, 3, "val", 0.4)
    assert found.log_loss_after < found.log_loss_before
    rates = found.false_alarm_rate, found.detection_rate, found.miss_rate, found.inconclusive_rate
    below, above = chosen
    assert rates == pytest.approx(
        (
            np.mean([s >= above for s in real]),
            np.mean([s >= above for s in fake]),
            np.mean([s <= below for s in fake]),
            np.mean([below < s < above for s in real + fake]),
        )
    )
    assert Run.open(run).calibration == found
    assert Calibration.from_dict(json.loads((run / "calibration.json").read_text())) == found


def test_rates_follow_the_rule_on_too_little_evidence(run, tmp_path):
    """A clear fake and a clear real video of one frame each are INCONCLUSIVE, as when served."""
    brief = {"r9": (REAL, [(0, 20)]), "f9": (FAKE, [(0, 240)])}
    # One face each: what two cost depends on the temperature, which the brief ones change.
    single = {**VAL, "f1": (FAKE, [(0, 150)])}
    clear = write_shards(tmp_path, val=single)
    (tmp_path / "brief").mkdir()
    with_brief = write_shards(tmp_path / "brief", val=single)
    clips = [clip_of(n, label, *clip, "val", 1) for n, (label, (clip,)) in brief.items()]
    clips += [clip_of(n, label, *clip, "val") for n, (label, cs) in single.items() for clip in cs]
    write_clip_dataset(with_brief, CONFIG, {"val": clips})
    without = calibrate.calibrate(run, clear, max_fpr=0.4)
    found = calibrate.calibrate(run, with_brief, max_fpr=0.4)
    assert (found.videos, found.fake_videos) == (8, 4)
    assert found.detection_rate * 4 == pytest.approx(without.detection_rate * 3)
    assert found.false_alarm_rate * 4 == pytest.approx(without.false_alarm_rate * 3)
    assert found.inconclusive_rate * 8 == pytest.approx(without.inconclusive_rate * 6 + 2)
    out = tmp_path / "evaluation"
    assert (
        main(
            [
                "evaluate",
                "--run",
                str(run),
                "--data",
                str(with_brief),
                "--split",
                "val",
                "--out",
                str(out),
            ]
        )
        == 0
    )
    counts = json.loads((out / "metrics.json").read_text())["verdicts"]["counts"]
    assert counts["fake"]["FAKE"] == pytest.approx(found.detection_rate * 4)
    assert counts["real"]["FAKE"] == pytest.approx(found.false_alarm_rate * 4)


def test_shards_of_all_moments_are_calibrated_and_evaluated_as_served(run, data, tmp_path, capsys):
    config = dataclasses.replace(CONFIG, sampling="all")
    clips = []
    for name, (label, tracks) in VAL.items():
        for moment, (_, red) in enumerate(tracks * 2):
            video, clip = clip_of(name, label, 0, red, "val")
            times_s = (moment * T + np.arange(T)) * 0.08
            clips.append((video, dataclasses.replace(clip, index=moment, times_s=times_s)))
    served = str(write_clip_dataset(tmp_path, config, {"val": clips}))
    assert main(["calibrate", "--run", str(run), "--data", served]) == 0
    said = capsys.readouterr().out
    assert "calibrated on 6 videos, as served" in said
    assert "search cost 1: the union bound; real videos of 20 people are needed" in said
    out = tmp_path / "evaluation"
    argv = ["evaluate", "--run", str(run), "--split", "val", "--out", str(out), "--as-served"]
    assert main([*argv, "--data", served]) == 0
    result = json.loads((out / "metrics.json").read_text())
    assert result["as_served"]["moments"] == np.mean([2 * len(t) for _, t in VAL.values()])
    assert result["as_served"]["share"] == 1 and result["calibration"]["sampled"] == "as served"
    assert main([*argv, "--data", str(data)]) == 1
    assert "--sampling all, --splits val,test" in " ".join(capsys.readouterr().err.split())


def test_videos_that_show_no_face_well_enough_give_no_thresholds(run, tmp_path):
    data = write_shards(tmp_path, faces=1, val={k: (label, c[:1]) for k, (label, c) in VAL.items()})
    with pytest.raises(ValueError, match="None of the real videos shows a face well enough"):
        calibrate.calibrate(run, data)


@pytest.mark.parametrize(
    ("split", "why"),
    [
        ("test", "what is measured there afterwards would no longer be of videos new"),
        ("train", "the model was fitted to it"),
        ("all", "there is no such split"),
    ],
)
def test_only_the_validation_split_will_do(run, data, split, why):
    with pytest.raises(ValueError, match=f"refused on split '{split}': {why}"):
        calibrate.calibrate(run, data, split)


def test_videos_that_the_model_was_trained_on_are_refused_under_any_name_of_split(run, data):
    write_seen(run, collect(ClipDataset.open(data), "train"))
    with pytest.raises(ValueError, match="6 of 6 val videos were in the training of"):
        calibrate.calibrate(run, data)


def test_people_that_the_training_knew_are_no_reason_to_refuse(run, data):
    known = collect(ClipDataset.open(data), "train")
    write_seen(run, dataclasses.replace(known, videos=frozenset()))
    assert calibrate.calibrate(run, data).videos == 6


def test_both_classes_are_needed(run, tmp_path):
    data = write_shards(tmp_path, val={"r1": VAL["r1"]})
    with pytest.raises(ValueError, match="has 2 real and 0 fake val clips; calibration needs both"):
        calibrate.calibrate(run, data)


def test_a_split_of_which_a_part_is_lost_is_refused(run, data, tmp_path):
    (shard,) = data.glob("val-*.tfrecord")
    flipped = bytearray(shard.read_bytes())
    flipped[-20] ^= 1
    copy = tmp_path / "copy"
    shutil.copytree(data, copy)
    for content, message in ((b"", "has 0 bytes"), (flipped, "a record is damaged or missing")):
        (copy / shard.name).write_bytes(content)
        with pytest.raises(ValueError, match=message):
            calibrate.calibrate(run, copy)


def test_a_run_without_a_calibration_has_none(run):
    assert Run.open(run).calibration is None


def test_a_calibration_of_other_weights_is_not_used(run, data):
    calibrate.calibrate(run, data)
    with (run / "model.keras").open("ab") as handle:
        handle.write(b"trained further")
    with pytest.raises(ValueError, match="another model.keras than is there now. Run `dfdetect"):
        _ = Run.open(run).calibration


@pytest.mark.parametrize("change", [{"temperature": 0.0}, {"fake_above": 0.0}, {"colour": 1}, None])
def test_a_damaged_calibration_says_where_it_lies(run, data, change):
    calibrate.calibrate(run, data)
    path = run / "calibration.json"
    values = json.loads(path.read_text())
    path.write_text("" if change is None else json.dumps({**values, **change}))
    with pytest.raises(ValueError, match=r"calibration.json: .* Run `dfdetect calibrate` again"):
        _ = Run.open(run).calibration


def test_the_command_says_what_it_found_and_what_it_cannot_know(run, data, capsys):
    assert main(["calibrate", "--run", str(run), "--data", str(data)]) == 0
    said = capsys.readouterr().out
    assert "temperature" in said and "calibration.json" in said
    assert "3 real videos are too few to measure false alarms of 5.0%" in said


def test_the_command_fails_where_it_cannot_and_refuses_wrong_usage(tmp_path, data, capsys):
    arguments = ["--run", str(tmp_path), "--data", str(data)]
    assert main(["calibrate", *arguments]) == 1
    assert "finish `dfdetect train` first" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["calibrate", *arguments, "--max-fpr", "1"])


# The exported model.


def test_the_exported_model_applies_the_temperature_and_knows_its_thresholds(run, data, tmp_path):
    found = calibrate.calibrate(run, data, max_fpr=0.4)
    assert abs(found.temperature - 1) > 0.1
    version = export.export(run, tmp_path / "models")
    clips = np.zeros((1, T, SIDE, SIDE, 3), np.uint8)
    clips[0, 0, ..., 0] = 140
    loaded = tf.saved_model.load(str(version))
    outputs = loaded.signatures["tensors"](
        clips=tf.constant(clips), mask=tf.constant([[True] + [False] * (T - 1)])
    )
    raw, expected = logit_of(140), calibration.apply(logit_of(140), found.temperature)
    assert outputs["logit"].numpy() == pytest.approx([raw], abs=1e-4)
    assert outputs["probability_fake"].numpy() == pytest.approx([expected], abs=1e-5)
    assert outputs["frame_probability"].numpy()[0] == pytest.approx(
        [expected, 0, 0, 0, 0], abs=1e-5
    )
    stored = json.loads((version / "assets.extra" / "verdict.json").read_text())
    assert stored == {
        "real_below": found.real_below,
        "fake_above": found.fake_above,
        "search_cost": found.search_cost,
        "calibration": found.to_dict(),
    }
    thresholds = InProcessModel(version).config().thresholds
    assert thresholds == found.thresholds and thresholds.calibrated


def test_an_exported_model_without_calibration_says_so(run, tmp_path, unchecked):
    version = export.export(run, tmp_path / "models")
    assert InProcessModel(version).config().thresholds == Thresholds(0.4, 0.6, calibrated=False)
    stored = json.loads((version / "assets.extra" / "verdict.json").read_text())
    assert stored["calibration"] is None
