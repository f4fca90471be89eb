"""Servers for the tests of the clients: one that says what it is told, and a small gRPC one."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Script:
    """Answers of an HTTP server, one after the other; the last one is repeated.

    An answer is (status, body, headers); a status of 0 breaks the connection off, and a body that
    is a list is sent a piece at a time, with a pause between.
    """

    def __init__(self, *answers: tuple):
        self.answers = list(answers)
        self.requests: list[Any] = []  # the JSON of the bodies, None of a GET
        self.paths: list[str] = []

    def next(self) -> tuple:
        status, body, headers = (*self.answers[0], {})[:3]
        if len(self.answers) > 1:
            self.answers.pop(0)
        return status, body, headers


@contextlib.contextmanager
def scripted(script: Script, pause_s: float = 0.0) -> Iterator[str]:
    """A real HTTP server on this machine -> its address. It waits before each piece it sends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            size = int(self.headers.get("Content-Length", 0))
            script.requests.append(json.loads(self.rfile.read(size)) if size else None)
            script.paths.append(self.path)
            status, body, headers = script.next()
            if not status:
                self.close_connection = True
                return
            pieces = body if isinstance(body, list) else [body]
            pieces = [p if isinstance(p, bytes) else json.dumps(p).encode() for p in pieces]
            time.sleep(pause_s)
            self.send_response(status)
            self.send_header("Content-Length", str(sum(map(len, pieces))))
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()
            with contextlib.suppress(OSError):  # a client may have had enough
                for piece in pieces:
                    self.wfile.write(piece)
                    self.wfile.flush()
                    time.sleep(pause_s if len(pieces) > 1 else 0)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def grpc_server(version: Path) -> Iterator[str]:
    """A SavedModel behind the generated servicers of TensorFlow Serving's gRPC API -> HOST:PORT.

    It is served under its folder's name, with the label "stable". Label "slow" makes a caller wait
    for two seconds, and any other is the status that it ends with, CODE=DETAILS.
    """
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        get_model_status_pb2,
        model_service_pb2_grpc,
        predict_pb2,
        prediction_service_pb2_grpc,
    )

    loaded = tf.saved_model.load(str(version))

    number = int(version.name)

    def check(spec: Any, context: grpc.ServicerContext) -> None:
        code, _, details = spec.version_label.partition("=")
        if spec.version_label == "slow":
            time.sleep(2)
        elif details:
            context.abort(grpc.StatusCode[code], details)
        asked_for = (spec.name, spec.version.value or number, spec.version_label or "stable")
        if asked_for != (version.parent.name, number, "stable"):
            context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found: {asked_for}")

    class Predictions(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):
            check(request.model_spec, context)
            inputs = {k: tf.constant(tf.make_ndarray(v)) for k, v in request.inputs.items()}
            try:
                outputs = loaded.signatures[request.model_spec.signature_name](**inputs)
            except tf.errors.InvalidArgumentError as error:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
            response = predict_pb2.PredictResponse()
            for key, value in outputs.items():
                response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
            return response

        def GetModelMetadata(self, request, context):
            check(request.model_spec, context)
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            response.model_spec.version.value = number
            return response

    class Models(model_service_pb2_grpc.ModelServiceServicer):
        def GetModelStatus(self, request, context):
            check(request.model_spec, context)
            response = get_model_status_pb2.GetModelStatusResponse()
            entry = response.model_version_status.add(version=number)
            entry.state = get_model_status_pb2.ModelVersionStatus.AVAILABLE
            return response

    sizes = [(f"grpc.max_{way}_message_length", 2**31 - 1) for way in ("send", "receive")]
    server = grpc.server(futures.ThreadPoolExecutor(4), options=sizes)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Predictions(), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(Models(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
