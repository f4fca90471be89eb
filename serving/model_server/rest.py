"""REST API of the model server: https://www.tensorflow.org/tfx/serving/api_rest

Paths are matched, and what matches none is refused, by the two patterns of http_rest_api_util.cc;
the order of checks and what is counted are those of http_rest_api_handler.cc and http_server.cc
(model_servers/ of TensorFlow Serving 2.20). Errors of the API are {"error": message}.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
import time
import zlib
from concurrent import futures
from typing import Any
from urllib.parse import unquote

from google.protobuf import json_format
from grpc import StatusCode

from serving.model_server import (
    answers,
    json_answers,
    json_examples,
    json_tensors,
    methods,
)
from serving.model_server.core import Core
from serving.model_server.http_messages import Head, Response, page
from serving.model_server.http_server import Exchange
from serving.model_server.prometheus import CONTENT_TYPE
from serving.model_server.servable import DEFAULT_SIGNATURE
from serving.model_server.status import HTTP_STATUS, StatusError, as_status, invalid

_VERSION = r"(?:(?:/versions/(\d+))|(?:/labels/([^/:]+)))?"
_ASK = re.compile(rf"/v1/models/([^/:]+){_VERSION}:(classify|regress|predict)", re.A | re.I)
_LOOK = re.compile(rf"/v1/models(?:/([^/:]+))?{_VERSION}(?:/(metadata))?", re.A | re.I)
_SMALL_BYTES = 1 << 16  # of a body


@dataclasses.dataclass
class _Call:
    """What a request's line asks for. api: classify, regress, predict; "" to look at a model."""

    name: str = ""
    number: int | None = None
    label: str | None = None
    api: str = ""
    metadata: bool = False


class RestApi:
    """Answers the requests of an HttpServer; holds the threads that do."""

    def __init__(
        self,
        core: Core,
        threads: int,
        timeout_s: float,
        max_in_flight: int,
        max_body_bytes: int,
        metrics_path: str | None,
    ):
        self._core, self.timeout_s = core, timeout_s
        self._max_in_flight, self.max_body_bytes = max_in_flight, max_body_bytes
        self._metrics_path = metrics_path
        # A thread pool takes first what came first: small requests have one of their own, or each
        # would wait for a thread behind all the clips that are waiting.
        self._pool = futures.ThreadPoolExecutor(threads, "rest")
        self._pool_of_small = futures.ThreadPoolExecutor(threads, "rest-small")
        self._works: set[futures.Future] = set()
        self.in_flight = 0

    def close(self, timeout_s: float) -> bool:
        """Whether the threads came to an end; they may still compute what was given up."""
        for pool in (self._pool, self._pool_of_small):
            pool.shutdown(wait=False, cancel_futures=True)
        return not futures.wait(list(self._works), timeout_s).not_done

    def open(self, head: Head) -> Exchange | Response:
        if head.path == self._metrics_path:
            return _Exchange(self, head, self._metrics_page)
        if not head.path.lower().startswith("/v1/"):
            return page(404)
        if head.method == "OPTIONS":
            return _Exchange(self, head, self._preflight)
        if head.method != "POST":  # small and quick; not behind those that compute
            return _Exchange(self, head, self._look_at)
        if self.in_flight >= self._max_in_flight:
            return error_response(
                StatusError(StatusCode.UNAVAILABLE, "The server has too many requests at once.")
            )
        return _Exchange(self, head, self._compute)

    async def _metrics_page(self, head: Head, body: bytes, deadline: float) -> Response:
        if head.target != head.path:
            text = f"Unexpected path: {head.target}. Should be {head.path}"
            return Response(400, text.encode(), CONTENT_TYPE)
        return Response(200, self._core.metrics.page(), CONTENT_TYPE)

    async def _preflight(self, head: Head, body: bytes, deadline: float) -> Response:
        """Without CORS headers: that is what the stock server's --enable_cors_support adds."""
        if re.search("https?://", head.headers.get("origin", "")):
            self._core.metrics.observe_request("", "", "REST", 0.0)
            self._core.metrics.count_request("", StatusCode.OK.name)
            return Response(200, content_type="")
        self._core.metrics.count_request("", StatusCode.FAILED_PRECONDITION.name)
        return Response(400, content_type="")

    async def _look_at(self, head: Head, body: bytes, deadline: float) -> Response:
        started, call = time.monotonic(), _Call()
        try:
            _read_target(head, call)
            content = self._look(call)
        except Exception as error:
            return self._failed(call, error)
        return self._done(call, content, started)

    async def _compute(self, head: Head, body: bytes, deadline: float) -> Response:
        started, call = time.monotonic(), _Call()
        try:
            _read_target(head, call)
            pool = self._pool_of_small if len(body) <= _SMALL_BYTES else self._pool
            work = pool.submit(self._ask, head, call, body, deadline)
            self._works.add(work)
            work.add_done_callback(self._works.discard)
            left = max(0.0, deadline - started)
            content = await asyncio.wait_for(asyncio.wrap_future(work), left)
        except TimeoutError:
            return self._failed(call, self.late())
        except _TooLarge:
            return self.too_large()
        except Exception as error:
            return self._failed(call, error)
        return self._done(call, content, started)

    def late(self) -> StatusError:
        text = f"The request was not answered within {self.timeout_s:g} s."
        return StatusError(StatusCode.DEADLINE_EXCEEDED, text)

    def too_large(self) -> Response:
        text = f"The body is larger than {self.max_body_bytes} bytes."
        return Response(413, json_answers.error(text))

    def _failed(self, call: _Call, error: Exception) -> Response:
        status = as_status(error)
        self._core.metrics.count_request(call.name, status.code.name)
        return error_response(status)

    def _done(self, call: _Call, content: bytes, started: float) -> Response:
        seconds = time.monotonic() - started
        self._core.metrics.observe_request(call.name, call.api, "REST", seconds)
        self._core.metrics.count_request(call.name, StatusCode.OK.name)
        return Response(200, content)

    def _ask(self, head: Head, call: _Call, body: bytes, deadline: float) -> bytes:
        """The answer's body. Raises StatusError, _TooLarge, tf.errors.OpError."""
        if "gzip" in head.headers.get("content-encoding", ""):
            body = _unzip(body, self.max_body_bytes)
        run = self._core.runner(deadline, call.api.capitalize())
        document = json_tensors.loads(body)
        signature = json_tensors.signature_name(document)
        if call.api == "predict":
            with self._core.models.use(call.name, call.number, call.label) as servable:
                return self._predict(run, servable, signature, document)
        examples = json_examples.read_examples(document)
        with self._core.models.use(call.name, call.number, call.label) as servable:
            name = signature or DEFAULT_SIGNATURE
            if call.api == "classify":
                classes = methods.classes(run, servable, name, examples)
                answer = json_answers.write_classes(*classes)
            else:
                values = methods.values(run, servable, name, examples)
                answer = json_answers.write_values(values)
        self._core.metrics.count_examples(call.name, methods.example_count(examples))
        return answer

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

    def _look(self, call: _Call) -> bytes:
        if not call.name:
            raise invalid("Missing model name in request.")
        if not call.metadata:  # the label is ignored, as get_model_status_impl.cc does
            status = answers.status(self._core.models, call.name, call.number)
            return json_answers.dumps(_as_json(status))
        with self._core.models.use(call.name, call.number, call.label) as servable:
            spec, signatures = methods.model_spec(servable), answers.signature_map(servable)
        body = {"model_spec": _as_json(spec), "metadata": {"signature_def": _as_json(signatures)}}
        return json_answers.dumps(body)


