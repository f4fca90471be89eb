"""REST API of the model server: https://www.tensorflow.org/tfx/serving/api_rest

Paths are matched, and what matches none is refused, by the two patterns of TensorFlow Serving's
http_rest_api_util.cc; the order of checks is that of its http_rest_api_handler.cc. All errors are
{"error": message}.
"""

from __future__ import annotations

import asyncio
import re
import time
import zlib
from concurrent import futures
from typing import Any
from urllib.parse import unquote

from google.protobuf import json_format
from grpc import StatusCode
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from serving.model_server import (
    answers,
    json_answers,
    json_examples,
    json_tensors,
    methods,
)
from serving.model_server.core import Core
from serving.model_server.prometheus import CONTENT_TYPE
from serving.model_server.servable import DEFAULT_SIGNATURE
from serving.model_server.status import HTTP_STATUS, StatusError, as_status, invalid

_VERSION = r"(?:(?:/versions/(\d+))|(?:/labels/([^/:]+)))?"
_ASK = re.compile(rf"(?i:/v1/models/([^/:]+){_VERSION}):(classify|regress|predict)", re.A)
_LOOK = re.compile(rf"(?i:/v1/models(?:/([^/:]+))?{_VERSION})(?:/(metadata))?", re.A)
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class _TooLarge(Exception):
    """A body beyond the limit."""


