"""An ensemble: calibrated over its members, and measured as serving scores it."""

import csv
import dataclasses
import json

import jsonschema
import numpy as np
import pytest

from dfdetect.__main__ import main
from pipelines.clip import FAKE, REAL
from pipelines.ensemble import Ensemble, EnsembleError, mean_logit
from pipelines.exported_model import ExportedModel
from pipelines.shards.open import ClipDataset
from tests.fixtures import ROOT
from tests.fixtures.clip_datasets import write_clip_dataset
from tests.fixtures.coloured_crops import (
    CONFIG,
    GREEN,
    RED,
    T,
    clip_of,
    logit_of,
    write_run,
    write_shards,
)
from trainer import calibration
from trainer.evaluation import robustness
from trainer.evaluation.calibrate import calibrate
from trainer.evaluation.calibrate_ensemble import calibrate_ensemble
from trainer.evaluation.evaluate import evaluate
from trainer.evaluation.measured_ensemble import load_ensemble, of_ensemble, short_names
from trainer.evaluation.measured_model import load_detector
from trainer.evaluation.metrics import LOG_LOSS, ROC_AUC
from trainer.exporting import export
from trainer.input.clips import read_clips
from trainer.leakage import Seen, SeenCount, collect, hash_key, write_seen
from trainer.report.notes import leakage_line
from trainer.run import Run

# Video -> label, and of each clip the track, its red and its green: each colour errs elsewhere.
VAL = {
    "r1": (REAL, [(0, 110, 100), (0, 120, 110)]),
    "r2": (REAL, [(0, 150, 80)]),
    "r3": (REAL, [(0, 80, 150), (0, 85, 140)]),
    "r4": (REAL, [(0, 120, 110)]),
    "f1": (FAKE, [(0, 100, 190)]),
    "f2": (FAKE, [(0, 190, 100), (0, 180, 120)]),
    "f3": (FAKE, [(0, 150, 160)]),
    "f4": (FAKE, [(0, 160, 145), (1, 100, 100)]),
}
CLIPS = [(name, label, *clip) for name, (label, clips) in VAL.items() for clip in clips]
LABELS = [label for _, label, *_ in CLIPS]
WEIGHTS = [1 / len(VAL[name][1]) for name, *_ in CLIPS]
TRAINED_ON = {"train": {"datasets": {"set": 4}, "videos": 4, "methods": {"Swap": 4}}}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("shards"), val=VAL, train=VAL)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, data):
    """Two calibrated runs, by name: one knows how red a crop is, the other how green."""
    root = tmp_path_factory.mktemp("runs")
    red = write_run(root / "red", RED, train={"backbone": "r", "without_methods": "Blend"})
    green = write_run(root / "green", GREEN, splits=TRAINED_ON, sample_data=True)
    for run in (red, green):
        calibrate(run, data, max_fpr=0.25)
    return {"red": red, "green": green}


