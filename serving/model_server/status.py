"""Status codes and errors of a request, in the numbering that both protocols share.

TensorFlow's errors, gRPC's codes and `error_code` in a status are one numbering (google.rpc.Code);
REST turns it into an HTTP status (`ToHTTPStatusCode` in TensorFlow Serving's http_server.cc).
"""

from __future__ import annotations

import re

import tensorflow as tf
from grpc import StatusCode

from pipelines.errors import DfdetectError

HTTP_STATUS = {
    StatusCode.OK: 200,
    StatusCode.CANCELLED: 499,
    StatusCode.UNKNOWN: 500,
    StatusCode.INVALID_ARGUMENT: 400,
    StatusCode.DEADLINE_EXCEEDED: 504,
    StatusCode.NOT_FOUND: 404,
    StatusCode.ALREADY_EXISTS: 409,
    StatusCode.PERMISSION_DENIED: 403,
    StatusCode.RESOURCE_EXHAUSTED: 429,
    StatusCode.FAILED_PRECONDITION: 400,
    StatusCode.ABORTED: 409,
    StatusCode.OUT_OF_RANGE: 400,
    StatusCode.UNIMPLEMENTED: 501,
    StatusCode.INTERNAL: 500,
    StatusCode.UNAVAILABLE: 503,
    StatusCode.DATA_LOSS: 500,
    StatusCode.UNAUTHENTICATED: 401,
}
# What TensorFlow's Python side puts around the message of an operation.
_AROUND = re.compile(
    r"\AGraph execution error:\n\n"
    r'(?:(?:Detected at node .*|<stack traces unavailable>|  File ".*|)\n)*'
    r"| \[Op:__inference_\w+\]\Z"
)
_BY_NUMBER = {code.value[0]: code for code in StatusCode}


class StatusError(DfdetectError):
    """A request or a load that failed: a code and a sentence."""

    def __init__(self, code: StatusCode, message: str):
        super().__init__(message)
        self.code, self.message = code, message


def invalid(message: str) -> StatusError:
    return StatusError(StatusCode.INVALID_ARGUMENT, message)


def as_status(error: Exception) -> StatusError:
    """Any exception, with the code that comes nearest."""
    if isinstance(error, StatusError):
        return error
    if isinstance(error, tf.errors.OpError):
        code = _BY_NUMBER.get(error.error_code, StatusCode.UNKNOWN)
        return StatusError(code, _AROUND.sub("", str(error.message)))
    if isinstance(error, FileNotFoundError):
        return StatusError(StatusCode.NOT_FOUND, str(error))
    return StatusError(StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
