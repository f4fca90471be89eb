"""Exports for OpenVINO and ONNX Runtime; those that need an engine are skipped without it."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path

import keras
import numpy as np
import pytest

from dfdetect.__main__ import main
from pipelines.exported_model import ExportedModel
from pipelines.inference_engines import InferenceEngineError, load_engine, require_packages
from trainer.config import TrainConfig
from trainer.errors import ExportError
from trainer.evaluation.measured_model import load_detector
from trainer.exporting import inference_engines
from trainer.exporting.portable import tensors_function
from trainer.exporting.serving_model import Network
from trainer.exporting.source import Source
from trainer.exporting.verify import example_inputs
from trainer.model.config import TEMPORALS
from trainer.model.detector import build_model
from trainer.run import Run

T, SIDE = 3, 16
CLIPS = example_inputs(T, SIDE)


@pytest.fixture(params=["openvino", "onnx"])
def format(request) -> str:
    try:
        require_packages(request.param, inference_engines.EXPORTS[request.param].packages)
    except InferenceEngineError as error:
        pytest.skip(str(error))
    return request.param


def test_the_export_says_what_the_model_says(engine_export, trained_run):
    clips = example_inputs(4, 48)
    outputs = ExportedModel.open(engine_export).tensors(**clips)
    expected = Source.of(Run.open(trained_run), None, "dfdetect").expected_scores(clips)
    for name, value in expected.items():
        np.testing.assert_allclose(outputs[name], value, atol=1e-4)
    logit = np.asarray(outputs["logit"], np.float64)
    np.testing.assert_allclose(1 / (1 + np.exp(-logit)), outputs["probability_fake"], atol=1e-5)


def test_beside_the_graph_lies_what_a_saved_model_has(engine_export, exported):
    extra, theirs = ExportedModel(engine_export).extra, ExportedModel(exported).extra
    for path in theirs.iterdir():
        if path.name != "tf_serving_warmup_requests":
            assert (extra / path.name).read_bytes() == path.read_bytes(), path.name
    digests = json.loads((extra / "sha256.json").read_text())
    files = {path.name for path in engine_export.iterdir()} - {extra.name}
    assert digests.keys() == {*files, "assets.extra/engine.json"}
    for name, digest in digests.items():
        assert hashlib.sha256((engine_export / name).read_bytes()).hexdigest() == digest


def test_an_export_is_measured_as_the_saved_model_is(engine_export, exported):
    clips, mask = example_inputs(4, 48).values()
    mask[0] = False  # its score is not used, and stops nothing
    found, expected = (
        load_detector(path).predict(clips, mask) for path in (engine_export, exported)
    )
    for values, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(values, theirs, atol=1e-4)


@pytest.mark.parametrize(
    "temporal",
    [
        name if name in ("bilstm", "transformer") else pytest.param(name, marks=pytest.mark.slow)
        for name in TEMPORALS
    ],
)
def test_every_temporal_model_converts_and_says_nan_without_a_frame(temporal, format, tmp_path):
    keras.utils.set_random_seed(0)
    config = TrainConfig(backbone="resnext_tiny", temporal=temporal, temporal_units=8)
    model = build_model(config, SIDE, T)
    expected = model(CLIPS, training=False)["logit"]
    inference_engines.EXPORTS[format].write(tensors_function(Network.of(model), 2.0), tmp_path)
    run = load_engine(format, tmp_path)
    outputs = run(**CLIPS)
    np.testing.assert_allclose(outputs["logit"], expected, atol=1e-4)
    none = run(CLIPS["clips"], np.array([[False] * T, CLIPS["mask"][1]]))
    for name, values in none.items():
        assert np.isnan(values[0]).all(), name
        np.testing.assert_array_equal(values[1], outputs[name][1])


def test_an_export_that_says_something_else_is_none(format, trained_run, tmp_path, monkeypatch):
    monkeypatch.setattr(
        Source, "expected_scores", lambda *_: {"probability_fake": np.array([2.0, 2.0])}
    )
    with pytest.raises(ExportError, match="probability_fake in a process of its own is off by"):
        inference_engines.export_for_engine(trained_run, tmp_path, format)
    assert list((tmp_path / "dfdetect").iterdir()) == []


def test_an_export_that_hides_a_clip_without_a_frame_is_none(
    format, trained_run, tmp_path, monkeypatch
):
    monkeypatch.setattr("trainer.exporting.portable._or_nan", lambda answer, mask: answer)
    with pytest.raises(ExportError, match="of a clip without any frame is .*, expected NaN"):
        inference_engines.export_for_engine(trained_run, tmp_path, format)
    assert list((tmp_path / "dfdetect").iterdir()) == []


@pytest.mark.parametrize("name", ["openvino", "onnx"])
def test_without_the_engine_the_command_says_what_to_install(
    name, trained_run, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    argv = ["--run", str(trained_run), "--out", str(tmp_path / "m"), "--format", name]
    assert main(["export", *argv]) == 1
    assert f"pip install 'dfdetect[{name}]'" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("onnx", "--precision", "bfloat16"), "onnx computes in float32 or int8, not in bfloat16"),
        (("litert", "--precision", "bfloat16"), "litert computes in float32, not in bfloat16"),
        (("saved-model", "--precision", "int8"), "computes in float32 or bfloat16, not in int8"),
        (("openvino", "--precision", "int8"), "int8 needs --data DIR, and nothing else does"),
        (("openvino", "--data", "DIR"), "int8 needs --data DIR, and nothing else does"),
    ],
)
def test_what_a_format_does_not_compute_in_is_wrong_usage(flags, message, tmp_path, capsys):
    argv = ["--run", str(tmp_path), "--out", str(tmp_path), "--format", *flags]
    with pytest.raises(SystemExit) as caught:
        main(["export", *argv])
    assert caught.value.code == 2 and message in capsys.readouterr().err


def has_bfloat16() -> bool:
    flags = Path("/proc/cpuinfo")
    return flags.is_file() and ("avx512_bf16" in flags.read_text())


def test_openvino_computes_in_bfloat16_where_the_export_says_so(
    engine_export, trained_run, tmp_path, capsys
):
    float32 = ExportedModel(engine_export)
    if float32.format != "openvino":
        pytest.skip("ONNX Runtime does not compute in bfloat16 on CPUs")
    argv = ["--run", str(trained_run), "--out", str(tmp_path), "--format", "openvino"]
    assert main(["export", *argv, "--precision", "bfloat16"]) == 0
    bfloat16 = ExportedModel.open(capsys.readouterr().out.split()[-1])
    assert (float32.precision, bfloat16.precision) == ("float32", "bfloat16")
    clips = example_inputs(4, 48)
    off = np.abs(bfloat16.tensors(**clips)["logit"] - float32.tensors(**clips)["logit"]).max()
    assert off < 0.05
    assert off > 0 or not has_bfloat16()


def test_a_precision_of_a_later_version_is_refused(tmp_path):
    with pytest.raises(InferenceEngineError, match="computed in 'int4', which this version does"):
        load_engine("onnx", tmp_path, "int4")
