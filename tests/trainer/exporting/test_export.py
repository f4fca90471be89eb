"""What an export writes, and what its signatures answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from dfdetect.__main__ import main
from dfdetect.commands.export import FORMATS
from pipelines.model_contract import SIGNATURES, Signature
from trainer.exporting.serving_model import Network
from trainer.exporting.source import Source
from trainer.exporting.verify import encoded, example_inputs
from trainer.run import Run

T, SIDE = 4, 48
CLIPS = example_inputs(T, SIDE)
FRAMES = encoded(CLIPS)["frames"]


@pytest.fixture(scope="module")
def model(exported):
    return tf.saved_model.load(str(exported))


@pytest.fixture(scope="module")
def source(trained_run) -> Source:
    return Source.of(Run.open(trained_run), None, "dfdetect")


def test_the_signatures_take_and_give_what_is_documented(model):
    def specs(structure):
        return {k: (v.dtype.name, v.shape.as_list()) for k, v in structure.items()}

    scores = {
        "probability_fake": ("float32", [None]),
        "logit": ("float32", [None]),
        "frame_probability": ("float32", [None, None]),
    }
    frames = {"frames": ("string", [None, None])}
    clips = {"clips": ("uint8", [None, None, SIDE, SIDE, 3]), "mask": ("bool", [None, None])}
    texts = ("preprocess_json", "verdict_json", "facts_json")
    heat = {"heat_map": ("float32", [None, None, 6, 6]), "probability_fake": ("float32", [None])}
    assert {
        name: (
            specs(function.structured_input_signature[1]),
            specs(function.structured_outputs),
        )
        for name, function in model.signatures.items()
    } == {
        "serving_default": (frames, scores),
        "tensors": (clips, scores),
        "examples": (
            {"examples": ("string", [None])},
            scores | {"frame_probability": ("float32", [None, T])},
        ),
        "explain": (frames, heat),
        "config": ({"query": ("string", [None])}, {name: ("string", [None]) for name in texts}),
    }


def test_the_signatures_are_those_of_the_contract(model):
    def names(signature):
        return signature.name, set(signature.inputs), set(signature.outputs)

    written = [
        Signature(name, f.structured_input_signature[1], f.structured_outputs)
        for name, f in model.signatures.items()
    ]
    assert sorted(map(names, written)) == sorted(map(names, SIGNATURES))


def test_the_signatures_agree_with_the_trained_model(model, source):
    expected = source.expected_scores(CLIPS)
    heat, _ = Network.of(source.model).heat_map(**CLIPS)
    encoded_answer = model.signatures["serving_default"](frames=tf.constant(FRAMES))
    tensors = model.signatures["tensors"](**{k: tf.constant(v) for k, v in CLIPS.items()})
    explained = model.signatures["explain"](frames=tf.constant(FRAMES))
    for name, value in expected.items():
        np.testing.assert_allclose(encoded_answer[name], value, atol=1e-5)
        np.testing.assert_allclose(tensors[name], value, atol=1e-5)
    np.testing.assert_allclose(explained["heat_map"], heat, atol=1e-3)
    np.testing.assert_allclose(
        explained["probability_fake"], expected["probability_fake"], atol=1e-5
    )


@pytest.mark.parametrize("mask", [(1, T - 1), (2, T - 2), (2, T)])
def test_a_mask_that_is_not_of_its_clips_is_an_error(model, mask):
    """It would drop frames, count black ones, or judge a clip twice."""
    clips = tf.constant(CLIPS["clips"][:, : T - 1])
    with pytest.raises(tf.errors.InvalidArgumentError, match="clips and mask must agree"):
        model.signatures["tensors"](clips=clips, mask=tf.ones(mask, tf.bool))


def test_a_shorter_clip_has_a_shorter_heat_map(model):
    explain = model.signatures["explain"]
    short = explain(frames=tf.constant(FRAMES[:1, :2]))["heat_map"]
    padded = explain(frames=tf.constant(np.where(np.arange(T) < 2, FRAMES[:1], b"")))["heat_map"]
    assert short.shape == (1, 2, 6, 6)
    np.testing.assert_allclose(short, padded[:, :2], atol=1e-5)
    assert not padded.numpy()[:, 2:].any()


def test_the_facts_travel_beside_the_model_and_in_its_graph(model, exported):
    beside = json.loads((exported / "assets.extra" / "facts.json").read_text())
    told = model.signatures["config"](query=tf.constant(["", ""]))["facts_json"].numpy()
    assert [json.loads(text) for text in told] == [beside] * 2
    assert beside["trained_on"] and beside["test_videos"] is None
    assert beside["sample_data"]  # the fixture's videos are generated


def test_the_graph_has_no_batch_norm_and_holds_its_weights_once(exported, source):
    graph = (exported / "saved_model.pb").read_bytes()
    assert b"FusedBatchNorm" not in graph
    stored = sum(p.stat().st_size for p in (exported / "variables").iterdir())
    trained = sum(4 * w.numpy().size for w in source.model.weights)
    assert stored < 2.5 * trained + 50_000  # dense pieces are larger than grouped kernels


IN_A_SERVER = """
import sys
import numpy as np
import tensorflow as tf
frames, found = tf.constant(np.load(sys.argv[2])), {}
model = tf.saved_model.load(sys.argv[1])
for name in ("serving_default", "explain"):
    for key, value in model.signatures[name](frames=frames).items():
        found[f"{name}_{key}"] = value.numpy()
