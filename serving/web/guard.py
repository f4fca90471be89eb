"""Middleware around every request: security headers, access log, and the token check."""

from __future__ import annotations

import base64
import contextlib
import hmac
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request, Security
from fastapi.openapi.models import HTTPBase, HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.web.api_keys import ApiKey, Keyring
from serving.web.clients import client_of
from serving.web.connections import Requests
from serving.web.origin import Origins
from serving.web.problems import Problem, internal
from serving.web.prometheus import Metrics
from serving.web.refusals import refuse
from serving.web.token_guard import TokenGuard

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with "no-referrer" a form's Origin is "null"
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

HEALTH = "/healthz"  # answered however many requests there are
METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH")

log = logging.getLogger("dfdetect.web.access")


class _Scheme(SecurityBase):
    """A security scheme as the API's description names it; `token_check` does the work."""

    def __init__(self, name: str, model: HTTPBase):
        self.scheme_name, self.model = name, model

    def __call__(self) -> None:
        """Looks at nothing."""


BEARER = _Scheme("bearer", HTTPBearer(description="The token of the server."))
BASIC = _Scheme(
    "basic", HTTPBase(scheme="basic", description="The token as the password, with any name.")
)


class Guard:
    """Sets the headers that an answer does not set itself, and logs and counts the request.

    HEAD is answered wherever GET is: as that, without the body (RFC 9110, section 9.3.2).

    What fails inside without an answer is answered here, so that this has the headers too.

    The log names the route, not the address: who knows a job's id may read its result.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, requests: Requests, origins: Origins):
        self._app, self._metrics = app, metrics
        self._requests, self._origins = requests, origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        status = 0
        method, head = scope["method"], scope["method"] == "HEAD"
        scope = {**scope, "method": "GET"} if head else scope
        answered = False

        async def guarded(message: Message) -> None:
            nonlocal status, answered
            if head and message["type"] == "http.response.body":
                if answered:  # a stream finds out that its client has gone
                    return
                message, answered = {"type": "http.response.body"}, True
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            with self._admitted(scope):
                await self._app(scope, receive, guarded)
        except Exception as error:
            if status:  # too late for an answer of ours
                raise
            if not isinstance(error, Problem):
                log.exception("a request failed")
                error = internal()
            await refuse(error, scope)(scope, receive, guarded)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            method = method if method in METHODS else "other"
            self._metrics.requests.labels(method, route, status).inc()
            log.info("%s %s %d %.3f s", method, route, status, time.monotonic() - started)

    def _admitted(self, scope: Scope) -> contextlib.AbstractContextManager[None]:
        """Around the request. Raises Problem."""
        self._origins.check(scope)
        if scope["path"] == HEALTH:
            return contextlib.nullcontext()
        return self._requests.under_way(client_of(HTTPConnection(scope)))


def token_check(token: str | None) -> Callable[..., Awaitable[None]]:
    """A dependency that raises Problem where a request lacks the token.

    Programs send it as `Authorization: Bearer TOKEN`. Browsers ask for it and send it as the
    password of HTTP's Basic scheme, with any name, wherever a page of ours leads them.
    """

    async def open_to_all() -> None:
        """Checks nothing."""

    if token is None:
        return open_to_all
    expected = token.encode()
    return _check(
        lambda given: hmac.compare_digest(given, expected), "Send the token of this server."
    )


def key_check(keys: Keyring) -> Callable[..., Awaitable[None]]:
    """A dependency that finds the key of a request, sent as a token is, and leaves it in the
    request's `state.key`. Raises Problem where there is none, or none that is known."""
    return _check(keys.find, "Send an API key of this server; one that was revoked is none.")


def _check(look_up: Callable[[bytes], Any], advice: str) -> Callable[..., Awaitable[None]]:
    guard = TokenGuard(look_up)

    async def check(
        request: Request,
        _bearer: None = Security(BEARER),
        _basic: None = Security(BASIC),
    ) -> None:
        given = request.headers.get("authorization")
        key = None if given is None else guard.check(_given(given), client_of(request))
        if not key:
            raise _unauthorized(advice)
        request.state.key = key if isinstance(key, ApiKey) else None

    return check


def _unauthorized(what: str) -> Problem:
    challenge = {"WWW-Authenticate": 'Basic realm="dfdetect", charset="UTF-8"'}
    return Problem("unauthorized", what, challenge)


def _given(authorization: str) -> bytes:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip().encode("latin-1")  # as it came
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).partition(b":")[2]
        except ValueError:  # no base64, or not even ASCII
            return b""
    return b""
