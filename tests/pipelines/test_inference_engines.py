"""Engines other than TensorFlow: what they take, what they refuse, and what they leave alone."""

import subprocess
import sys
import threading

import numpy as np
import pytest

from pipelines.exported_model import ExportedModel
from pipelines.inference_engines import InferenceEngineError, load_engine
from tests.fixtures import ROOT
from trainer.exporting.verify import example_inputs

CLIPS, MASK = example_inputs(4, 48).values()


@pytest.fixture(scope="module")
def engine(engine_export):
    return ExportedModel.open(engine_export).tensors


@pytest.mark.parametrize(
    ("clips", "mask", "message"),
    [
        (CLIPS[:, :3], MASK[:, :3], r"shape \(2, 3, 48, 48, 3\)"),
        (CLIPS[..., :40, :], MASK, r"shape \(2, 4, 48, 40, 3\)"),
        (CLIPS, MASK[:, :3], r"a mask of \(2, 3\)"),
        (CLIPS, MASK[:1], r"a mask of \(1, 4\)"),
        (CLIPS[0], MASK[0], r"expected \(B, 4, 48, 48, 3\) and \(B, 4\)"),
        (CLIPS.astype(np.float32), MASK, "clips of float32"),
        (CLIPS, MASK.astype(np.int64), "a mask of int64"),
    ],
)
def test_other_inputs_than_the_models_are_refused(engine, clips, mask, message):
    with pytest.raises(InferenceEngineError, match=message):
        engine(clips, mask)


def test_a_clip_has_the_same_score_alone_and_among_others(engine):
    together = engine(np.concatenate([CLIPS, CLIPS[:1]]), np.concatenate([MASK, MASK[:1]]))
    for i in range(3):
        alone = engine(CLIPS[i % 2][None], MASK[i % 2][None])
        for name, values in together.items():
            np.testing.assert_array_equal(values[i], alone[name][0])


def test_outputs_stay_as_they_are_when_the_engine_is_asked_again(engine):
    kept = engine(CLIPS, MASK)["logit"]
    first = kept.copy()
    engine(CLIPS[::-1], MASK[::-1])
    np.testing.assert_array_equal(kept, first)


def test_no_clips_have_no_scores(engine):
    outputs = engine(CLIPS[:0], MASK[:0])
    assert {name: values.shape for name, values in outputs.items()} == {
        "probability_fake": (0,),
        "logit": (0,),
        "frame_probability": (0, 4),
    }


def test_threads_may_share_an_engine(engine):
    expected = [engine(CLIPS[i : i + 1], MASK[i : i + 1])["logit"] for i in range(2)]
    wrong = []

    def ask(i: int) -> None:
        for _ in range(20):
            if engine(CLIPS[i : i + 1], MASK[i : i + 1])["logit"] != expected[i]:
                wrong.append(i)

    threads = [threading.Thread(target=ask, args=(i % 2,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_damaged_file_is_named(engine_export, tmp_path):
    model = ExportedModel(engine_export)
    name = {"openvino": "model.xml", "onnx": "model.onnx"}[model.format]
    (tmp_path / name).write_bytes(b"<damaged")
    with pytest.raises(InferenceEngineError, match=f"{name} cannot be loaded: "):
        load_engine(model.format, tmp_path)


def test_openvino_is_loaded_without_its_telemetry(tmp_path):
    code = (
        "import sys, importlib.util\n"
        "from pipelines.inference_engines import import_openvino\n"
        "if importlib.util.find_spec('openvino') is None: sys.exit(77)\n"
        "import_openvino()\n"
        "print([name for name in sys.modules if name.startswith('openvino_telemetry.')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode == 77:
        pytest.skip("the extra is not installed")
    assert done.stdout == "[]\n", done.stderr
