"""A model's scores to metrics, slices and a report."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from dfdetect.__main__ import main
from pipelines.clip import FAKE, ORIGINAL, REAL, Video
from pipelines.verdict import Thresholds, Verdict, decide
from trainer.evaluation import evaluate
from trainer.evaluation.bootstrap import Bootstrap
from trainer.evaluation.measured_model import Detector, load_detector
from trainer.evaluation.predictions import Predictions, predict, unscored_videos
from trainer.evaluation.result import SCHEMA, measure, verdicts
from trainer.evaluation.scored import ScoredClip, ScoredVideo, group_clips, rescore, score_videos
from trainer.evaluation.slices import slices
from trainer.leakage import Seen, hash_key, leakage
from trainer.report.model_card import model_card
from trainer.report.notes import leakage_line
from trainer.report.render import render, write_report

THRESHOLDS = Thresholds(0.4, 0.6)
BOOTSTRAP = Bootstrap(50)
INFO = {
    "fingerprint": "f00d",
    "config": {"frames_per_clip": 2, "crop_size": 32},
    "splits": {},
    "dataset": "ff",
}


def video(id: str, method: str = ORIGINAL, dataset: str = "ff", **facts) -> Video:
    label = REAL if method == ORIGINAL else FAKE
    return Video(id, "", label, dataset, method, **{"compression": "c23", "split": "test", **facts})


def clip(of: Video, score: float, track: int = 0, data: int = 0, frames: int = 4) -> ScoredClip:
    return ScoredClip(
        of, data, 0, track, 0, score, np.arange(frames) / 2.0, np.full(frames, score), 100.0
    )


def scored(of: Video, score: float | None, face_px: float | None = 100.0) -> ScoredVideo:
    return ScoredVideo(of, 0, score, decide(score, THRESHOLDS), face_px=face_px)


def predictions(clips: list[ScoredClip], faceless: list[ScoredVideo] | None = None) -> Predictions:
    videos = score_videos(clips, THRESHOLDS) + (faceless or [])
    nothing = np.zeros((0, len(clips)))
    return Predictions(("data",), (INFO,), ("test",), clips, videos, True, {}, (), nothing)


def detector(tmp_path: Path, **config) -> Detector:
    return Detector("run", lambda *_: None, THRESHOLDS, None, config, tmp_path, "f00d", (2, 32))


@pytest.fixture
def measured(tmp_path) -> dict:
    """Figures of 40 videos of 20 sources, two of them judged wrongly."""
    rng = np.random.default_rng(0)
    clips = []
    for i in range(20):
        real, fake = 0.3 * rng.random(), 0.7 + 0.3 * rng.random()
        swapped = i in (0, 1)
        clips.append(clip(video(f"{i}", source_id=f"{i}"), fake if swapped else real))
        clips.append(clip(video(f"{i}_x", "Swap", source_id=f"{i}"), fake))
    return measure(detector(tmp_path), predictions(clips), BOOTSTRAP)


def test_methods_that_name_their_videos_alike_are_never_merged():
    methods = (ORIGINAL, "Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
    clips = [clip(video("000_003", m, compression=c), 0.5) for m in methods for c in ("c23", "c40")]
    assert len(group_clips(clips)) == 10
    assert len(score_videos(clips, THRESHOLDS)) == 10


def test_a_video_is_scored_as_serving_scores_it():
    of = video("a", "Swap")
    clips = [clip(of, 0.2), clip(of, 0.4), clip(of, 0.5, track=1), clip(of, 0.9, track=1)]
    (got,) = score_videos(clips, THRESHOLDS)
    assert got.score == pytest.approx(0.7) and got.verdict == Verdict.FAKE
    assert (got.tracks, got.frames, got.clips) == (2, 16, (0, 1, 2, 3))
    probabilities = np.array([1.0, 0.8, 0.0, 0.0])
    assert rescore([got], clips, probabilities, THRESHOLDS) == [pytest.approx(0.9)]


def test_a_video_whose_clips_hold_no_face_gets_no_score():
    clips = [clip(video("a"), 0.9, frames=0), clip(video("b"), 0.1)]
    first, second = score_videos(clips, THRESHOLDS)
    assert (first.score, first.verdict) == (None, Verdict.NO_FACE)
    assert second.verdict == Verdict.REAL


def test_videos_without_a_verdict_stay_in_the_denominator():
    videos = [scored(video(str(i)), score) for i, score in enumerate([0.1, 0.5, 0.9, None])]
    got = verdicts(videos, THRESHOLDS)
    assert got["counts"]["real"] == {"FAKE": 1, "REAL": 1, "INCONCLUSIVE": 1, "NO_FACE": 1}
    assert got["inconclusive_share"] == got["no_face_share"] == got["correct_share"] == 0.25
    assert got["correct_share_of_decided"] == 0.5 and got["videos"] == 4


def test_a_score_beyond_a_threshold_that_rests_on_too_little_is_counted_and_said(tmp_path):
    """The confusion matrix goes by the score and the verdict does not: the report says so."""
    clips = [clip(video("a"), 0.1), clip(video("b", "Swap"), 0.9, frames=2)]
    got = measure(detector(tmp_path), predictions(clips), BOOTSTRAP)
    assert got["verdicts"]["counts"]["fake"]["INCONCLUSIVE"] == 1
    assert got["video"]["confusion_matrix"] == [[1, 0], [0, 1]]
    assert got["verdicts"]["too_little_evidence"] == 1
    assert "1 of them are INCONCLUSIVE for another reason" in markdown(got)


def markdown(metrics: dict) -> str:
    plots = dict.fromkeys(("roc", "precision_recall", "calibration"), b"")
    crops = [[b"" for _ in error["frames"]] for error in metrics["worst_errors"]]
    return render("report.md", metrics, plots, crops)


def test_fakes_are_compared_with_originals_of_their_data_set_and_compression():
    videos = [
        *(
            scored(video(f"{c}{i}", compression=c), s)
            for c, s in (("c23", 0.1), ("c40", 0.9))
            for i in range(3)
        ),
        *(scored(video(f"f{i}", "Swap"), 0.5) for i in range(3)),
        scored(video("other", dataset="celeb"), 0.9),
    ]
    (got,) = slices(videos, 0.6, BOOTSTRAP)["method"]
    assert (got["name"], got["videos"], got["real"], got["fake"]) == ("ff/Swap", 3, 3, 3)
    assert got["roc_auc"] == 1.0


def test_without_originals_of_a_compression_those_of_another_must_do():
    videos = [scored(video("a", compression="raw"), 0.1), scored(video("b", "Swap"), 0.9)]
    assert slices(videos, 0.6, BOOTSTRAP)["method"][0]["real"] == 1


def test_slices_are_counted_and_small_ones_marked():
    videos = [scored(video(str(i)), 0.1, face_px=50 + i) for i in range(25)]
    videos += [scored(video(f"f{i}", "Swap"), 0.9, face_px=300) for i in range(19)]
    got = slices(videos, 0.6, BOOTSTRAP)
    assert [(p["name"], p["videos"], p["too_small"]) for p in got["face_size"]] == [
        ("under 64 px", 14, True),
        ("64 to 128 px", 11, True),
        ("256 px or more", 19, True),
    ]
    assert got["method"][0]["too_small"] and not got["dataset"][0]["too_small"]
    assert got["face_size"][0]["roc_auc"] is None
    assert got["face_size"][0]["not_defined"] == "there are no fake ones"


def test_a_slice_in_which_nothing_has_a_score_is_stated_as_not_defined():
    videos = [scored(video("a", "Swap"), None), scored(video("b", "Other"), 0.9)]
    got = {part["name"]: part for part in slices(videos, 0.6, BOOTSTRAP)["method"]}
    assert got["Swap"]["not_defined"] == "nothing was scored"
    assert (got["Swap"]["videos"], got["Swap"]["no_face"]) == (1, 1)
    json.dumps(got, allow_nan=False)


def test_videos_without_a_face_do_not_make_a_slice_large_enough():
    videos = [scored(video(f"{i}", "Swap"), 0.9 if i < 19 else None) for i in range(40)]
    (got,) = slices(videos, 0.6, BOOTSTRAP)["method"]
    assert got["videos"] == 40 and got["too_small"]


def test_an_interval_without_width_is_not_left_to_be_taken_for_certainty(measured, tmp_path):
    assert measured["video"]["recall"] == 1 and measured["video"]["roc_auc"] < 1
    assert "3 in n (here n is at most 20)" in markdown(measured)
    clips = [clip(video(f"{i}", "Swap" if i % 2 else ORIGINAL), i * 7 % 10 / 10) for i in range(40)]
    wide = measure(detector(tmp_path), predictions(clips), BOOTSTRAP)
    assert "3 in n" not in markdown(wide)


def test_a_generated_set_never_goes_by_the_name_of_a_published_one_alone(tmp_path):
    info = {**INFO, "problems": ["a generated set"]}
    table = predictions([clip(video("a"), 0.1), clip(video("b", "Swap"), 0.9)])
    config = {
        "sample_data": True,
        "train": {"backbone": "x"},
        "splits": {"train": {"datasets": {"ff": 9}, "videos": 9, "methods": {}}},
    }
    table = dataclasses.replace(table, infos=(info,))
    got = measure(detector(tmp_path, **config), table, BOOTSTRAP)
    assert "| ff (generated) | ff (generated) | yes |" in markdown(got)
    assert "Trained on ff (generated): 9 videos" in markdown(got)
    got["model"]["preprocess"] = {"frames_per_clip": 8, "crop_size": 48}
    _, front, body = model_card(got).split("---\n", 2)
    (result,) = yaml.safe_load(front)["model-index"][0]["results"]
    assert result["dataset"]["name"] == "ff (generated)"
    assert result["dataset"]["type"] == "ff-generated"
    assert "Trained on ff (generated)" in body


def test_data_that_the_model_was_trained_on_alone_are_said_to_tell_nothing_of_others(tmp_path):
    table = predictions([clip(video("a"), 0.1), clip(video("b", "Swap"), 0.9)])
    said = "how it does on them was not measured"
    for trained_on, expected in (("ff", True), ("celeb", False)):
        config = {"splits": {"train": {"datasets": {trained_on: 9}, "videos": 9, "methods": {}}}}
        got = measure(detector(tmp_path, **config), table, BOOTSTRAP)
        assert (said in markdown(got)) == expected


def test_levels_are_measured_each_for_itself(tmp_path):
    of = video("b", "Swap")
    clips = [clip(video("a"), 0.1), clip(of, 0.3), clip(of, 0.9, frames=5)]
    got = measure(detector(tmp_path), predictions(clips), BOOTSTRAP)
    assert [got[level]["count"] for level in ("frame", "clip", "video")] == [13, 3, 2]
    assert got["clip"]["recall"] == 0.5 and got["video"]["recall"] == 1.0  # mean 0.6
    assert got["frame"]["recall"] == pytest.approx(5 / 9)


def test_each_data_set_has_a_row_that_says_whether_the_model_was_trained_on_it(tmp_path):
    clips = [
        clip(video(f"{i}", method, dataset), 0.1 * i, data=number)
        for number, dataset in enumerate(("ff", "celeb"))
        for i, method in enumerate((ORIGINAL, "Swap", ORIGINAL, "Swap"))
    ]
    table = dataclasses.replace(predictions(clips), folders=("x", "y"), infos=(INFO, INFO))
    config = {"splits": {"train": {"datasets": {"ff": 9}, "videos": 9, "methods": {}}}}
    got = measure(detector(tmp_path, **config), table, BOOTSTRAP)
    rows = [
        (r["data"], r["tested_on"], r["seen_dataset"], r["roc_auc"]) for r in got["cross_dataset"]
    ]
    assert rows == [("x", ["ff"], True, 0.75), ("y", ["celeb"], False, 0.75)]
    assert all(row["trained_on"] == ["ff"] for row in got["cross_dataset"])
    assert list(got["methods"]) == ["celeb/Swap", "ff/Swap"]
    crops = [[b"" for _ in error["frames"]] for error in got["worst_errors"]]
    write_report(tmp_path, got, table.scored, crops)
    assert "celeb/Swap" in (tmp_path / "report.md").read_text()


def test_figures_of_one_class_alone_are_null_with_a_reason(tmp_path):
    clips = [clip(video(str(i), "Swap"), 0.1 * i) for i in range(5)]
    got = measure(detector(tmp_path), predictions(clips), BOOTSTRAP)
    assert got["video"]["roc_auc"] is None and got["video"]["recall"] is not None
    json.dumps(got, allow_nan=False)
    plots = dict.fromkeys(("roc", "precision_recall", "calibration"), b"")
    crops = [[b"" for _ in error["frames"]] for error in got["worst_errors"]]
    page = render("report.html", got, plots, crops)
    assert "there are no real ones" in page and ">nan" not in page


def test_leaks_are_counted_by_hash_within_a_data_set():
    def hashes(kind, *names):
        return frozenset(hash_key(kind, "ff", name) for name in names)

    seen = Seen(hashes("video", "a"), hashes("source", "s", "t"), hashes("identity", "Ann"))
    facts = {"source_id": "s", "identities": ("Ann", "Bob")}
    videos = [scored(video("a", **facts), 0.1), scored(video("b", "Swap", **facts), 0.9)]
    got = leakage(seen, videos)
    assert got == {
        "known": True,
        "videos": {"seen": 1, "of": 2},
        "sources": {"seen": 1, "of": 1},
        "identities": {"seen": 1, "of": 2},
    }
    assert leakage_line(got).startswith("LEAKAGE: 1 of 2 videos, 1 of 1 sources and 1 of 2 ident")
    elsewhere = [scored(video("a", dataset="celeb", **facts), 0.1)]
    assert leakage(seen, elsewhere)["videos"]["seen"] == 0


def test_a_model_without_a_record_of_its_training_is_not_called_free_of_leaks():
    got = leakage(None, [scored(video("a"), 0.1)])
    assert not got["known"] and got["videos"]["seen"] is None
    assert leakage_line(got).startswith("Leakage not known")


def test_of_what_has_no_name_it_is_not_said_that_none_was_seen():
    seen = Seen(frozenset({"x"}), frozenset({"y"}), frozenset())
    nameless = leakage(seen, [scored(video("a", source_id="s"), 0.1)])
    unnamed_training = leakage(seen, [scored(video("a", identities=("Ann",)), 0.1)])
    assert unnamed_training["identities"] == {"seen": None, "of": 1}
    assert leakage_line(nameless) == (
        "No leakage found: 0 of 1 videos and 0 of 1 sources were seen in training; of identities "
        "that is not known: the training or these data name none."
    )
    assert "of sources and identities that is not known" in leakage_line(unnamed_training)


def test_the_worst_errors_are_the_most_certain_and_only_wrong_verdicts(measured):
    errors = measured["worst_errors"]
    assert [error["video"] for error in errors] and {error["truth"] for error in errors} == {"real"}
    assert len(errors) == 2 and all(error["verdict"] == "FAKE" for error in errors)
    assert errors[0]["probability_fake"] >= errors[1]["probability_fake"]
    assert (errors[0]["start_s"], errors[0]["end_s"]) == (0.0, 1.5)


def test_a_model_card_has_front_matter_with_the_video_figures(measured):
    card = model_card(measured, "detector")
    _, front, body = card.split("---\n", 2)
    facts = yaml.safe_load(front)
    assert facts["library_name"] == "keras"
    (result,) = facts["model-index"][0]["results"]
    values = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert values["roc_auc"] == measured["video"]["roc_auc"]
    assert "nan" not in front.lower() and "null" not in front
    assert leakage_line(measured["leakage"]) in body and "## Limits" in body


def test_a_bar_in_a_name_does_not_break_the_table_of_a_model_card(tmp_path):
    clips = [clip(video("a"), 0.1), clip(video("b", "Swap|2"), 0.9)]
    got = measure(detector(tmp_path), predictions(clips), BOOTSTRAP)
    assert "| Swap\\|2 (too few videos) |" in model_card(got)


def test_a_model_card_without_figures_says_so():
    assert "not evaluated" in model_card(None)


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
    import tensorflow as tf

    from trainer.input.clips import clips_dataset
    from trainer.trained_model import load_run

    model, _ = load_run(trained_run)
    expected: dict[str, float] = {}
    for item in clips_dataset(data, "test").batch(1):
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
    metrics = json.loads((report / "metrics.json").read_text())
    line = leakage_line(metrics["leakage"])
    body = page[page.index("<body>") + 6 :].strip()
    assert line in body.splitlines()[0]
    assert (report / "report.md").read_text().splitlines()[0] == line


def test_both_reports_hold_the_same_figures(report):
    page, text = ((report / name).read_text() for name in ("report.html", "report.md"))
    cells = re.findall(r"<td>([^<]+)</td>", page)
    assert len(cells) > 100
    assert [cell for cell in cells if cell.replace("&#39;", "'") not in text] == []


def test_a_saved_model_is_measured_like_the_run_it_was_made_of(report, exported, data, tmp_path):
    got = evaluate.evaluate(exported.parent, data, tmp_path)
    run = json.loads((report / "metrics.json").read_text())
    assert got["video"]["brier"] == pytest.approx(run["video"]["brier"], abs=1e-3)
    assert got["fingerprint_checked"]


def test_robustness_scores_each_condition_on_the_same_videos(
    trained_run, data, tmp_path, monkeypatch
):
    from trainer.evaluation import robustness

    chosen = robustness.CONDITIONS[:1] + robustness.CONDITIONS[-1:]
    monkeypatch.setattr(evaluate, "_conditions", lambda wanted: chosen if wanted else ())
    got = evaluate.evaluate(trained_run, data, tmp_path, robustness=True)
    rows = got["robustness"]["conditions"]
    assert [row["label"] for row in rows] == [c.label for c in chosen]
    assert all(0 <= row["roc_auc"] <= 1 and len(row["interval"]) == 2 for row in rows)
    assert got["robustness"]["clean"]["roc_auc"] == got["video"]["roc_auc"]
    assert (tmp_path / "robustness.png").is_file()


def test_several_splits_and_data_sets_are_measured_apart(trained_run, data, tmp_path):
    got = evaluate.evaluate(trained_run, data, tmp_path, split=["val", "test"])
    assert [part["name"] for part in got["slices"]["split"]] == ["test", "val"]
    assert got["split"] == "val + test"
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
    from pipelines.config import PreprocessConfig

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
        (lambda data: (data / "dataset_info.json").unlink(), "run `dfdetect preprocess` first"),
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
        scores, of_frames = whole.predict(clips, mask)
        return np.where(np.arange(len(scores)) == 1, np.nan, scores), of_frames

    broken = dataclasses.replace(whole, predict=predict_nothing)
    with pytest.raises(ValueError, match=r"P\(fake\) of a clip of faceforensics/\S+ is nan"):
        predict(broken, [data], ["test"])


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
    assert unscored_videos(tmp_path, "test") is None


@pytest.mark.parametrize("arguments", [["--split", "all"], ["--seed", "-1"]])
def test_wrong_usage_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(["evaluate", "--run", "r", "--data", "d", "--out", "o", *arguments])
    assert exit_info.value.code == 2
