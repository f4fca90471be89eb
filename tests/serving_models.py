"""Small SavedModels for tests of the serving protocol; they load in no time.

`python tests/serving_models.py DIR` writes them for another server to serve.
"""

from __future__ import annotations

import sys
from pathlib import Path

import tensorflow as tf

NAME = "half_plus_two"


def _spec(shape: list[int | None], dtype: tf.DType, name: str) -> tf.TensorSpec:
    return tf.TensorSpec(shape, dtype, name=name)


class HalfPlus(tf.Module):
    """x / 2 + `offset`, and signatures for the corners of the protocol."""

    def __init__(self, offset: float):
        super().__init__()
        self.offset = tf.Variable(offset)

    @tf.function(input_signature=[_spec([None], tf.float32, "x")])
    def half(self, x):
        return {"y": x / 2 + self.offset}

    @tf.function(input_signature=[_spec([None], tf.string, "image_bytes")])
    def echo(self, image_bytes):
        return {"image_bytes": image_bytes, "text": image_bytes}

    @tf.function(input_signature=[_spec([None, 2], tf.float32, "a"), _spec([None], tf.int32, "b")])
    def named(self, a, b):
        return {"total": tf.reduce_sum(a, axis=1) + tf.cast(b, tf.float32), "twice": 2 * b}

    @tf.function(input_signature=[_spec([None], tf.bool, "on"), _spec([None], tf.uint8, "n")])
    def kinds(self, on, n):
        return {
            "on": on,
            "n": n,
            "long": tf.cast(n, tf.int64) + 2**40,
            "double": tf.cast(n, tf.float64) / 3,
            "half": tf.cast(n, tf.float16),
        }

    @tf.function(input_signature=[_spec([None], tf.float32, "x")])
    def special(self, x):
        return {"log": tf.math.log(x)}

    @tf.function(input_signature=[_spec([None], tf.float32, "x")])
    def root(self, x):
        checked = tf.debugging.assert_non_negative(x, message="No root of a negative number.")
        with tf.control_dependencies([checked]):
            return {"root": tf.sqrt(x)}

    @tf.function(input_signature=[_spec([None], tf.float32, "x")])
    def total(self, x):
        return {"total": tf.reduce_sum(x)}

    @tf.function(input_signature=[_spec([None, None], tf.string, "words")])
    def count(self, words):
        given = tf.cast(tf.not_equal(words, ""), tf.int32)
        return {"count": tf.reduce_sum(given, axis=1)}

    @tf.function(input_signature=[_spec([None], tf.int32, "milliseconds")])
    def spin(self, milliseconds):
        """Takes as long as is asked for."""
        end = tf.timestamp() + tf.cast(tf.reduce_max(milliseconds), tf.float64) / 1000
        done = tf.while_loop(
            lambda i: tf.timestamp() < end, lambda i: [i + 1], [0], parallel_iterations=1
        )
        return {"milliseconds": milliseconds + 0 * done[0]}

    def _parsed(self, inputs):
        return tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([], tf.float32)})["x"]

    @tf.function(input_signature=[_spec([None], tf.string, "inputs")])
    def regress(self, inputs):
        return {"outputs": self._parsed(inputs) / 2 + self.offset}

    @tf.function(input_signature=[_spec([None], tf.string, "inputs")])
    def classify(self, inputs):
        x = self._parsed(inputs)
        classes = tf.tile([["small", "large"]], [tf.shape(x)[0], 1])
        return {"classes": classes, "scores": tf.stack([10 - x, x], axis=1)}


SIGNATURES = (
    *("echo", "named", "kinds", "special", "root", "total", "count", "spin"),
    *("regress", "classify"),
)
CONFIG = """\
model_config_list {
  config {
    name: "half_plus_two"
    base_path: "%s"
    model_platform: "tensorflow"
    model_version_policy { specific { versions: 1 versions: 2 } }
    version_labels { key: "stable" value: 1 }
    version_labels { key: "canary" value: 2 }
  }
}
"""


def write(folder: Path, offset: float = 2.0, names: tuple[str, ...] = ()) -> Path:
    """The model as a SavedModel in `folder`, such as .../half_plus_two/1, with the signature
    `serving_default` and the named ones."""
    model = HalfPlus(offset)
    signatures = {name: getattr(model, name) for name in names}
    tf.saved_model.save(model, str(folder), {"serving_default": model.half, **signatures})
    return folder


def write_all(folder: Path) -> Path:
    """.../half_plus_two/1 with all signatures, /2 that adds 3, and .../models.config."""
    write(folder / NAME / "1", 2.0, SIGNATURES)
    write(folder / NAME / "2", 3.0)
    (folder / "models.config").write_text(CONFIG % (folder / NAME).resolve())
    return folder


if __name__ == "__main__":
    folder = write_all(Path(sys.argv[1])).resolve()
    print(
        f"docker run --rm -p 8500:8500 -p 8501:8501 -v {folder}:{folder} tensorflow/serving "
        f"--model_config_file={folder}/models.config "
        "--allow_version_labels_for_unavailable_models"
    )