class _Exchange:
    """A request that is being read or answered."""

    def __init__(self, api: RestApi, head: Head, answer: Any):
        self.most_bytes, self.timeout_s = api.max_body_bytes, api.timeout_s
        self._api, self._head, self._answer = api, head, answer
        self._deadline = time.monotonic() + api.timeout_s
        self._counts = head.method == "POST"
        api.in_flight += self._counts

    async def answer(self, body: bytes) -> Response:
        return await self._answer(self._head, body, self._deadline)

    def too_large(self) -> Response:
        return self._api.too_large()

    def late(self) -> Response:
        return error_response(self._api.late())

    def end(self) -> None:
        self._api.in_flight -= self._counts


class _TooLarge(Exception):
    """A body beyond the limit once it is unpacked."""


def error_response(error: StatusError) -> Response:
    return Response(HTTP_STATUS[error.code], json_answers.error(error.message))


def _read_target(head: Head, call: _Call) -> None:
    """Fills the call. Raises StatusError."""
    pattern = {"POST": _ASK, "GET": _LOOK}.get(head.method)
    match = pattern.fullmatch(head.target) if pattern else None
    if match is None:
        raise invalid(f"Malformed request: {head.method} {head.target}")
    name, number, label, last = match.groups()
    call.name, call.number = unquote(name or ""), _number(number)
    call.label = None if label is None else unquote(label)
    if head.method == "GET":
        call.metadata = last == "metadata"  # another spelling is matched, and not heeded
        return
    call.api = last
    if last != last.lower():
        raise invalid(f"Malformed request: {head.method} {head.target}")


def _as_json(message: Any) -> dict[str, Any]:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _number(digits: str | None) -> int | None:
    if digits is None:
        return None
    significant = digits.lstrip("0") or "0"
    if len(significant) > 19 or int(significant) >= 2**63:
        raise invalid(f"Failed to convert version: {digits} to numeric.")
    return int(significant)


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
