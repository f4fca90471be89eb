"""Errors of inference, an exception for each thing that the caller can do about it."""

from __future__ import annotations

from pipelines.errors import DfdetectError


class ModelServerError(DfdetectError):
    """The model gave no answer that can be used."""


class Unreachable(ModelServerError):
    """Nobody answers at the address. Asking again may help."""


class Timeout(ModelServerError):
    """The answer did not come in time."""


class NotFound(ModelServerError):
    """The server has no such model or version, or not yet."""


class InvalidRequest(ModelServerError):
    """The server or the model refused the request: asking again does not help."""


class Overloaded(ModelServerError):
    """The server has too much to do. Asking again later helps.

    retry_after_s: how long the server asks to be left alone, if it says.
    """

    def __init__(self, message: str, retry_after_s: float | None = None):
        super().__init__(message)
        self.retry_after_s = retry_after_s


class FingerprintMismatch(ModelServerError, ValueError):
    """This package would make other crops than those that the model was trained on."""


class Disagreement(ModelServerError):
    """A server that should have the same version of a model as others describes another."""
