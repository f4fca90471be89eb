"""Evaluation of a trained model: metrics.json, tables, report and what is refused."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import shutil
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import tensorflow as tf

from dfdetect.__main__ import main
from pipelines.config import PreprocessConfig
from pipelines.shards.open import ClipDataset
from tests.fixtures import ROOT
from tests.fixtures.scored_videos import DATASET
from trainer.evaluation import evaluate, robustness
from trainer.evaluation.measured_model import load_detector
from trainer.evaluation.metrics import BRIER, ROC_AUC
from trainer.evaluation.predictions import predict, unscored_videos
from trainer.evaluation.result import SCHEMA, EvaluationResult
from trainer.input.clips import read_clips
from trainer.report.notes import leakage_line
from trainer.report.render import write_report
from trainer.run import Run


@pytest.fixture(scope="module")
def data(tmp_path_factory, sample_shards) -> Path:
    """The sample shards, with one video of the test split that had no face and one unreadable."""
    copy = tmp_path_factory.mktemp("copy") / "data"
    shutil.copytree(sample_shards, copy)
    with (copy / "manifest.csv").open("a", newline="") as manifest:
        for name in ("lost", "broken"):
            manifest.write(f"/{name}.mp4,fake,{name},faceforensics,Swap,a;b,a,test,c23\n")
    lines = [
        {
            "video": f"faceforensics/{name}",
            "uri": "",
            "reason": reason,
            "stage": stage,
            "detail": "",
        }
        for name, reason, stage in (
            ("lost", "no_face", "faces"),
            ("broken", "unreadable", "decode"),
            ("test_twin", "duplicate", "dataset"),  # was known before the videos were split
        )
    ]
    (copy / "rejects.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return copy


@pytest.fixture(scope="module")
def report(tmp_path_factory, trained_run, data) -> Path:
    out = tmp_path_factory.mktemp("evaluation")
    assert (
        main(["evaluate", "--run", str(trained_run), "--data", str(data), "--out", str(out)]) == 0
    )
    return out


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_metrics_hold_null_and_never_nan(report):
    text = (report / "metrics.json").read_text()
    assert "NaN" not in text and "Infinity" not in text
    assert json.loads(text)["schema"] == SCHEMA


def test_metrics_follow_the_published_json_schema_and_are_read_as_written(report):
    values = json.loads((report / "metrics.json").read_text())
    schema = json.loads((ROOT / "docs" / "metrics.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(values, schema)
    assert EvaluationResult.from_dict(values).to_dict() == values


def test_a_video_without_a_face_is_counted_and_an_unreadable_one_is_named(report, data):
    got = json.loads((report / "metrics.json").read_text())
    assert got["verdicts"]["counts"]["fake"]["NO_FACE"] == 1
    assert got["unusable"] == {"unreadable": 1} and got["no_face_known"]
    assert got["verdicts"]["videos"] == got["video"]["count"] + 1
    rows = read_csv(report / "predictions.csv")
    assert [r["id"] for r in rows if r["verdict"] == "NO_FACE"] == ["lost"]
    assert len(rows) == got["verdicts"]["videos"]
    (slice_,) = [s for s in got["slices"]["method"] if s["name"] == "Swap"]
    assert slice_["no_face"] == 1 and slice_["not_defined"]


def test_predictions_say_what_serving_would_have_said(report, trained_run, data):
    model = Run.open(trained_run).model
    expected: dict[str, float] = {}
    for item in read_clips(ClipDataset.open(data), "test").batch(1):
        logit = model({"clips": item["clips"], "mask": item["mask"]}, training=False)["logit"]
        expected[item["video"][0].numpy().decode()] = float(tf.sigmoid(logit)[0])
    rows = read_csv(report / "predictions.csv")
    got = {f"{r['dataset']}/{r['id']}": r for r in rows if r["verdict"] != "NO_FACE"}
    assert got.keys() == expected.keys()
    for key, row in got.items():
        assert float(row["probability_fake"]) == pytest.approx(expected[key], abs=0.01)  # bfloat16
        assert float(row["face_px"]) > 20 and float(row["end_s"]) > float(row["start_s"])


def test_the_page_asks_nothing_of_others_and_begins_with_the_leakage(report):
    page = (report / "report.html").read_text()
    assert not re.search(r"(?:src|href)=\"(?!data:)|url\(|@import|<script|<link", page)
    assert "http" not in page
    values = json.loads((report / "metrics.json").read_text())
    line = leakage_line(EvaluationResult.from_dict(values).leakage)
    body = page[page.index("<body>") + 6 :].strip()
    assert line in body.splitlines()[0]
    assert (report / "report.md").read_text().splitlines()[0] == line


def test_both_reports_hold_the_same_figures(report):
    page, text = ((report / name).read_text() for name in ("report.html", "report.md"))
    cells = re.findall(r"<td>([^<]+)</td>", page)
    assert len(cells) > 100
    assert [cell for cell in cells if cell.replace("&#39;", "'") not in text] == []


def test_a_saved_model_is_measured_like_the_run_it_was_made_of(report, exported, data, tmp_path):
    got = evaluate.evaluate(exported.parent, data, tmp_path).result
    run = json.loads((report / "metrics.json").read_text())
    assert got.video.value(BRIER) == pytest.approx(run["video"]["brier"], abs=1e-3)
    assert got.fingerprint_checked


def test_robustness_scores_each_condition_on_the_same_videos(
    trained_run, data, tmp_path, monkeypatch
):
    chosen = robustness.CONDITIONS[:1] + robustness.CONDITIONS[-1:]
    monkeypatch.setattr(evaluate, "CONDITIONS", chosen)
    evaluation = evaluate.evaluate(trained_run, data, tmp_path, robustness=True)
    write_report(tmp_path, evaluation)
    got = evaluation.result
    rows = got.robustness.conditions
    assert [row.label for row in rows] == [c.label for c in chosen]
    assert all(0 <= row.roc_auc <= 1 and len(row.interval) == 2 for row in rows)
    assert got.robustness.clean.roc_auc == got.video.value(ROC_AUC)
    assert (tmp_path / "robustness.png").is_file()


def test_several_splits_and_data_sets_are_measured_apart(trained_run, data, tmp_path):
    got = evaluate.evaluate(trained_run, data, tmp_path, split=["val", "test"]).result
    assert [part.name for part in got.slices.split] == ["test", "val"]
    assert got.split == "val + test"
    with pytest.raises(ValueError, match="give each data set once"):
        evaluate.evaluate(trained_run, [data, data], tmp_path)


def test_a_video_in_two_data_sets_is_refused(trained_run, data, tmp_path):
    shutil.copytree(data, tmp_path / "copy")
    with pytest.raises(ValueError, match="give each video once"):
        evaluate.evaluate(trained_run, [data, tmp_path / "copy"], tmp_path / "out")


def _without_split(data: Path, split: str) -> None:
    info = json.loads((data / "dataset_info.json").read_text())
    info["shards"] = {n: f for n, f in info["shards"].items() if not n.startswith(split)}
    info["splits"][split]["clips"] = 0
    (data / "dataset_info.json").write_text(json.dumps(info))


def _shard(data: Path) -> Path:
    return max(data.glob("test-*.tfrecord"), key=lambda path: path.stat().st_size)


def _flip_a_bit(shard: Path) -> None:
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)


def _other_crops(data: Path) -> None:
    info = json.loads((data / "dataset_info.json").read_text())
    config = PreprocessConfig.from_dict({**info["config"], "margin": 0.5})
    info.update(config=config.to_dict(), fingerprint=config.fingerprint)
    (data / "dataset_info.json").write_text(json.dumps(info))


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda data: _without_split(data, "test"), "has no test clips; there are clips of"),
        (_other_crops, "the model was trained on crops of"),
        (lambda data: (data / "rejects.jsonl").write_text("{"), "rejects.jsonl is not what"),
        (lambda data: (data / "dataset_info.json").unlink(), "Run `dfdetect preprocess` first"),
        (lambda data: _shard(data).write_bytes(b""), "has 0 bytes, dataset_info.json says"),
        (lambda data: _flip_a_bit(_shard(data)), "a record is damaged or missing"),
    ],
)
def test_data_that_cannot_be_measured_fails_with_one_line(
    damage, message, trained_run, data, tmp_path, capsys
):
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    damage(copy)
    arguments = ["--run", str(trained_run), "--data", str(copy), "--out", str(tmp_path / "out")]
    assert main(["evaluate", *arguments]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_model_that_gives_no_number_is_refused_with_the_video_named(trained_run, data):
    whole = load_detector(trained_run)

    def predict_nothing(clips, mask):
        scores = whole.predict(clips, mask)
        first = np.arange(len(scores.logit)) == 1
        return scores._replace(probability_fake=np.where(first, np.nan, scores.probability_fake))

    broken = dataclasses.replace(whole, predict=predict_nothing)
    with pytest.raises(ValueError, match=r"P\(fake\) of a clip of faceforensics/\S+ is nan"):
        predict(broken, [ClipDataset.open(data)], ["test"])


def test_an_out_that_is_no_folder_is_refused_before_the_work(trained_run, data, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        arguments = ["--run", str(trained_run), "--data", str(data), "--out", str(out)]
        assert main(["evaluate", *arguments]) == 1
        assert "file is not a folder that can be written to" in capsys.readouterr().err


def test_what_is_no_model_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="finish `dfdetect train` first"):
        load_detector(tmp_path)


def test_without_a_list_of_videos_those_without_a_face_are_not_known(tmp_path):
    assert unscored_videos(dataclasses.replace(DATASET, folder=tmp_path), "test") is None


@pytest.mark.parametrize("arguments", [["--split", "all"], ["--seed", "-1"]])
def test_wrong_usage_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(["evaluate", "--run", "r", "--data", "d", "--out", "o", *arguments])
    assert exit_info.value.code == 2
