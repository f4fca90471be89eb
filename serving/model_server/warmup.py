"""Warm-up of a version: the requests that a model brings along, answered before any other.

https://www.tensorflow.org/tfx/serving/saved_model_warmup
"""

from __future__ import annotations

import tensorflow as tf
from google.protobuf.message import DecodeError
from grpc import StatusCode
from tensorflow_serving.apis import prediction_log_pb2

from pipelines.model_contract import EXTRA_FOLDER, WARMUP_NAME
from serving.model_server import methods
from serving.model_server.servable import DEFAULT_SIGNATURE, Servable
from serving.model_server.status import StatusError, invalid

MOST = 1000  # records


def warm_up(servable: Servable) -> int:
    """How many requests were answered. Raises StatusError, tf.errors.OpError; one request that
    fails makes the version unfit to serve."""
    path = servable.path / EXTRA_FOLDER / WARMUP_NAME
    if not path.is_file():
        return 0
    answered = 0
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        if answered == MOST:
            raise invalid(f"Number of warmup records exceeds the maximum ({MOST}) at {path}")
        _answer(servable, record, str(path))
        answered += 1
    return answered


def _answer(servable: Servable, record: bytes, path: str) -> None:
    try:
        log = prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError as error:
        raise invalid(f"Failed to parse warmup record: {record[:40]!r} from {path}") from error
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        methods.predict_message(methods.run_alone, servable, log.predict_log.request)
    elif kind == "classify_log":
        ask = log.classify_log.request
        name = ask.model_spec.signature_name or DEFAULT_SIGNATURE
        methods.classify(methods.run_alone, servable, name, ask.input)
    elif kind == "regress_log":
        ask = log.regress_log.request
        name = ask.model_spec.signature_name or DEFAULT_SIGNATURE
        methods.regress(methods.run_alone, servable, name, ask.input)
    elif kind == "multi_inference_log":
        methods.multi_inference(methods.run_alone, servable, log.multi_inference_log.request)
    else:
        raise StatusError(StatusCode.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")
