"""The exported model's contract: versions, and the description of itself."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.config import PreprocessConfig
from pipelines.exported_model import ExportedModel
from pipelines.model_contract import (
    SAVED_MODEL_NAME,
    ModelContractError,
    ModelDescription,
    ModelProvenance,
    ReliabilityBin,
    engine_format,
    newest_version,
    numbered_versions,
    version_number,
)
from pipelines.verdict import Thresholds
from tests.fixtures import ROOT

BEYOND = str(2**63)


def make(base: Path, *names: str) -> Path:
    """A folder with SavedModels, empty ones, of these names."""
    for name in names:
        (base / name).mkdir()
        (base / name / SAVED_MODEL_NAME).touch()
    return base


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("1", 1),
        ("007", 7),
        (str(2**63 - 1), 2**63 - 1),
        (BEYOND, None),
        ("1²", None),
        ("²", None),
        ("١", None),
        ("-1", None),
        ("1.5", None),
        ("1_0", None),
        (" 1", None),
        ("v1", None),
        ("", None),
    ],
)
def test_a_version_is_a_number_in_ascii_digits_of_64_bits(name, number):
    assert version_number(name) == number


def test_the_newest_version_is_the_highest_number_not_the_last_name(tmp_path):
    make(tmp_path, "9", "10", "0008")
    assert newest_version(tmp_path).name == "10"
    assert list(numbered_versions(tmp_path)) == [10, 9, 8]


def test_of_two_folders_with_one_number_that_without_zeros_counts(tmp_path):
    assert numbered_versions(make(tmp_path, "007", "7", "07")) == {7: tmp_path / "7"}


def test_what_is_no_version_is_passed_over(tmp_path):
    make(tmp_path, "3", "4²", "²", "litert-9", BEYOND, ".writing-x")
    (tmp_path / "12").write_text("a file")
    assert numbered_versions(tmp_path) == {3: tmp_path / "3"}
    assert newest_version(tmp_path) == tmp_path / "3"


def test_a_numbered_folder_without_a_saved_model_is_a_version_but_none_to_open(tmp_path):
    """A server says that it cannot load it, as TensorFlow Serving does."""
    make(tmp_path, "1")
    (tmp_path / "2").mkdir()
    assert list(numbered_versions(tmp_path)) == [2, 1]
    assert newest_version(tmp_path) == tmp_path / "1"


def make_for_engines(base: Path, *names: str) -> Path:
    """Exports for other engines, empty ones, of these names."""
    for name in names:
        (base / name).mkdir()
        (base / name / ("model.onnx" if name.startswith("onnx") else "model.xml")).touch()
    return base


def test_an_export_for_another_engine_is_opened_where_it_is_named(tmp_path):
    make_for_engines(make(tmp_path, "1"), "openvino-1", "onnx-1")
    for name in ("openvino", "onnx"):
        assert newest_version(tmp_path / f"{name}-1") == tmp_path / f"{name}-1"
        assert engine_format(tmp_path / f"{name}-1") == name
        assert ExportedModel.open(tmp_path / f"{name}-1").format == name
    assert ExportedModel.open(tmp_path).format == "saved-model"


def test_without_a_saved_model_the_newest_export_for_another_engine_is_opened(tmp_path):
    make_for_engines(tmp_path, "onnx-30", "onnx-4", "openvino-9", "openvino-10", "openvino-x")
    assert newest_version(tmp_path).name == "openvino-10"
    for name in ("openvino-9", "openvino-10", "openvino-x"):
        (tmp_path / name / "model.xml").unlink()
    assert newest_version(tmp_path).name == "onnx-30"
    assert numbered_versions(tmp_path) == {}, "no server takes them for versions"


def test_an_export_for_another_engine_does_not_hide_a_saved_model(tmp_path):
    make_for_engines(make(tmp_path, "1"), "openvino-7")
    assert newest_version(tmp_path) == tmp_path / "1"


def test_a_folder_of_exports_for_other_engines_is_named_as_a_model(tmp_path):
    (tmp_path / "mine").mkdir()
    make_for_engines(tmp_path / "mine", "onnx-1")
    with pytest.raises(FileNotFoundError, match="of other names are there: mine"):
        newest_version(tmp_path)


@pytest.mark.parametrize(("name", "number"), [("5", 5), ("model", 1), (BEYOND, 1), ("²", 1)])
def test_a_version_that_is_given_itself_is_the_only_one(tmp_path, name, number):
    make(tmp_path, name)
    make(tmp_path / name, "9")
    assert numbered_versions(tmp_path / name) == {number: tmp_path / name}
    assert newest_version(tmp_path / name) == tmp_path / name


@pytest.mark.parametrize("name", ["none", "file", "empty"])
def test_where_there_is_no_version_the_error_names_the_folder(tmp_path, name):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=f"{name}: holds neither saved_model.pb nor"):
        newest_version(tmp_path / name)


PROBABILITIES = st.floats(0, 1)
DESCRIPTIONS = st.builds(
    ModelDescription,
    preprocess=st.just(PreprocessConfig(frames_per_clip=4)),
    fingerprint=st.text("0123456789abcdef", min_size=16, max_size=16),
    thresholds=st.builds(
        Thresholds, st.floats(0, 0.4), st.floats(0.5, 1), st.just(True), st.floats(0, 10)
    ),
    calibration=st.dictionaries(st.text(), PROBABILITIES),
    provenance=st.builds(
        ModelProvenance,
        trained_on=st.lists(st.text()).map(tuple),
        tested_on=st.lists(st.text()).map(tuple),
        test_videos=st.none() | st.integers(0, 1000),
        false_alarm_rate=st.none() | PROBABILITIES,
        reliability=st.none()
        | st.lists(
            st.builds(ReliabilityBin, PROBABILITIES, PROBABILITIES, st.integers(0), st.integers(0)),
            min_size=1,
        ).map(tuple),
        sample_data=st.booleans(),
    ),
)


@given(DESCRIPTIONS)
def test_a_description_is_read_as_it_was_written(description):
    assert ModelDescription.from_json(**description.to_json()) == description


def test_a_model_that_is_not_calibrated_says_so():
    config = PreprocessConfig()
    texts = ModelDescription(config, config.fingerprint, Thresholds()).to_json()
    assert json.loads(texts["verdict_json"])["calibration"] is None
    assert not ModelDescription.from_json(**texts).thresholds.calibrated


def test_a_model_of_an_earlier_version_has_the_search_cost_of_the_union_bound():
    config = PreprocessConfig()
    texts = ModelDescription(config, config.fingerprint, Thresholds(search_cost=0.5)).to_json()
    verdict = json.loads(texts["verdict_json"])
    assert verdict.pop("search_cost") == 0.5
    old = ModelDescription.from_json(**{**texts, "verdict_json": json.dumps(verdict)})
    assert old.thresholds.search_cost == 1.0


def test_an_exported_model_says_in_its_folder_what_its_graph_says(exported):
    model = ExportedModel.open(exported.parent)
    (answers,) = zip(
        *(value.numpy() for value in model.graph.signatures["config"](query=_strings("")).values()),
        strict=True,
    )
    assert sorted(text.decode() for text in answers) == sorted(model.description.to_json().values())
    assert model.name == "dfdetect/1"
    assert "data" not in model.training and model.training["fingerprint"]


def _strings(*values: str):
    import tensorflow as tf

    return tf.constant(values)


def test_a_saved_model_of_another_maker_is_no_exported_model(tmp_path):
    make(tmp_path, "1")
    with pytest.raises(FileNotFoundError, match="preprocess.json is missing: .*no model of"):
        _ = ExportedModel.open(tmp_path).description


def test_a_damaged_description_is_an_error_that_names_the_folder(tmp_path):
    make(tmp_path, "1")
    (tmp_path / "1" / "assets.extra").mkdir()
    for name in ("preprocess.json", "verdict.json"):
        (tmp_path / "1" / "assets.extra" / name).write_text("{")
    with pytest.raises(ModelContractError, match=f"{tmp_path / '1'}: .*cannot be read"):
        _ = ExportedModel.open(tmp_path).description


def test_an_exported_model_is_opened_without_tensorflow_and_beam():
    code = (
        "import sys, pipelines.exported_model; "
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'apache_beam')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
