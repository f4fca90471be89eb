"""Quantisation to int8: what is quantised, what it changes, and what is refused.

The exports are skipped where their engine, or NNCF for OpenVINO, is not installed.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys

import numpy as np
import pytest

from dfdetect.__main__ import main
from pipelines.exported_model import ExportedModel
from pipelines.inference_engines import InferenceEngineError, import_openvino
from pipelines.shards.open import ClipDataset
from trainer.errors import ExportError
from trainer.evaluation.measured_model import load_detector
from trainer.exporting.inference_engines import EXPORTS, EngineVersion, export_for_engine
from trainer.exporting.quantisation import (
    MAX_AUC_LOSS,
    MAX_ECE_RISE,
    NEGLIGIBLE_CHANGE,
    QuantisationEffect,
    calibration_clips,
    measure_effect,
)
from trainer.exporting.verify import example_inputs


def effect(auc: float = 0.0, ece: float = 0.0, change: float = 0.5) -> QuantisationEffect:
    """By how much each rose, and the largest change of P(fake)."""
    return QuantisationEffect("val", 12, (0.9, 0.9 + auc), (0.1, 0.1 + ece), change)


@pytest.fixture(scope="module", params=["openvino", "onnx"])
def version(request, trained_run, sample_shards, tmp_path_factory) -> EngineVersion:
    """The tiny model in int8."""
    try:
        EXPORTS[request.param].require(request.param, "int8")
    except InferenceEngineError as error:
        pytest.skip(str(error))
    out = tmp_path_factory.mktemp(request.param)
    return export_for_engine(trained_run, out, request.param, precision="int8", data=sample_shards)


@pytest.fixture(scope="module")
def quantised(version) -> ExportedModel:
    return ExportedModel(version.folder)


def test_the_change_of_auc_and_calibration_is_told_and_kept(version, quantised):
    kept = json.loads((quantised.extra / "engine.json").read_text())
    assert kept["precision"] == quantised.precision == "int8"
    assert kept["quantisation"] == json.loads(json.dumps(dataclasses.asdict(version.effect)))
    before, after = version.effect.auc
    assert f"on 12 val clips: AUC {before:.4f} -> {after:.4f}, calibration error" in str(version)
    assert str(version).endswith(f"wrote {version.folder}")


def weights(model: ExportedModel) -> list[tuple[str, bool]]:
    """Of each convolution and matrix product of the graph, in no order: what it is, and whether
    its weights are int8."""
    if model.format == "onnx":
        import onnx

        nodes = onnx.load(model.folder / "model.onnx").graph.node
        makers = {name: node.op_type for node in nodes for name in node.output}
        return [
            (node.op_type, makers.get(node.input[1]) == "DequantizeLinear")
            for node in nodes
            if node.op_type in ("Conv", "MatMul")
        ]
    network = import_openvino().Core().read_model(model.folder / "model.xml")

    def from_int8(node) -> bool:
        if node.get_type_name() == "Constant":
            return node.get_element_type().to_string() == "i8"
        return any(from_int8(value.get_node()) for value in node.input_values())

    return [
        (kind, from_int8(node.input_value(1).get_node()))
        for node in network.get_ops()
        if (kind := node.get_type_name()) in ("Convolution", "GroupConvolution", "MatMul")
    ]


def test_every_convolution_is_quantised_and_nothing_of_the_temporal_model(quantised):
    found = set(weights(quantised))
    assert ("MatMul", False) in found and any("Conv" in kind for kind, _ in found)
    assert all(is_int8 == ("Conv" in kind) for kind, is_int8 in found), found


def test_a_quantised_model_scores_about_as_before_and_says_nan_without_a_frame(quantised, exported):
    run, clips = quantised.tensors, example_inputs(4, 48)
    outputs, expected = run(**clips), ExportedModel(exported).tensors(**clips)
    off = np.abs(outputs["logit"] - expected["logit"]).max()
    assert 0 < off < 0.1
    none = run(clips["clips"], np.zeros_like(clips["mask"]))
    assert all(np.isnan(values).all() for values in none.values())


def test_nncf_is_loaded_without_telemetry_too(quantised):
    assert [name for name in sys.modules if name.startswith("openvino_telemetry.")] == []


@pytest.mark.parametrize(
    "small",
    [
        effect(),
        effect(auc=0.1, ece=-0.1),
        effect(-0.9 * MAX_AUC_LOSS, 0.9 * MAX_ECE_RISE),
        effect(auc=-0.03, change=NEGLIGIBLE_CHANGE),  # a pair of few clips has changed places
    ],
)
def test_a_small_change_or_one_for_the_better_is_accepted(small):
    small.check()


@pytest.mark.parametrize(
    "large", [effect(auc=-1.1 * MAX_AUC_LOSS), effect(ece=1.1 * MAX_ECE_RISE), effect(auc=np.nan)]
)
def test_a_change_beyond_the_bounds_is_refused_with_its_numbers(large):
    with pytest.raises(ExportError, match=r"AUC 0.9000 -> .* may fall by 0.01 .* rise by 0.02"):
        large.check()


def test_the_effect_is_that_on_the_validation_clips_with_a_face(exported, sample_shards):
    dataset, before = ClipDataset.open(sample_shards), load_detector(exported)

    def opposite(clips, mask):
        scores = before.predict(clips, mask)
        return scores._replace(probability_fake=1 - scores.probability_fake)

    same = measure_effect(before, before, dataset)
    assert same.clips == dataset.clips("val") == 12
    assert same.auc[0] == same.auc[1] and same.ece[0] == same.ece[1] and same.largest_change == 0
    turned = measure_effect(before, dataclasses.replace(before, predict=opposite), dataset)
    assert turned.auc[1] == pytest.approx(1 - same.auc[0]) and turned.largest_change > 0


def test_clips_for_quantisation_come_from_all_over_the_split(sample_shards, monkeypatch):
    dataset = ClipDataset.open(sample_shards)
    every = [clip["clips"] for clip in calibration_clips(dataset)]
    assert len(every) == 12 and every[0].shape == (1, 4, 48, 48, 3)
    monkeypatch.setattr("trainer.exporting.quantisation.CLIPS", 5)
    some = [clip["clips"] for clip in calibration_clips(dataset)]
    assert len(some) == 5
    for one, other in zip(some, every[::2], strict=False):
        np.testing.assert_array_equal(one, other)


def test_without_nncf_the_command_says_what_to_install(
    trained_run, sample_shards, tmp_path, monkeypatch, capsys
):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "nncf" else real(n))
    if real("openvino") is None:
        pytest.skip("the extra is not installed")
    argv = ["--run", str(trained_run), "--out", str(tmp_path / "m"), "--format", "openvino"]
    assert main(["export", *argv, "--precision", "int8", "--data", str(sample_shards)]) == 1
    assert "pip install 'dfdetect[int8]'" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


def test_data_without_shards_is_an_error_before_any_work(trained_run, tmp_path, capsys):
    argv = ["--run", str(trained_run), "--out", str(tmp_path / "m"), "--format", "onnx"]
    if importlib.util.find_spec("onnxruntime") is None:
        pytest.skip("the extra is not installed")
    assert main(["export", *argv, "--precision", "int8", "--data", str(tmp_path)]) == 1
    assert str(tmp_path) in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


def test_a_model_that_quantisation_spoils_gets_no_name(
    quantised, trained_run, sample_shards, tmp_path, monkeypatch, capsys
):
    for bound in ("MAX_ECE_RISE", "NEGLIGIBLE_CHANGE"):
        monkeypatch.setattr(f"trainer.exporting.quantisation.{bound}", -1.0)
    flags = ["--run", str(trained_run), "--out", str(tmp_path), "--format", quantised.format]
    code = main(["export", *flags, "--precision", "int8", "--data", str(sample_shards)])
    assert code == 1 and "the calibration error rise by -1" in capsys.readouterr().err
    assert list((tmp_path / "dfdetect").iterdir()) == []
