"""What an export must pass before it gets its number."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from trainer.errors import ExportError
from trainer.exporting.verify import check_close, check_ops, check_outputs, encoded, example_inputs

INPUTS = example_inputs(3, 4)


def save(folder, detect) -> None:
    module = tf.Module()
    module.detect = tf.function(
        detect,
        input_signature=[
            tf.TensorSpec([None, 3, 4, 4, 3], tf.uint8, name="clips"),
            tf.TensorSpec([None, 3], tf.bool, name="mask"),
        ],
    )
    tf.saved_model.save(module, str(folder), signatures={"tensors": module.detect})


def mean(clips, mask):
    return {"probability_fake": tf.reduce_mean(tf.cast(clips, tf.float32), [1, 2, 3, 4]) / 255}


def through_python(clips, mask):
    found = tf.numpy_function(lambda x: x.mean((1, 2, 3, 4), np.float32), [clips], tf.float32)
    return {"probability_fake": found}


def compiled(clips, mask):
    return tf.function(mean, jit_compile=True)(clips, mask)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain") / "1"
    save(folder, mean)
    return folder


def expected(off: float = 0.0) -> dict[str, dict[str, np.ndarray]]:
    return {"tensors": {"probability_fake": INPUTS["clips"].mean((1, 2, 3, 4)) / 255 + off}}


def test_a_model_of_core_operations_passes(plain):
    check_ops(plain)


@pytest.mark.parametrize(
    ("detect", "why"),
    [(through_python, r"calls Python \(PyFunc\)"), (compiled, "must be compiled by XLA")],
)
def test_what_a_stock_server_cannot_run_is_named(tmp_path, detect, why):
    save(tmp_path / "1", detect)
    with pytest.raises(ExportError, match=why):
        check_ops(tmp_path / "1")


def test_an_operation_of_another_library_is_named(plain, tmp_path):
    graph = (plain / "saved_model.pb").read_bytes()
    assert graph.count(b"RealDiv") and b"RealOdd" not in graph
    (tmp_path / "saved_model.pb").write_bytes(graph.replace(b"RealDiv", b"RealOdd"))
    with pytest.raises(ExportError, match="is RealOdd, which TensorFlow's core does not have"):
        check_ops(tmp_path)


def test_outputs_that_agree_pass(plain):
    check_outputs(plain, {"tensors": INPUTS}, expected())


def test_outputs_that_differ_are_an_error(plain):
    with pytest.raises(ExportError, match="probability_fake of signature tensors is off by 0.0003"):
        check_outputs(plain, {"tensors": INPUTS}, expected(3e-4))


def test_a_model_that_does_not_load_is_an_error(tmp_path):
    with pytest.raises(ExportError, match="does not run in a process of its own"):
        check_outputs(tmp_path, {"tensors": INPUTS}, {})


@pytest.mark.parametrize(
    ("found", "message"),
    [([0.5, np.nan], "is off by nan"), ([0.5], r"has shape \(1,\), expected \(2,\)")],
)
def test_what_is_no_number_or_of_another_shape_is_an_error(found, message):
    with pytest.raises(ExportError, match=f"logit {message}"):
        check_close(np.array(found), np.array([0.5, 0.5]), 1.0, "logit")


def test_the_example_has_a_missing_frame_and_no_clip_without_any():
    assert INPUTS["mask"].any(axis=1).all() and not INPUTS["mask"].all()
    assert not INPUTS["clips"][~INPUTS["mask"]].any()


def test_the_encoded_example_is_the_same_pixels():
    frames = encoded(INPUTS)["frames"]
    np.testing.assert_array_equal(frames != b"", INPUTS["mask"])
    np.testing.assert_array_equal(tf.io.decode_png(frames[0, 1]), INPUTS["clips"][0, 1])
