"""gRPC client of TensorFlow Serving, by the stubs of `tensorflow-serving-api`.

They bring TensorFlow along, which takes seconds to load; both are imported when a client is made.
https://github.com/tensorflow/serving/blob/master/tensorflow_serving/apis/prediction_service.proto
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipelines.model_contract import Signature
from serving.client.errors import (
    InvalidRequest,
    ModelServerError,
    NotFound,
    Overloaded,
    Timeout,
    Unreachable,
)
from serving.client.remote import RemoteModel, VersionState
from serving.client.spec import ModelSpec

INT32_MAX = 2**31 - 1  # bytes of a message, as the stock server; gRPC's own default is 4 MB

_OPTIONS = (
    ("grpc.max_send_message_length", INT32_MAX),
    ("grpc.max_receive_message_length", INT32_MAX),
    ("grpc.max_reconnect_backoff_ms", 1000),  # the default, 2 minutes, outlasts a restart
    ("grpc.enable_http_proxy", 0),
)
_KINDS: dict[str, type[ModelServerError]] = {
    "UNAVAILABLE": Unreachable,
    "RESOURCE_EXHAUSTED": Overloaded,
    "DEADLINE_EXCEEDED": Timeout,
    "NOT_FOUND": NotFound,
    "INVALID_ARGUMENT": InvalidRequest,
    "FAILED_PRECONDITION": InvalidRequest,
    "OUT_OF_RANGE": InvalidRequest,
    "UNIMPLEMENTED": InvalidRequest,
    "PERMISSION_DENIED": InvalidRequest,
    "UNAUTHENTICATED": InvalidRequest,
}
_FULL = "queue"  # what the stock server says when it is UNAVAILABLE because too much is waiting
# What gRPC itself says where it does not carry a message, under the code of an overload
# (src/core/call/message.cc, chttp2's hpack_parser.cc): another time it does not carry it either.
_SIZES = ("message larger than max", "metadata size exceeds")


class GrpcClient(RemoteModel):
    """A model behind TensorFlow Serving's gRPC API, ours or the stock server.

    address: HOST:PORT, without encryption; the other arguments are those of RemoteModel. Holds a
    connection open until it is closed; `with` closes it. Threads may share it. Raises
    ModelServerError where the extra "serving" is not installed.
    """

    def _open(self) -> None:
        try:
            import grpc
            from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc
        except ModuleNotFoundError as error:
            raise ModelServerError(
                f"{self._address}: gRPC needs the package {error.name!r}, which is not installed. "
                "Install the extra (pip install 'dfdetect[serving]'), or ask over REST."
            ) from error
        self._channel = grpc.insecure_channel(self._address, options=_OPTIONS)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    def close(self) -> None:
        self._channel.close()

    def _states(self, left_s: float) -> Sequence[VersionState]:
        from tensorflow_serving.apis import get_model_status_pb2

        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = self._spec.name
        if self._spec.version is not None:
            request.model_spec.version.value = self._spec.version
        response = self._call(self._models.GetModelStatus, request, left_s)
        return [
            VersionState(entry.version, entry.State.Name(entry.state), entry.status.error_message)
            for entry in response.model_version_status
        ]

    def ask_version(self, spec: ModelSpec, left_s: float) -> int:
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        _address_to(spec, request.model_spec)
        response = self._call(self._predictions.GetModelMetadata, request, left_s)
        return response.model_spec.version.value

    def ask_outputs(
        self, spec: ModelSpec, signature: Signature, strings: Sequence, left_s: float
    ) -> Mapping[str, Any]:
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        _address_to(spec, request.model_spec)
        request.model_spec.signature_name = signature.name
        (name,) = signature.inputs
        request.inputs[name].CopyFrom(tf.make_tensor_proto(strings, tf.string))
        response = self._call(self._predictions.Predict, request, left_s)
        return {key: tf.make_ndarray(value) for key, value in response.outputs.items()}

    def _call(self, method: Callable, request: Any, left_s: float) -> Any:
        import grpc

        try:
            return method(request, timeout=left_s)
        except grpc.RpcError as error:
            raise self._problem(error) from error

    def _problem(self, error: Any) -> ModelServerError:
        code, details = error.code().name, error.details() or ""
        kind = _KINDS.get(code, ModelServerError)
        if kind is Unreachable and _FULL in details:
            kind = Overloaded
        if kind is Overloaded and any(words in details for words in _SIZES):
            kind = InvalidRequest
        hint = " Start a server with `dfdetect serve`." if kind is Unreachable else ""
        return kind(f"{self._address}: {code}: {details[:500]}.{hint}")


def _address_to(spec: ModelSpec, model_spec: Any) -> None:
    """Fills a request's ModelSpec, of which version and label are alternatives."""
    model_spec.name = spec.name
    if spec.label:
        model_spec.version_label = spec.label
    elif spec.version is not None:
        model_spec.version.value = spec.version
