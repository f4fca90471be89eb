"""Shards to a trained, measured and exported model."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from dfdetect.__main__ import main
from pipelines.clip import FAKE, ORIGINAL, Clip, Video
from pipelines.config import PreprocessConfig
from pipelines.shards import open as shards_open
from pipelines.shards import schema
from pipelines.shards.open import ClipDataset, read_info
from tests.fixtures.clip_datasets import write_clip_dataset
from trainer import run as runs
from trainer.config import TrainConfig
from trainer.errors import ExportError, TrainError
from trainer.evaluation import evaluate
from trainer.evaluation.labelled_scores import LabelledScores
from trainer.evaluation.measurement import score_metrics
from trainer.evaluation.metrics import ACCURACY, F1, PRECISION, RECALL, ROC_AUC
from trainer.exporting import export
from trainer.input.clips import read_clips
from trainer.model.detector import load_model
from trainer.report.notes import SAMPLE_NOTE
from trainer.report.render import write_report
from trainer.training import train

SIDE, T = 32, 4
COUNTS = {"train": 16, "val": 8, "test": 8}


def _clip(split: str, index: int) -> tuple[Video, Clip]:
    """A noisy clip, reddish when fake; frame 1 is lost, and every third clip is short."""
    rng = np.random.default_rng(index)
    images = []
    for _ in range(T - (index % 3 == 2)):
        pixels = rng.integers(60, 120, (SIDE, SIDE, 3), dtype=np.uint8)
        pixels[..., 0] += 100 * (index % 2)
        images.append(tf.io.encode_jpeg(pixels).numpy())
    images[1] = b""
    n, zeros = len(images), np.zeros
    video = Video(
        id=f"{split}{index // 2}_{index % 2}",
        uri="",
        label=index % 2,
        dataset="sample",
        method="Swap" if index % 2 == FAKE else ORIGINAL,
        split=split,
    )
    clip = Clip(
        0, 0, 25.0, images, zeros(n), zeros((n, 4)), zeros((n, 5, 2)), zeros(n), zeros((n, 2, 3))
    )
    return video, clip


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    clips = {split: [_clip(split, i) for i in range(count)] for split, count in COUNTS.items()}
    config = PreprocessConfig(frames_per_clip=T, crop_size=SIDE)
    root = tmp_path_factory.mktemp("shards")
    return write_clip_dataset(root, config, clips, shards=2, generated=True)


@pytest.fixture(scope="module")
def info_reads() -> list[object]:
    """The folders whose dataset_info.json the training of `run` has read."""
    return []


@pytest.fixture(scope="module")
def run(data, info_reads, tmp_path_factory) -> Path:
    config = TrainConfig(
        backbone="resnext_tiny", temporal_units=8, epochs=3, batch_size=4, learning_rate=3e-3
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            shards_open, "read_info", lambda folder: info_reads.append(folder) or read_info(folder)
        )
        return train.train(data, tmp_path_factory.mktemp("runs") / "run", config, verbose=False)


@pytest.fixture(scope="module")
def saved(run, tmp_path_factory) -> Path:
    return export.export(run, tmp_path_factory.mktemp("models"))


def test_a_folder_without_shards_says_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="Run `dfdetect preprocess` first"):
        ClipDataset.open(tmp_path)


def test_crops_made_in_another_way_are_refused(data):
    with pytest.raises(ValueError, match="the model was trained on crops of 0123"):
        ClipDataset.open(data, fingerprint="0123")


def test_clips_are_padded_and_lost_frames_masked(data):
    clips = {
        c["video"].decode(): c
        for c in read_clips(ClipDataset.open(data), "train").as_numpy_iterator()
    }
    assert len(clips) == COUNTS["train"]
    whole, short = clips["sample/train0_0"], clips["sample/train1_0"]
    assert whole["mask"].tolist() == [True, False, True, True]
    assert short["mask"].tolist() == [True, False, True, False]
    assert whole["clips"].shape == (T, SIDE, SIDE, 3) and whole["clips"].dtype == np.uint8
    assert not whole["clips"][1].any() and whole["clips"][0].any()
    assert clips["sample/train0_1"]["label"] == FAKE


def test_a_run_holds_all_that_made_it(run, data):
    names = {path.name for path in run.iterdir()}
    assert names == {
        *("config.json", "config.yaml", "versions.json", "seen.json", "tensorboard"),
        *("history.json", "history.csv", "model.keras"),
    }
    config = json.loads((run / "config.json").read_text())
    assert TrainConfig.from_dict(config["train"]).backbone == "resnext_tiny"
    assert config["fingerprint"] == ClipDataset.open(data).fingerprint


def test_a_training_opens_its_data_set_once(run, data, info_reads):
    assert info_reads == [data]


def test_training_lowers_the_loss(run):
    losses = json.loads((run / "history.json").read_text())["epochs"]["loss"]
    assert losses[-1] < losses[0]


def test_a_finished_run_is_not_overwritten_unasked(run, data, capsys):
    assert main(["train", "--data", str(data), "--out", str(run)]) == 1
    assert "--overwrite" in capsys.readouterr().err


def test_foreign_files_are_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(TrainError, match="not a training run"):
        runs.can_resume(tmp_path, {}, overwrite=True)


@pytest.mark.parametrize("command", ["train", "evaluate", "export"])
def test_an_unknown_flag_is_wrong_usage(command, capsys):
    with pytest.raises(SystemExit) as exit_info:
        main([command, "--no-such-flag"])
    assert exit_info.value.code == 2


def test_a_setting_out_of_bounds_names_its_flag(capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(["train", "--data", "x", "--out", "y", "--epochs", "0"])
    assert exit_info.value.code == 2
    assert "--epochs is 0" in capsys.readouterr().err


def test_missing_shards_fail_with_one_line(tmp_path, capsys):
    assert main(["train", "--data", str(tmp_path), "--out", str(tmp_path / "run")]) == 1
    assert "Run `dfdetect preprocess` first" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_metrics_of_known_scores():
    got = score_metrics(LabelledScores.of([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9]))
    assert got.confusion_matrix == ((1, 1), (1, 1))
    assert {got.value(metric) for metric in (ACCURACY, PRECISION, RECALL, F1)} == {0.5}
    assert got.value(ROC_AUC) == 0.75


def test_metrics_of_one_class_are_none_where_undefined():
    got = score_metrics(LabelledScores.of([0, 0], [0.1, 0.2]))
    assert got.value(ROC_AUC) is None and got.value(PRECISION) is None
    assert got.value(ACCURACY) == 1.0
    json.dumps(got.values, allow_nan=False)


def test_scores_that_are_not_numbers_are_refused():
    with pytest.raises(ValueError, match="not finite"):
        LabelledScores.of([0, 1], [0.5, float("nan")])


def test_evaluation_writes_metrics_predictions_and_a_report(run, data, tmp_path):
    evaluation = evaluate.evaluate(run, data, tmp_path)
    write_report(tmp_path, evaluation)
    got = evaluation.result
    assert json.loads((tmp_path / "metrics.json").read_text()) == got.to_dict()
    assert got.video.videos == COUNTS["test"]
    assert np.sum(got.video.confusion_matrix) == COUNTS["test"]
    assert list(got.methods) == ["Swap"]
    lines = (tmp_path / "predictions.csv").read_text().splitlines()
    assert len(lines) == COUNTS["test"] + 1
    page = (tmp_path / "report.html").read_text()
    assert SAMPLE_NOTE in page
    assert page.count("data:image/png;base64,") == 3 and "http" not in page


def test_a_keras_file_can_be_evaluated_too(run, data, tmp_path, capsys):
    arguments = ["--data", str(data), "--out", str(tmp_path), "--split", "val"]
    assert main(["evaluate", "--model", str(run / "model.keras"), *arguments]) == 0
    assert "report:" in capsys.readouterr().out


def test_exports_are_numbered_and_leave_no_temporary_folder(run, tmp_path, unchecked):
    (tmp_path / "m" / "1").mkdir(parents=True)
    assert main(["export", "--run", str(run), "--out", str(tmp_path), "--name", "m"]) == 0
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["1", "2"]


def test_an_unfinished_run_is_not_exported(tmp_path):
    with pytest.raises(FileNotFoundError, match="finish `dfdetect train` first"):
        export.export(tmp_path, tmp_path)


# Runs in a process of its own, which knows nothing of this package.
CLIENT = """
import pickle, sys
import tensorflow as tf

