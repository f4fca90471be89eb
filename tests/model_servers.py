"""Servers for the tests of the clients: one that says what it is told, and one that fails."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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
def grpc_failures() -> Iterator[str]:
    """A real gRPC server of TensorFlow Serving's API that only fails -> HOST:PORT.

    The label that is asked for says how: CODE=DETAILS is the status, "slow" waits for two seconds.
    """
    import grpc
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    class Failing(prediction_service_pb2_grpc.PredictionServiceServicer):
        def GetModelMetadata(self, request, context):
            code, _, details = request.model_spec.version_label.partition("=")
            if code == "slow":
                time.sleep(2)
            context.abort(grpc.StatusCode[code], details)

    server = grpc.server(futures.ThreadPoolExecutor(4))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Failing(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
