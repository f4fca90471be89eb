"""REST client of TensorFlow Serving, by httpx alone: neither TensorFlow nor gRPC is imported.

https://www.tensorflow.org/tfx/serving/api_rest
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import email.utils
import json
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx

from pipelines.model_contract import SERVING_DEFAULT, Signature
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

CONNECT_S = 5.0  # a server that is there takes a connection at once

_KINDS: dict[int, type[ModelServerError]] = {404: NotFound, 408: Timeout, 504: Timeout}
_BUSY = (429, 503)


class RestClient(RemoteModel):
    """A model behind TensorFlow Serving's REST API, ours or the stock server.

    address: http(s)://HOST:PORT; the other arguments are those of RemoteModel. Holds connections
    open until it is closed; `with` closes it. Threads may share it.
    """

    def _open(self) -> None:
        self._models = f"{self._address}/v1/models"
        self._http = httpx.Client(trust_env=False)
        # For those, like Beam's handlers, that never say that they are done.
        self._end = weakref.finalize(self, self._http.close)

    def close(self) -> None:
        self._end()

    def _states(self, left_s: float) -> Sequence[VersionState]:
        # Without the label, which this address takes and does not heed.
        spec = dataclasses.replace(self._spec, label="")
        body = self._send("GET", f"{self._models}/{spec}", None, left_s)
        with self._expecting(body):
            return [
                VersionState(int(v["version"]), v["state"], v["status"]["error_message"])
                for v in body["model_version_status"]
            ]

    def ask_version(self, spec: ModelSpec, left_s: float) -> int:
        body = self._send("GET", f"{self._models}/{spec}/metadata", None, left_s)
        with self._expecting(body):
            return int(body["model_spec"]["version"])

    def ask_outputs(
        self, spec: ModelSpec, signature: Signature, strings: Sequence, left_s: float
    ) -> Mapping[str, Any]:
        (name,) = signature.inputs
        request: dict[str, Any] = {"inputs": {name: _encoded(strings)}}
        if signature != SERVING_DEFAULT:  # which it is when it is left out
            request["signature_name"] = signature.name
        content = json.dumps(request).encode()
        body = self._send("POST", f"{self._models}/{spec}:predict", content, left_s)
        with self._expecting(body):
            return dict(body["outputs"])

    @contextlib.contextmanager
    def _expecting(self, body: Any) -> Iterator[None]:
        """Raises ModelServerError where what is read from the body is not there."""
        try:
            yield
        except (KeyError, TypeError, ValueError) as error:
            raise ModelServerError(
                f"{self._address}: not the answer of a model server: {str(body)[:200]!r}. Is it "
                "the REST address of TensorFlow Serving?"
            ) from error

    def _send(self, method: str, address: str, content: bytes | None, left_s: float) -> Any:
        """One request -> the JSON of its response."""
        end = time.monotonic() + left_s
        timeout = httpx.Timeout(left_s, connect=min(left_s, CONNECT_S))
        chunks = []
        try:
            with self._http.stream(method, address, content=content, timeout=timeout) as response:
                for chunk in response.iter_bytes():
                    chunks.append(chunk)
                    if time.monotonic() > end:  # httpx only bounds the wait for the next piece
                        raise httpx.ReadTimeout("the response comes too slowly")
        except httpx.ConnectTimeout as error:
            raise self._unreachable(error) from error
        except httpx.TimeoutException as error:
            raise Timeout(
                f"{address}: no answer within {left_s:.3g} s. Is the server overloaded?"
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from error
        return _result(address, response, b"".join(chunks))

    def _unreachable(self, error: Exception) -> Unreachable:
        return Unreachable(
            f"{self._address}: no model server answers ({error}). Start one with `dfdetect serve`."
        )


def _encoded(strings: Sequence) -> list:
    return [
        {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else _encoded(value)
        for value in strings
    ]


def _result(address: str, response: httpx.Response, content: bytes) -> Any:
    """The JSON of a response; raises what its status stands for."""
    try:
        body = json.loads(content)
    except ValueError:
        body = content.decode(errors="replace")
    if response.is_success:
        return body
    detail = body["error"] if isinstance(body, dict) and "error" in body else body
    message = f"{address}: status {response.status_code}: {str(detail)[:500]}"
    if response.status_code in _BUSY:
        raise Overloaded(message, _retry_after_s(response.headers.get("Retry-After")))
    other = InvalidRequest if response.is_client_error else ModelServerError
    raise _KINDS.get(response.status_code, other)(message)


def _retry_after_s(header: str | None) -> float | None:
    """Seconds, from a number of them or a date (RFC 9110, 10.2.3); None where it says neither."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        then = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, then.timestamp() - time.time())
