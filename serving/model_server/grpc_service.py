"""gRPC API of the model server: PredictionService, ModelService, the standard health service.

prediction_service.proto and model_service.proto of the package tensorflow-serving-api; order of
checks, texts and what is counted as in prediction_service_impl.cc, model_service_impl.cc,
predict_impl.cc, get_model_metadata_impl.cc and grpc_status_util.cc of TensorFlow Serving 2.20;
https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from serving.model_server import answers, methods
from serving.model_server.core import Core
from serving.model_server.servable import DEFAULT_SIGNATURE, Servable
from serving.model_server.status import as_status, invalid

INT32_MAX = 2**31 - 1
_MOST_TEXT = 1024  # bytes of an error's text
_NO_SPEC = "Missing ModelSpec"
_SERVICES = (
    "",
    prediction_service_pb2.DESCRIPTOR.services_by_name["PredictionService"].full_name,
    model_service_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name,
)
Answer = TypeVar("Answer")


def make_server(core: Core, threads: int, max_in_flight: int) -> tuple[grpc.Server, Any]:
    """A server without a port, and its health service, which says NOT_SERVING at first."""
    server = grpc.server(
        ThreadPoolExecutor(threads, "grpc"),
        options=[
            ("grpc.max_receive_message_length", INT32_MAX),
            ("grpc.max_send_message_length", INT32_MAX),
            ("grpc.so_reuseport", 0),  # a port that is taken is an error
        ],
        maximum_concurrent_rpcs=max_in_flight,
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Predictions(core), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelStates(core), server)
    healthy = _Health()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    set_health(healthy, False)
    return server, healthy


class _Health(health.HealthServicer):
    """Answers from a thread of its own: who probes a server gives it up if it does not, though it
    only has much to compute."""

    def Check(self, request, context) -> health_pb2.HealthCheckResponse:
        return super().Check(request, context)

    Check.experimental_thread_pool = ThreadPoolExecutor(1, "health")  # type: ignore[attr-defined]


def set_health(healthy: Any, serving: bool) -> None:
    states = health_pb2.HealthCheckResponse
    for name in _SERVICES:
        healthy.set(name, states.SERVING if serving else states.NOT_SERVING)


def _deadline(context: grpc.ServicerContext) -> float | None:
    left = context.time_remaining()
    return None if left is None else time.monotonic() + left


class Predictions(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict, Classify, Regress, MultiInference, GetModelMetadata."""

    def __init__(self, core: Core):
        self._core = core

    def _ask(
        self,
        api: str,
        request: Any,
        context: grpc.ServicerContext,
        answer: Callable[[methods.Run, Servable, str], Answer],
    ) -> Answer:
        """Counts the request, too."""
        started, spec, metrics = time.monotonic(), request.model_spec, self._core.metrics
        try:
            if not request.HasField("model_spec"):
                raise invalid(_NO_SPEC)
            run = self._core.runner(_deadline(context), api)
            with self._core.models.use(spec.name, *_choice(spec)) as servable:
                response = answer(run, servable, spec.signature_name or DEFAULT_SIGNATURE)
        except Exception as error:
            metrics.count_request(spec.name, as_status(error).code.name)
            raise _abort(context, error) from error
        metrics.observe_request(spec.name, api, "GRPC", time.monotonic() - started)
        metrics.count_request(spec.name, grpc.StatusCode.OK.name)
        return response

    def Predict(self, request, context) -> predict_pb2.PredictResponse:
        return self._ask(
            "Predict",
            request,
            context,
            lambda run, servable, _: methods.predict_message(run, servable, request),
        )

    def Classify(self, request, context) -> classification_pb2.ClassificationResponse:
        made = classification_pb2.ClassificationResponse
        return self._judge("Classify", methods.classify, made, request, context)

    def Regress(self, request, context) -> regression_pb2.RegressionResponse:
        made = regression_pb2.RegressionResponse
        return self._judge("Regress", methods.regress, made, request, context)

    def _judge(self, api: str, method: Callable, made: Callable, request, context) -> Any:
        """What `method` says of the request's examples, as a `made` response."""

        def answer(run, servable, signature):
            result = method(run, servable, signature, request.input)
            count = methods.example_count(request.input)
            self._core.metrics.count_examples(servable.name, count)
            return made(result=result, model_spec=methods.model_spec(servable, signature))

        return self._ask(api, request, context, answer)

    def MultiInference(self, request, context) -> inference_pb2.MultiInferenceResponse:
        """Not among the requests that are counted; its examples are."""
        spec = request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()
        try:
            run = self._core.runner(_deadline(context))
            with self._core.models.use(spec.name, *_choice(spec)) as servable:
                response = methods.multi_inference(run, servable, request)
        except Exception as error:
            raise _abort(context, error) from error
        self._core.metrics.count_examples(spec.name, methods.example_count(request.input))
        return response

    def GetModelMetadata(self, request, context) -> get_model_metadata_pb2.GetModelMetadataResponse:
        try:
            return _metadata(self._core, request)
        except Exception as error:
            raise _abort(context, error) from error


class ModelStates(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus, HandleReloadConfigRequest."""

    def __init__(self, core: Core):
        self._core = core

    def GetModelStatus(self, request, context) -> get_model_status_pb2.GetModelStatusResponse:
        try:
            if not request.HasField("model_spec"):
                raise invalid(_NO_SPEC)
            number, _ = _choice(request.model_spec)
            return answers.status(self._core.models, request.model_spec.name, number)
        except Exception as error:
            raise _abort(context, error) from error

    def HandleReloadConfigRequest(
        self, request, context
    ) -> model_management_pb2.ReloadConfigResponse:
        try:
            if request.config.WhichOneof("config") != "model_config_list":
                raise invalid(
                    "ServerModelConfig type not supported by HandleReloadConfigRequest. Only "
                    "ModelConfigList is currently supported"
                )
            self._core.models.reload(request.config)
        except Exception as error:
            raise _abort(context, error) from error
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        return response


def _metadata(
    core: Core, request: get_model_metadata_pb2.GetModelMetadataRequest
) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """As get_model_metadata_impl.cc. Raises StatusError."""
    if not request.HasField("model_spec"):
        raise invalid(_NO_SPEC)
    if not request.metadata_field:
        raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
    for field in request.metadata_field:
        if field != "signature_def":
            raise invalid(f"Metadata field {field} is not supported")
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    with core.models.use(request.model_spec.name, *_choice(request.model_spec)) as servable:
        response.model_spec.CopyFrom(methods.model_spec(servable))
        response.metadata["signature_def"].Pack(answers.signature_map(servable))
    return response


def _choice(spec: model_pb2.ModelSpec) -> tuple[int | None, str | None]:
    """The version and the label that are asked for; at most one is."""
    kind = spec.WhichOneof("version_choice")
    number = spec.version.value if kind == "version" else None
    return number, spec.version_label if kind == "version_label" else None


def _abort(context: grpc.ServicerContext, error: Exception) -> Exception:
    """Never returns: `abort` raises what ends the call."""
    status = as_status(error)
    text = status.message.encode("utf-8", "surrogateescape")
    if len(text) > _MOST_TEXT:
        text = text[:_MOST_TEXT] + b"...TRUNCATED"
    context.abort(status.code, text.decode("utf-8", "replace"))
    return status
