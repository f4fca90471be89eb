"""Connections of the web application: bounded in all and per client, and in the time of a header.

uvicorn bounds none of this: its `limit_concurrency` also counts connections without a request,
and then refuses every request, `/healthz` too.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import prometheus_client
from uvicorn.protocols.http.h11_impl import H11Protocol

from serving.web.clients import client_at
from serving.web.problems import Problem

RETRY_S = 2
SEND_S = 60.0  # a client that takes nothing of an answer for so long is left

log = logging.getLogger("dfdetect.web")


def reserve(most: int) -> int:
    """Of so many connections, those that no request but `/healthz` may hold."""
    return max(1, most // 8)


class Requests:
    """The requests under way, in all and of a client: fewer than connections by the reserve, so
    that there always is one to close for `/healthz`."""

    def __init__(self, connections: Connections):
        self._most = connections.most - reserve(connections.most)
        self._most_of_client = connections.most_of_client - reserve(connections.most_of_client)
        self._of_client: Counter[str] = Counter()

    @contextlib.contextmanager
    def under_way(self, client: str) -> Iterator[None]:
        """Around a request. Raises Problem where there are too many."""
        if self._of_client.get(client, 0) >= self._most_of_client:
            raise _too_many(f"{self._most_of_client} requests of this client", 429)
        if self._of_client.total() >= self._most:
            raise _too_many(f"{self._most} requests", 503)
        self._of_client[client] += 1
        try:
            yield
        finally:
            self._of_client[client] -= 1
            if not self._of_client[client]:
                del self._of_client[client]


def _too_many(what: str, status: int) -> Problem:
    detail = f"{what} are being answered, as many as may be at a time. Try again in {RETRY_S} s."
    return Problem("too-many-requests", detail, {"Retry-After": str(RETRY_S)}, status)


class Connections:
    """The open connections of a server, in one event loop.

    most, most_of_client: how many there may be. proxies: whose connections are of many clients.
    closed: counts those that were closed to keep a bound.
    """

    def __init__(
        self,
        most: int,
        most_of_client: int,
        header_timeout_s: float,
        proxies: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network],
        closed: prometheus_client.Counter,
    ):
        self.most, self.most_of_client = most, most_of_client
        self.header_timeout_s = header_timeout_s
        self._proxies, self._closed = tuple(proxies), closed
        self._open: dict[Connection, str] = {}  # in the order in which they came
        self._of_client: dict[str, dict[Connection, None]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: Connection, host: str) -> bool:
        """Takes a connection up, or says that there is no room for it."""
        client = client_at(host)
        theirs = self._of_client.get(client, {})
        if len(theirs) >= self.most_of_client and not self._is_proxy(host):
            room = self._make_room(theirs)
        else:
            room = len(self._open) < self.most or self._make_room(self._open)
        if room:
            self._open[connection] = client
            self._of_client.setdefault(client, {})[connection] = None
        return room

    def drop(self, connection: Connection) -> None:
        client = self._open.pop(connection, None)
        if client is not None:
            theirs = self._of_client[client]
            del theirs[connection]
            if not theirs:
                del self._of_client[client]

    def close(self, connection: Connection, why: str) -> None:
        """Closes a connection to keep a bound."""
        self._closed.labels(why).inc()
        log.info("a connection was closed: %s", why)
        self.drop(connection)
        connection.transport.abort()

    def _make_room(self, crowd: Collection[Connection]) -> bool:
        """Closes the oldest connection of those that have never sent a request, else of those that
        send none now, else of those that do not take their answer. Others are left alone."""
        classes: tuple[Callable[[Connection], bool], ...] = (
            lambda connection: connection.cycle is None,
            lambda connection: connection.awaits_request and not connection.unsent,
            lambda connection: connection.awaits_request,
        )
        for leaves in classes:
            for connection in crowd:
                if leaves(connection):
                    self.close(connection, "room")
                    return True
        return False

    def _is_proxy(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self._proxies)


class Connection(H11Protocol):
    """uvicorn's connection, with a time limit for a request's header and for a client that does not
    take its answer."""

    def __init__(self, connections: Connections, **of_uvicorn: Any):
        super().__init__(**of_uvicorn)
        self._bounds = connections
        self._timer: asyncio.TimerHandle | None = None
        self._unsent = 0  # bytes of the answer that waited when the timer was set

    @property
    def awaits_request(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    @property
    def unsent(self) -> int:
        """Bytes of answers that the client has not taken, beside what the kernel holds."""
        return self.transport.get_write_buffer_size()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._bounds.admit(self, self.client[0] if self.client else ""):
            self._watch()
        else:
            self._bounds.close(self, "refused")

    def connection_lost(self, error: Exception | None) -> None:
        self._bounds.drop(self)
        self._unwatch()
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._unwatch_at_work()

    def on_response_complete(self) -> None:
        self._watch()
        super().on_response_complete()
        self._unwatch_at_work()  # on a request that came early

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unwatch_at_work()

    def _watch(self) -> None:
        self._unwatch()
        self._unsent = self.unsent
        limit_s = SEND_S if self._unsent else self._bounds.header_timeout_s
        self._timer = self.loop.call_later(limit_s, self._late)

    def _unwatch_at_work(self) -> None:
        """While a request is under way its time is the application's matter."""
        if not self.awaits_request and not self.flow.write_paused:
            self._unwatch()

    def _unwatch(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        if self.unsent < self._unsent:  # the client takes its answer, slowly
            self._watch()
        else:
            self._bounds.close(self, "not read" if self.unsent else "header")
