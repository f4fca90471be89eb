"""Exports for other engines in this process: the verdicts are those of the SavedModel."""

import csv
import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from dfdetect.__main__ import main
from pipelines.exported_model import ExportedModel
from serving.batch.score import _identity
from serving.client import InvalidRequest, ModelServerError, ModelSource, load_model
from trainer.exporting.verify import encoded, example_inputs


@pytest.fixture(scope="module")
def model(engine_export):
    return load_model(engine_export)


@pytest.fixture(scope="module")
def clips() -> list[list[bytes]]:
    (frames,) = encoded(example_inputs(4, 48)).values()
    return [clip.tolist() for clip in frames] * 5  # of two batches


def test_the_same_probabilities_as_the_saved_model(model, exported_model, clips):
    for found, expected in zip(model.predict(clips), exported_model.predict(clips), strict=True):
        assert found.probability_fake == pytest.approx(expected.probability_fake, abs=1e-4)
        assert found.frame_probability == pytest.approx(expected.frame_probability, abs=1e-4)


def test_it_says_of_itself_what_the_saved_model_says(model, exported_model, engine_export):
    assert model.config() == exported_model.config()
    assert model.version() == f"dfdetect/{engine_export.name}"
    assert load_model(engine_export, name="mine").version() == f"mine/{engine_export.name}"


def test_a_clip_shorter_than_the_models_is_filled_up(model, exported_model, clips):
    short = [clips[0][:2]]
    (found,), (expected,) = model.predict(short), exported_model.predict(short)
    assert found.probability_fake == pytest.approx(expected.probability_fake, abs=1e-4)
    assert len(found.frame_probability) == 2


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        ([b"", b"", b"", b""], "A clip holds no frame at all"),
        ([b"no image"], "no JPEG or PNG image"),
        ([b""] * 5, "has 5 frames; the model takes up to 4"),
    ],
)
def test_what_the_saved_model_refuses_is_refused(model, exported_model, clip, message):
    with pytest.raises(InvalidRequest, match=message):
        model.predict([clip])
    with pytest.raises(InvalidRequest):
        exported_model.predict([clip])


def test_heat_maps_are_the_saved_models(model, clips):
    with pytest.raises(InvalidRequest, match="'explain'; only the SavedModel has it"):
        model.explain(clips[:1])


def test_warming_up_needs_no_clip(model):
    model.warm_up()


def test_predict_gives_the_verdict_of_the_saved_model(
    engine_export, exported_judge, sample, tmp_path, capsys
):
    video = next(sample.rglob("*.mp4"))
    judge = shutil.copytree(engine_export, tmp_path / "dfdetect" / engine_export.name)
    facts = judge / "assets.extra" / "facts.json"
    facts.write_text(json.dumps({**json.loads(facts.read_text()), "sample_data": False}))
    rows = []
    for folder in (judge, exported_judge):
        table, reports = tmp_path / "a.csv", tmp_path / f"reports-{folder.name}"
        argv = [str(video), "--model", str(folder), "--csv", str(table)]
        assert main(["predict", *argv, "--out-report", str(reports)]) == 0
        rows += csv.DictReader(table.read_text().splitlines())
        assert len(list(reports.glob("*.html"))) == 1
    found, expected = rows
    assert found.pop("model") == f"dfdetect/{engine_export.name}"
    assert expected.pop("model") == "dfdetect/1"
    score, theirs = (float(row.pop("probability_fake")) for row in (found, expected))
    assert score == pytest.approx(theirs, abs=1e-4)
    assert found["verdict"] == expected["verdict"] != "DEMO"
    assert found["fingerprint"] == expected["fingerprint"]


def test_score_gives_the_score_of_the_saved_model(engine_export, exported, sample, tmp_path):
    video = next(sample.rglob("*.mp4"))
    scores = []
    for folder in (engine_export, exported):
        out = tmp_path / folder.name
        argv = ["--input", str(video), "--model", str(folder), "--output", str(out)]
        assert main(["score", *argv]) == 0
        (line,) = next(out.glob("scores-*.jsonl")).read_text().splitlines()
        scores.append(json.loads(line)["probability_fake"])
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)


def test_two_exports_of_the_same_size_are_told_apart(engine_export, tmp_path):
    """Or `score` would go on with what another model scored."""
    other = shutil.copytree(engine_export, tmp_path / engine_export.name)
    sources = [ModelSource((str(folder),)) for folder in (engine_export, other)]
    assert _identity(sources[0]) == _identity(sources[1])
    digests = other / "assets.extra" / "sha256.json"
    text = digests.read_text()
    changed = text.replace(text[-5], "0" if text[-5] != "0" else "1")
    digests.write_text(changed)
    assert len(changed) == len(text)
    assert _identity(sources[0]) != _identity(sources[1])


def test_without_the_engine_it_says_what_to_install(engine_export, monkeypatch):
    name = ExportedModel(engine_export).format
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelServerError, match=rf"pip install 'dfdetect\[{name}\]'"):
        load_model(engine_export)


def a_byte_changed(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (a_byte_changed, "was changed since its export: its SHA-256 is .* says .* export the"),
        (Path.unlink, "is missing; .*sha256.json lists it. .* export the model again"),
    ],
)
def test_every_file_that_was_changed_or_is_missing_is_named(
    engine_export, tmp_path, damage, message
):
    names = json.loads((engine_export / "assets.extra" / "sha256.json").read_text())
    graph = {"openvino": "model.xml", "onnx": "model.onnx"}[ExportedModel(engine_export).format]
    for name in names.keys() - ({graph} if damage is Path.unlink else set()):
        copy = shutil.copytree(engine_export, tmp_path / name.replace("/", "-"))
        damage(copy / name)
        with pytest.raises(ModelServerError, match=f"{name} {message}"):
            load_model(copy)


@pytest.mark.parametrize("text", [None, "", "[1]", "{}"])
def test_an_export_that_cannot_be_checked_is_refused(engine_export, tmp_path, text):
    copy = shutil.copytree(engine_export, tmp_path / "copy")
    digests = copy / "assets.extra" / "sha256.json"
    digests.unlink() if text is None else digests.write_text(text)
    with pytest.raises(ModelServerError, match="sha256.json (cannot be read|says None)"):
        load_model(copy)


def test_evaluate_refuses_a_changed_export_in_a_sentence(
    engine_export, sample_shards, tmp_path, capsys
):
    copy = shutil.copytree(engine_export, tmp_path / "copy")
    a_byte_changed(next(copy.glob("model.*")))
    argv = ["--model", str(copy), "--data", str(sample_shards), "--out", str(tmp_path / "out")]
    assert main(["evaluate", *argv]) == 1
    assert "was changed since its export" in capsys.readouterr().err
