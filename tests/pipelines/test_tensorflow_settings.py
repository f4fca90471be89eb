"""Settings that TensorFlow reads once, in processes of their own."""

import os
import subprocess
import sys

import pytest

ONEDNN = """
import pipelines.{module}, os
import sys; print(os.environ["TF_ENABLE_ONEDNN_OPTS"], "tensorflow" in sys.modules)
"""
THREADS = """
from pipelines.tensorflow_settings import compute_reproducibly
compute_reproducibly()
import cv2, tensorflow as tf
print(tf.config.threading.get_intra_op_parallelism_threads(), cv2.getNumThreads())
"""


def output(code: str, **environment: str) -> str:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("TF_ENABLE")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env={**plain, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("module", ["clip", "video.probe"])
def test_any_part_of_the_package_turns_onednn_on_before_tensorflow_is_loaded(module):
    assert output(ONEDNN.format(module=module)) == "1 False"
    assert output(ONEDNN.format(module=module), TF_ENABLE_ONEDNN_OPTS="0") == "0 False"


def test_an_operation_has_one_thread_where_faces_must_be_reproducible():
    assert output(THREADS) == "1 1"
