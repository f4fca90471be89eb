"""Warm-up requests of an exported model, which a server answers before any other.

https://www.tensorflow.org/tfx/serving/saved_model_warmup
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from pipelines.model_contract import (
    BATCH,
    CONFIG,
    EXAMPLES,
    EXPLAIN,
    SERVING_DEFAULT,
    TENSORS,
    Signature,
)


def can_write_warmup() -> bool:
    """Whether the protocol's messages are there: `pip install 'dfdetect[serving]'`."""
    return importlib.util.find_spec("tensorflow_serving") is not None


def write_warmup(path: Path, name: str, frames: int, side: int) -> None:
    """A TFRecord file of PredictionLogs with requests for every signature of model `name`.

    A server answers all of them before the version is AVAILABLE: what it does only once, such as
    choosing how to compute a convolution of a certain size, is done before the first caller.
    """
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2  # of an extra

    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in _requests(frames, side):
            request = predict_pb2.PredictRequest()
            request.model_spec.name = name
            request.model_spec.signature_name = signature.name
            for key, value in inputs.items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictLog(request=request)
            writer.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())


def _requests(frames: int, side: int) -> Iterator[tuple[Signature, dict[str, Any]]]:
    """Signature and inputs; black frames."""
    pixels = np.zeros((side, side, 3), np.uint8)
    image = tf.io.encode_jpeg(pixels).numpy()
    images = [tf.train.Feature(bytes_list=tf.train.BytesList(value=[image]))] * frames
    lists = {"frame/image": tf.train.FeatureList(feature=images)}
    example = tf.train.SequenceExample(feature_lists=tf.train.FeatureLists(feature_list=lists))
    yield CONFIG, {"query": [""]}
    yield EXAMPLES, {"examples": [example.SerializeToString()]}
    # One clip: its pixels lie here as they are, 2.4 MB for 16 frames of 224 px.
    clips = np.zeros((1, frames, *pixels.shape), np.uint8)
    yield TENSORS, {"clips": clips, "mask": np.ones((1, frames), bool)}
    yield EXPLAIN, {"frames": [[image] * frames]}
    for batch in (1, BATCH):  # the smallest and the fullest request of our client
        yield SERVING_DEFAULT, {"frames": [[image] * frames] * batch}