folder, given, answer = sys.argv[1:]
with open(given, "rb") as handle:
    requests = pickle.load(handle)
model = tf.saved_model.load(folder)
result = {}
for name, inputs in requests.items():
    outputs = model.signatures[name](**{k: tf.constant(v) for k, v in inputs.items()})
    result[name] = {key: value.numpy() for key, value in outputs.items()}
assert not {"trainer", "pipelines", "serving"} & set(sys.modules)
with open(answer, "wb") as handle:
    pickle.dump(result, handle)
"""


@pytest.mark.parametrize("onednn", ["1", pytest.param("0", marks=pytest.mark.slow)])
def test_the_saved_model_runs_without_this_package(run, data, saved, tmp_path, onednn):
    clips = list(read_clips(ClipDataset.open(data), "test").take(3).as_numpy_iterator())
    records, images = {}, {}
    for shard in ClipDataset.open(data).shards("test"):
        for record in tf.data.TFRecordDataset(str(shard.path)).as_numpy_iterator():
            video, clip, _ = schema.parse(record)
            records[video.key] = record
            images[video.key] = (clip.images + [b""] * T)[:T]
    keys = [clip["video"].decode() for clip in clips]
    batch = {name: np.stack([clip[name] for clip in clips]) for name in ("clips", "mask")}
    requests = {
        "serving_default": {"frames": [images[key] for key in keys]},
        "tensors": batch,
        "examples": {"examples": [records[key] for key in keys]},
        "config": {"query": [b""]},
    }
    (tmp_path / "in").write_bytes(pickle.dumps(requests))
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, str(saved), "in", "out"],
        cwd=tmp_path,
        env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": onednn, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answers = pickle.loads((tmp_path / "out").read_bytes())
    expected = load_model(run / "model.keras")(batch, training=False)
    for name in ("serving_default", "tensors", "examples"):
        got = answers[name]
        np.testing.assert_allclose(got["logit"], expected["logit"], atol=1e-4)
        np.testing.assert_allclose(
            got["probability_fake"], tf.sigmoid(expected["logit"]), atol=1e-4
        )
        assert got["frame_probability"].shape == (3, T)
    facts = json.loads(answers["config"]["preprocess_json"][0])
    assert PreprocessConfig.from_dict(facts["config"]).fingerprint == facts["fingerprint"]
    assert json.loads((saved / "assets.extra" / "preprocess.json").read_text()) == facts
    uncalibrated = {
        "real_below": 0.4,
        "fake_above": 0.6,
        "search_cost": 1.0,
        "calibration": None,
    }
    assert json.loads(answers["config"]["verdict_json"][0]) == uncalibrated


def test_a_served_clip_without_any_frame_is_an_error(saved):
    model = tf.saved_model.load(str(saved))
    with pytest.raises(tf.errors.InvalidArgumentError, match="holds no frame at all"):
        model.signatures["serving_default"](frames=tf.constant([[""] * T]))


def images_of(data) -> list[bytes]:
    """The encoded crops of a clip of the test split, as many as the model takes."""
    (shard, *_) = ClipDataset.open(data).shards("test")
    record = next(tf.data.TFRecordDataset(str(shard.path)).as_numpy_iterator())
    return (schema.parse(record)[1].images + [b""] * T)[:T]


def test_a_served_clip_may_be_shorter_and_is_scored_as_if_padded(saved, data):
    call = tf.saved_model.load(str(saved)).signatures["serving_default"]
    images = images_of(data)
    short = call(frames=tf.constant([images[:2]]))
    padded = call(frames=tf.constant([[*images[:2], *[b""] * (T - 2)]]))
    assert short["frame_probability"].shape == (1, 2)
    np.testing.assert_array_equal(short["logit"], padded["logit"])
    np.testing.assert_array_equal(short["frame_probability"], padded["frame_probability"][:, :2])


def test_a_served_clip_with_more_frames_than_trained_is_an_error(saved, data):
    model = tf.saved_model.load(str(saved))
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"more frames than the {T}"):
        model.signatures["serving_default"](frames=tf.constant([images_of(data) + [b""]]))


def test_an_export_that_fails_its_check_leaves_nothing(run, tmp_path, monkeypatch):
    def wrong(*given):
        raise ExportError("off by 1")

    monkeypatch.setattr(export, "check_outputs", wrong)
    with pytest.raises(ExportError, match="off by 1"):
        export.export(run, tmp_path)
    assert list((tmp_path / "dfdetect").iterdir()) == []


def test_every_request_that_warms_a_server_up_is_answered(saved):
    """TensorFlow Serving refuses a model if one of them fails."""
    from tensorflow_serving.apis import prediction_log_pb2

    signatures = tf.saved_model.load(str(saved)).signatures
    asked = set()
    for record in tf.data.TFRecordDataset(
        str(saved / "assets.extra" / "tf_serving_warmup_requests")
    ).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        inputs = {key: tf.constant(tf.make_ndarray(value)) for key, value in request.inputs.items()}
        outputs = signatures[request.model_spec.signature_name](**inputs)
        assert request.model_spec.name == "dfdetect" and outputs
        asked.add(request.model_spec.signature_name)
    assert asked == set(signatures)


def test_an_export_without_the_protocols_messages_says_so(
    run, tmp_path, monkeypatch, capsys, unchecked
):
    for module in ("export", "warmup"):  # the command asks the second
        monkeypatch.setattr(f"trainer.exporting.{module}.can_write_warmup", lambda: False)
    assert main(["export", "--run", str(run), "--out", str(tmp_path)]) == 0
    assert "without requests to warm a server up" in capsys.readouterr().out
    assert not (
        tmp_path / "dfdetect" / "1" / "assets.extra" / "tf_serving_warmup_requests"
    ).exists()