@pytest.fixture(scope="module")
def exported(tmp_path_factory, runs):
    """The run that knows green, exported: .../green/1."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainer.exporting.export.check_outputs", lambda *_: None)
        return export.export(runs["green"], tmp_path_factory.mktemp("models"), "green")


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory, runs, exported, data):
    """The file of an ensemble of a run and an export."""
    out = tmp_path_factory.mktemp("ensemble") / "new" / "e.json"
    calibrate_ensemble([runs["red"], exported], data, out, max_fpr=0.25)
    return out


def copied(run, folder):
    """A run with the weights and the calibration of another."""
    folder.mkdir(parents=True)
    for file in run.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def flags(*models, **others):
    argv = [word for model in models for word in ("--model", str(model))]
    return argv + [w for name, value in others.items() for w in (f"--{name}", str(value))]


def seen_videos(*names):
    videos = frozenset(hash_key("video", "set", name) for name in names)
    return Seen(videos, frozenset({"s"}), frozenset({"i"}))


# Calibration.


def test_the_temperature_is_that_of_the_mean_logit_of_the_calibrated_members(runs, ensemble):
    temperatures = [Run.open(runs[name]).calibration.temperature for name in ("red", "green")]
    logits = [
        np.mean([logit_of(red) / temperatures[0], logit_of(green) / temperatures[1]])
        for _, _, _, red, green in CLIPS
    ]
    got = Ensemble.read(ensemble)
    expected = calibration.fit_temperature(logits, LABELS, WEIGHTS)
    assert got.temperature == pytest.approx(expected, rel=1e-3)
    assert [member.temperature for member in got.members] == temperatures
    assert [m.name for m in got.members] == ["runs0/red", "green/1"]
    assert got.fingerprint == CONFIG.fingerprint
    fitted = calibration.Calibration.from_dict(got.calibration)
    assert fitted.thresholds == got.thresholds and fitted.max_fpr == 0.25
    assert fitted.log_loss_after == pytest.approx(
        calibration.log_loss(logits, LABELS, expected, WEIGHTS), rel=1e-3
    )


def test_each_member_is_printed_beside_the_ensemble_with_the_figures_of_an_evaluation(
    runs, exported, data, tmp_path, capsys
):
    out = tmp_path / "e.json"
    argv = flags(runs["red"], exported, data=data, out=out, ensemble="mean-logit")
    assert main(["calibrate", *argv]) == 0
    said = capsys.readouterr().out
    assert "calibrated on 8 videos" in said and f"wrote {out}" in said
    for detector, whose in (
        (load_ensemble([runs["red"], exported], out), "these videos by the ensemble"),
        (load_detector(runs["red"]), f"by {runs['red']} alone"),
        (load_detector(exported), f"by {exported} alone"),
    ):
        video = evaluate(detector, data, tmp_path / "evaluation", "val").result.video
        auc, loss = video.value(ROC_AUC), video.value(LOG_LOSS)
        assert f"\nROC-AUC {auc:.4f}, log-loss {loss:.4f}: {whose}\n" in said
    assert said.count("ROC-AUC 1.0000") == 1  # of no member


def test_a_model_with_itself_is_that_model(runs, data, tmp_path):
    red = runs["red"]
    calibrated = calibrate_ensemble([red, red], data, tmp_path / "e.json", max_fpr=0.25)
    own = Run.open(red).calibration
    assert calibrated.ensemble.temperature == pytest.approx(1, abs=1e-3)
    assert calibrated.calibration.fake_above == pytest.approx(own.fake_above, abs=1e-3)
    assert calibrated.calibration.real_below == pytest.approx(own.real_below, abs=1e-3)
    results = [
        evaluate(model, data, tmp_path / "out", "val").videos
        for model in (red, load_ensemble([red, red], tmp_path / "e.json"))
    ]
    orders = [[v.video.id for v in sorted(videos, key=lambda v: v.score)] for videos in results]
    assert orders[0] == orders[1]
    assert [v.verdict for v in results[0]] == [v.verdict for v in results[1]]


def test_models_that_are_not_calibrated_are_all_named_with_what_to_do(runs, data, tmp_path):
    raw = write_run(tmp_path / "raw")
    old = copied(runs["green"], tmp_path / "old")
    values = json.loads((old / "calibration.json").read_text())
    (old / "calibration.json").write_text(json.dumps({**values, "model_sha256": ""}))
    with pytest.raises(EnsembleError, match=r"raw, \S+old are not calibrated.*calibrate --run"):
        calibrate_ensemble([runs["red"], raw, old], data, tmp_path / "e.json")


def test_models_of_other_crops_are_refused_with_each_fingerprint(runs, data, tmp_path):
    other = copied(runs["green"], tmp_path / "other")
    record = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**record, "fingerprint": "f00"}))
    named = rf"red of {CONFIG.fingerprint}, \S+other of f00.*train them on the same shards"
    with pytest.raises(EnsembleError, match=named):
        calibrate_ensemble([runs["red"], other], data, tmp_path / "e.json")


@pytest.mark.parametrize("position", [0, 1])
def test_videos_that_any_member_was_trained_on_are_refused(runs, data, tmp_path, position):
    trained = copied(runs["green"], tmp_path / "trained")
    write_seen(trained, collect(ClipDataset.open(data), "train"))
    models = [runs["red"]]
    models.insert(position, trained)
    with pytest.raises(ValueError, match=r"8 of 8 val videos were in the training of \S+trained;"):
        calibrate_ensemble(models, data, tmp_path / "e.json")


def test_an_export_carries_what_its_training_has_seen(exported, runs, data, tmp_path):
    extra = ExportedModel.open(exported).extra
    write_seen(extra, collect(ClipDataset.open(data), "train"))
    try:
        with pytest.raises(ValueError, match=r"were in the training of \S+green/1;"):
            calibrate_ensemble([runs["red"], exported], data, tmp_path / "e.json")
    finally:
        (extra / "seen.json").unlink()


def test_both_classes_are_needed(runs, tmp_path):
    data = write_shards(tmp_path, val={"r1": VAL["r1"]})
    with pytest.raises(ValueError, match="2 real and 0 fake val clips; calibration needs both"):
        calibrate_ensemble(runs.values(), data, tmp_path / "e.json")


@pytest.mark.parametrize(
    ("name", "message"),
    [("", r"is a folder; give a file, as \S+ensemble\.json"), ("note.txt", "is no ensemble")],
)
def test_no_folder_and_no_other_file_is_replaced(runs, data, tmp_path, name, message):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(EnsembleError, match=message):
        calibrate_ensemble(runs.values(), data, tmp_path / name)
    assert (tmp_path / "note.txt").read_text() == "mine"


def test_an_earlier_ensemble_is_replaced(runs, data, tmp_path, ensemble):
    (tmp_path / "e.json").write_text(ensemble.read_text())
    calibrate_ensemble([runs["green"]] * 2, data, tmp_path / "e.json")
    assert len({m.model_sha256 for m in Ensemble.read(tmp_path / "e.json").members}) == 1


def test_names_are_as_short_as_tells_the_models_apart(runs, tmp_path):
    detector = load_detector(runs["red"])

    def names(*paths):
        return short_names([dataclasses.replace(detector, name=path) for path in paths])

    assert names("/x/a/1", "/x/b/1") == ["a/1", "b/1"]
    assert names("/x/a/1", "/y/a/1") == ["x/a/1", "y/a/1"]
    assert names("/x/a/1", "/x/a/1", "/x/b/model.keras") == ["a/1", "a/1", "x/b"]
    assert names("/a", "/b") == ["/a", "/b"]


# Evaluation.


def test_evaluation_gives_what_serving_computes_from_the_members(
    runs, exported, ensemble, data, tmp_path
):
    argv = flags(runs["red"], exported, ensemble=ensemble, data=data, split="val", out=tmp_path)
    assert main(["evaluate", *argv]) == 0
    (batch,) = read_clips(ClipDataset.open(data), "val").batch(99)
    clips, mask = batch["clips"].numpy(), batch["mask"].numpy()
    green = ExportedModel.open(exported).tensors(clips, mask)["probability_fake"]
    red = np.float32(load_detector(runs["red"]).predict(clips, mask).probability_fake)
    assert green.dtype == np.float32
    expected = Ensemble.read(ensemble).combine([red, green])
    with (tmp_path / "clips.csv").open(newline="") as handle:
        got = [float(row["probability_fake"]) for row in csv.DictReader(handle)]
    assert got == expected.tolist()


def test_of_a_sure_model_the_float32_of_serving_counts_and_not_the_run_s_float64(
    runs, ensemble, data
):
    red, green = (load_detector(runs[name]) for name in ("red", "green"))

    def sure(clips, mask):
        scores = red.predict(clips, mask)
        return scores._replace(probability_fake=np.full(len(mask), 1 - 3e-8))  # 1 as float32

    members = (dataclasses.replace(red, predict=sure), green)
    clips, mask = np.zeros((1, T, *[CONFIG.crop_size] * 2, 3), np.uint8), np.ones((1, T), bool)
    got = of_ensemble(Ensemble.read(ensemble), members).predict(clips, mask)
    served = np.float32(green.predict(clips, mask).probability_fake)
    assert got.logit == mean_logit([np.float32([1]), served])


def test_metrics_and_report_say_what_it_is_and_follow_the_schema(
    runs, exported, ensemble, data, tmp_path, capsys
):
    argv = flags(runs["red"], exported, ensemble=ensemble, data=data, split="val", out=tmp_path)
    assert main(["evaluate", *argv]) == 0
    note = "This is an ensemble, mean-logit of runs0/red and green/1: "
    assert note in " ".join(capsys.readouterr().out.split())
    values = json.loads((tmp_path / "metrics.json").read_text())
    jsonschema.validate(values, json.loads((ROOT / "docs" / "metrics.schema.json").read_text()))
    fitted, model = Ensemble.read(ensemble), values["model"]
    assert model["name"] == fitted.name
    assert [m["model_sha256"] for m in model["members"]] == [m.model_sha256 for m in fitted.members]
    assert [m["name"] for m in model["members"]] == [str(runs["red"]), str(exported)]
    assert (model["train"], model["train_split"], model["sample_data"]) == ({}, None, True)
    assert model["trained_on"] == ["set"] and values["cross_dataset"][0]["seen_dataset"]
    assert values["calibration"] == fitted.calibration
    assert values["thresholds"]["fake_above"] == fitted.thresholds.fake_above
    report = (tmp_path / "report.md").read_text()
    assert note in report
    assert f"{exported}: Trained on set (generated): 4 videos, 4 Swap." in report
    assert f"left out of the training of {runs['red']}: Blend." in report
    assert f"| setting | {runs['red']} | {exported} |" in report and "| backbone | r |  |" in report


@pytest.mark.parametrize(
    ("seen", "expected", "line"),
    [
        ([("r1",), ("r1", "f1")], 2, "LEAKAGE: 2 of 8 videos"),
        ([("x",), ("y",)], 0, "No leakage found: 0 of 8 videos"),
        ([("x",), None], None, "Leakage not known"),
        ([("r1",), None], 1, "LEAKAGE: 1 of 8 videos"),
    ],
)
def test_what_any_member_was_trained_on_is_leakage(
    runs, ensemble, data, tmp_path, seen, expected, line
):
    members = [copied(runs[name], tmp_path / name) for name in ("red", "green")]
    for run, names in zip(members, seen, strict=True):
        if names:
            write_seen(run, seen_videos(*names))
    got = evaluate(load_ensemble(members, ensemble), data, tmp_path / "out", "val").result.leakage
    assert got.videos == SeenCount(expected, 8) and got.known == (None not in seen)
    assert leakage_line(got).startswith(line)


def test_robustness_is_measured_of_the_ensemble(runs, ensemble, data, tmp_path, monkeypatch):
    condition = robustness.CONDITIONS[-1]
    monkeypatch.setattr("trainer.evaluation.evaluate.CONDITIONS", (condition,))
    detector = load_ensemble(runs.values(), ensemble)
    got = evaluate(detector, data, tmp_path, "val", robustness=True).result.robustness
    assert got.clean.roc_auc == 1
    assert [row.label for row in got.conditions] == [condition.label]


def test_shards_of_all_moments_calibrate_and_measure_it_as_served(runs, tmp_path, capsys):
    clips = []
    for name, (label, own) in VAL.items():
        for moment, (_, red, green) in enumerate(own * 2):
            video, clip = clip_of(name, label, 0, red, "val", green=green)
            times_s = (moment * T + np.arange(T)) * 0.08
            clips.append((video, dataclasses.replace(clip, index=moment, times_s=times_s)))
    config = dataclasses.replace(CONFIG, sampling="all")
    (tmp_path / "shards").mkdir()
    served = write_clip_dataset(tmp_path / "shards", config, {"val": clips})
    out = tmp_path / "e.json"
    argv = flags(*runs.values(), ensemble="mean-logit", data=served, out=out)
    assert main(["calibrate", *argv]) == 0
    said = capsys.readouterr().out
    assert "calibrated on 8 videos, as served" in said
    argv = flags(*runs.values(), ensemble=out, data=served, split="val", out=tmp_path / "out")
    assert main(["evaluate", *argv, "--as-served"]) == 0
    values = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert values["as_served"]["share"] == 1 and values["calibration"]["sampled"] == "as served"
    video = values["video"]
    figures = f"ROC-AUC {video['roc_auc']:.4f}, log-loss {video['log_loss']:.4f}"
    assert f"\n{figures}: these videos by the ensemble\n" in said


def test_other_models_than_the_members_are_refused_by_name(runs, ensemble, tmp_path):
    raw = write_run(tmp_path / "raw")
    with pytest.raises(EnsembleError, match=r"the models given are \S+red .*raw \(uncalibrated\)"):
        load_ensemble([runs["red"], raw], ensemble)


def test_a_member_that_was_calibrated_again_is_refused(runs, ensemble, data, tmp_path):
    again = copied(runs["red"], tmp_path / "again")
    few = {name: VAL[name] for name in ("r1", "r2", "f1", "f3")}
    (tmp_path / "few").mkdir()
    calibrate(again, write_shards(tmp_path / "few", val=few))
    with pytest.raises(EnsembleError, match="were calibrated again since the ensemble was"):
        load_ensemble([again, runs["green"]], ensemble)


@pytest.mark.parametrize("change", [{"fingerprint": "f00"}, {"calibration": {"split": "val"}}])
def test_a_file_that_does_not_fit_together_is_refused(runs, ensemble, tmp_path, change):
    file = tmp_path / "e.json"
    file.write_text(json.dumps({**json.loads(ensemble.read_text()), **change}))
    with pytest.raises(EnsembleError, match=r"Calibrate (it|the ensemble) again"):
        load_ensemble(runs.values(), file)


def test_a_method_in_the_place_of_the_file_is_told_what_writes_one(runs, data, tmp_path, capsys):
    argv = flags(*runs.values(), ensemble="mean-logit", data=data, out=tmp_path / "out")
    assert main(["evaluate", *argv]) == 1
    assert "there is no such file of an ensemble. Write one: dfdetect" in capsys.readouterr().err


# Flags.

BOTH = flags("a", "b")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["calibrate"], "give --run, or --ensemble with two or more --model"),
        (["calibrate", *BOTH, "--out", "e"], "--model goes with --ensemble only"),
        (["calibrate", "--run", "r", "--out", "e"], "--out goes with --ensemble only"),
        (["calibrate", "--ensemble", "mean-logit", "--out", "e"], "two or more models, 0 given"),
        (
            ["calibrate", "--ensemble", "mean-logit", "--model", "a", "--out", "e"],
            "two or more models, 1 given: repeat --model",
        ),
        (["calibrate", "--ensemble", "mean-logit", *BOTH], "--ensemble needs --out"),
        (
            ["calibrate", "--ensemble", "mean-logit", *BOTH, "--out", "e", "--run", "r"],
            "--run does not go with --ensemble",
        ),
        (["calibrate", "--ensemble", "median", *BOTH, "--out", "e"], "invalid choice: 'median'"),
        (["evaluate", "--out", "o", *BOTH], "give --ensemble FILE to measure them as one, or eval"),
        (["evaluate", "--out", "o", "--model", "a", "--ensemble", "e"], "1 given: repeat --model"),
        (["evaluate", "--out", "o", "--run", "r", "--ensemble", "e"], "--run does not go with"),
        (["evaluate", "--out", "o", "--run", "r", "--model", "a"], "not allowed with argument"),
    ],
)
def test_flags_that_do_not_go_together_are_wrong_usage(argv, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([*argv, "--data", "d"])
    assert message in capsys.readouterr().err