class RestApi:
    """The ASGI application and the threads that answer its requests."""

    def __init__(
        self,
        core: Core,
        threads: int,
        timeout_s: float,
        max_in_flight: int,
        max_body_bytes: int,
        metrics_path: str | None,
    ):
        self._core, self._timeout_s = core, timeout_s
        self._max_in_flight, self._max_body_bytes = max_in_flight, max_body_bytes
        self._pool = futures.ThreadPoolExecutor(threads, "rest")
        self._works: set[futures.Future] = set()
        self._in_flight = 0
        self.draining = False  # connections end with the answers that are under way
        routes = [Route("/{path:path}", self._api, methods=_METHODS)]
        if metrics_path:
            routes.insert(0, Route(metrics_path, self._metrics_page, methods=["GET"]))
        self.app = Starlette(routes=routes)

    def close(self, timeout_s: float) -> bool:
        """Whether the threads came to an end; they may still compute what was given up."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        return not futures.wait(list(self._works), timeout_s).not_done

    async def _metrics_page(self, request: Request) -> Response:
        return Response(self._core.metrics.page(), media_type=CONTENT_TYPE)

    async def _api(self, request: Request) -> Response:
        started = time.monotonic()
        if not request.scope["path"].lower().startswith("/v1/"):
            return Response("Not Found", 404, media_type="text/plain")
        if request.method != "POST":  # small and quick; not behind those that compute
            return self._at_once(request)
        if self._in_flight >= self._max_in_flight:
            full = StatusError(StatusCode.UNAVAILABLE, "The server has too many requests at once.")
            return self._error(full)
        self._in_flight += 1
        try:
            return await self._answer(request, started)
        finally:
            self._in_flight -= 1

    def _at_once(self, request: Request) -> Response:
        try:
            return self._respond(self._handle(request.method, _target(request), b"", 0.0), 200)
        except Exception as error:
            return self._error(as_status(error))

    async def _answer(self, request: Request, started: float) -> Response:
        deadline = started + self._timeout_s
        try:
            body = await asyncio.wait_for(self._body(request), self._timeout_s)
        except TimeoutError:
            return self._late()
        except _TooLarge:
            text = f"The body is larger than {self._max_body_bytes} bytes."
            return self._respond(json_answers.error(text), 413)
        except ClientDisconnect:
            return Response(status_code=499)
        except StatusError as error:
            return self._error(error)
        work = self._pool.submit(self._handle, "POST", _target(request), body, deadline)
        self._works.add(work)
        work.add_done_callback(self._works.discard)
        left = max(0.0, deadline - time.monotonic())
        try:
            content = await asyncio.wait_for(asyncio.wrap_future(work), left)
        except TimeoutError:
            return self._late()
        except Exception as error:
            return self._error(as_status(error))
        return self._respond(content, 200)

    def _late(self) -> Response:
        text = f"The request was not answered within {self._timeout_s:g} s."
        return self._error(StatusError(StatusCode.DEADLINE_EXCEEDED, text))

    def _error(self, error: StatusError) -> Response:
        return self._respond(json_answers.error(error.message), HTTP_STATUS[error.code])

    def _respond(self, content: bytes, status: int) -> Response:
        headers = {"connection": "close"} if self.draining else None
        return Response(content, status, headers, media_type="application/json")

    async def _body(self, request: Request) -> bytes:
        """The body, unpacked. Raises _TooLarge, ClientDisconnect, StatusError."""
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size > self._max_body_bytes:
                raise _TooLarge
            parts.append(part)
        body = b"".join(parts)
        if "gzip" in request.headers.get("content-encoding", ""):
            return _unzip(body, self._max_body_bytes)
        return body

    def _handle(self, method: str, target: str, body: bytes, deadline: float) -> bytes:
        """The answer's body. Raises StatusError."""
        if method == "POST" and (match := _ASK.fullmatch(target)):
            name, number, label, api = match.groups()
            return self._ask(unquote(name), _number(number), _text(label), api, body, deadline)
        if method == "GET" and (match := _LOOK.fullmatch(target)):
            name, number, label, metadata = match.groups()
            version = _number(number)
            if not name:
                raise invalid("Missing model name in request.")
            return self._look(unquote(name), version, _text(label), bool(metadata))
        raise invalid(f"Malformed request: {method} {target}")

    def _ask(
        self,
        name: str,
        number: int | None,
        label: str | None,
        api: str,
        body: bytes,
        deadline: float,
    ) -> bytes:
        run = self._core.runner(deadline)
        with self._core.recorded(name, api.capitalize(), "REST"):
            document = json_tensors.loads(body)
            signature = json_tensors.signature_name(document)
            if api == "predict":
                with self._core.models.use(name, number, label) as servable:
                    return self._predict(run, servable, signature, document)
            examples = json_examples.read_examples(document)
            with self._core.models.use(name, number, label) as servable:
                signature_name = signature or DEFAULT_SIGNATURE
                if api == "classify":
                    classes = methods.classes(run, servable, signature_name, examples)
                    return json_answers.write_classes(*classes)
                values = methods.values(run, servable, signature_name, examples)
                return json_answers.write_values(values)

    def _predict(
        self, run: methods.Run, servable: Any, signature: str, document: dict[str, Any]
    ) -> bytes:
        signature_name = signature or DEFAULT_SIGNATURE
        if signature_name not in servable.signatures:
            raise invalid(f'Serving signature name: "{signature_name}" not found in signature def')
        specs = servable.signatures[signature_name].inputs
        inputs, by_row = json_tensors.read_request(document, signature, specs)
        outputs = methods.predict(run, servable, signature_name, inputs)
        return json_answers.write_response(outputs, by_row)

    def _look(self, name: str, number: int | None, label: str | None, metadata: bool) -> bytes:
        if not metadata:  # the label is ignored, as get_model_status_impl.cc does
            return json_answers.dumps(_as_json(answers.status(self._core.models, name, number)))
        with self._core.models.use(name, number, label) as servable:
            spec, signatures = methods.model_spec(servable), answers.signature_map(servable)
        body = {"model_spec": _as_json(spec), "metadata": {"signature_def": _as_json(signatures)}}
        return json_answers.dumps(body)


def _target(request: Request) -> str:
    """Path and query as they were sent."""
    path, query = request.scope["raw_path"].decode("latin-1"), request.url.query
    return f"{path}?{query}" if query else path


def _as_json(message: Any) -> dict[str, Any]:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _number(digits: str | None) -> int | None:
    if digits is None:
        return None
    if len(digits.lstrip("0")) > 19 or int(digits) >= 2**63:
        raise invalid(f"Failed to convert version: {digits} to numeric.")
    return int(digits)


def _text(quoted: str | None) -> str | None:
    return None if quoted is None else unquote(quoted)


def _unzip(body: bytes, limit: int) -> bytes:
    """Raises _TooLarge, StatusError."""
    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        unzipped = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise invalid(f"Failed to uncompress the gzipped body: {error}") from error
    if len(unzipped) > limit:
        raise _TooLarge
    if not unpacker.eof:
        raise invalid("Failed to uncompress the gzipped body: it ends too early")
    return unzipped