np.savez(sys.argv[3], **found)
"""


@pytest.mark.slow
def test_the_model_answers_the_same_with_and_without_onednn(exported, tmp_path):
    np.save(tmp_path / "frames.npy", FRAMES)
    running = [
        subprocess.Popen(
            [
                *(sys.executable, "-c", IN_A_SERVER, str(exported)),
                *(str(tmp_path / "frames.npy"), str(tmp_path / f"{choice}.npz")),
            ],
            env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": choice},
        )
        for choice in "01"
    ]
    assert [process.wait(120) for process in running] == [0, 0]
    without, with_onednn = (np.load(tmp_path / f"{choice}.npz") for choice in "01")
    for name in without:
        atol = 1e-2 if name.endswith("heat_map") else 1e-4
        np.testing.assert_allclose(without[name], with_onednn[name], atol=atol)


def test_an_export_in_bfloat16_computes_in_it_and_gives_nearly_the_same(trained_run, tmp_path):
    argv = ["--run", str(trained_run), "--out", str(tmp_path), "--precision", "bfloat16"]
    assert main(["export", *argv]) == 0  # which checks the outputs
    kinds = {
        dtype.name
        for _, dtype in tf.train.load_checkpoint(
            str(tmp_path / "dfdetect" / "1" / "variables" / "variables")
        )
        .get_variable_to_dtype_map()
        .items()
    }
    assert "bfloat16" in kinds


@pytest.mark.parametrize("format", FORMATS)
def test_a_wrong_metrics_file_is_told_before_anything_is_written(
    trained_run, tmp_path, capsys, format
):
    (tmp_path / "metrics.json").write_text("{}")
    out = tmp_path / "out"
    argv = ["--run", str(trained_run), "--out", str(out), "--format", format]
    assert main(["export", *argv, "--metrics", str(tmp_path / "metrics.json")]) == 1
    assert "is no metrics.json of `dfdetect evaluate`" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("format", FORMATS)
def test_a_place_that_cannot_be_written_to_is_an_error_that_names_it(
    trained_run, tmp_path, capsys, format
):
    (tmp_path / "out").write_text("a file")
    argv = ["--run", str(trained_run), "--out", str(tmp_path / "out"), "--format", format]
    assert main(["export", *argv]) == 1
    assert str(tmp_path / "out") in capsys.readouterr().err
