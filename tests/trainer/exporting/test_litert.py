"""Exports for the edge."""

from __future__ import annotations

import importlib.util
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from dfdetect.__main__ import main
from trainer.config import TrainConfig
from trainer.errors import ExportError
from trainer.exporting import litert
from trainer.exporting.serving_model import Network
from trainer.exporting.source import Source
from trainer.exporting.verify import example_inputs
from trainer.model.config import TEMPORALS
from trainer.model.detector import build_model
from trainer.run import Run

T, SIDE = 3, 16
CLIPS = example_inputs(T, SIDE)


def test_the_command_writes_a_file_that_says_what_the_model_says(trained_run, tmp_path, capsys):
    argv = ["--run", str(trained_run), "--out", str(tmp_path), "--format", "litert"]
    assert main(["export", *argv]) == 0
    folder = tmp_path / "dfdetect" / "litert-1"
    said = capsys.readouterr().out
    assert (
        f"wrote {folder / 'model.tflite'}: " in said and "MB" in said and " ms for a clip" in said
    )
    names = {"model.tflite", "preprocess.json", "verdict.json", "facts.json", "model_card.md"}
    assert names <= {path.name for path in folder.iterdir()}
    fingerprint = json.loads((folder / "preprocess.json").read_text())["fingerprint"]
    source = Source.of(Run.open(trained_run), None, "dfdetect")
    assert fingerprint == source.run.fingerprint
    clips = example_inputs(4, 48)
    run = Interpreter(str(folder / "model.tflite")).get_signature_runner("tensors")
    found = run(**{name: value[1:] for name, value in clips.items()})
    expected = source.expected_scores(clips)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value[1:], atol=1e-4)


@pytest.mark.parametrize(
    "temporal",
    [
        name if name in ("bilstm", "transformer") else pytest.param(name, marks=pytest.mark.slow)
        for name in TEMPORALS
    ],
)
def test_every_model_of_time_converts_to_literts_own_operations(temporal):
    keras.utils.set_random_seed(0)
    config = TrainConfig(backbone="resnext_tiny", temporal=temporal, temporal_units=8)
    model = build_model(config, SIDE, T)
    expected = model(CLIPS, training=False)
    content = litert.convert(Network.of(model), 1.0)
    run = Interpreter(model_content=content).get_signature_runner("tensors")
    for number in range(2):
        found = run(**{name: value[number : number + 1] for name, value in CLIPS.items()})
        np.testing.assert_allclose(
            found["logit"], expected["logit"][number : number + 1], atol=1e-4
        )
    none = run(clips=CLIPS["clips"][:1], mask=np.zeros((1, T), bool))
    assert all(np.isnan(values).all() for values in none.values()), "no frame, so no number"


def test_a_file_that_says_something_else_is_no_export(trained_run, tmp_path, monkeypatch):
    monkeypatch.setattr(
        Source, "expected_scores", lambda *_: {"probability_fake": np.array([2.0, 2.0])}
    )
    with pytest.raises(ExportError, match="probability_fake of clip 0 is off by"):
        litert.export_litert(trained_run, tmp_path)
    assert list((tmp_path / "dfdetect").iterdir()) == []


class Spectrum(keras.layers.Layer):
    """By an operation that LiteRT does not have."""

    def call(self, x):
        return tf.math.real(tf.signal.fft2d(tf.cast(x, tf.complex64)))


def test_what_litert_cannot_compute_is_named():
    pixels = keras.Input((SIDE, SIDE, 3))
    x = Spectrum()(pixels)
    features, mask = keras.Input((3,)), keras.Input((T,), dtype="bool")
    frame = keras.ops.reshape(keras.ops.mean(features, axis=-1), (-1, T))
    head = keras.Model([features, mask], {"logit": frame[:, 0], "frame_logit": frame})
    with pytest.raises(ExportError, match="FFT"):
        litert.convert(Network(keras.Model(pixels, x), head, T, SIDE), 1.0)


def test_without_litert_the_export_says_what_to_install(trained_run, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExportError, match=r"pip install 'dfdetect\[edge\]'"):
        litert.export_litert(trained_run, tmp_path)


def test_litert_in_bfloat16_is_wrong_usage(tmp_path, capsys):
    argv = ["--run", str(tmp_path), "--out", str(tmp_path), "--format", "litert"]
    with pytest.raises(SystemExit) as caught:
        main(["export", *argv, "--precision", "bfloat16"])
    assert caught.value.code == 2 and "--precision" in capsys.readouterr().err
