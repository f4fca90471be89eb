"""The HTTP/1.1 server under the REST API: connections, their requests in turn, and its end.

Its own, as the general ones for Python cannot do what clients of TensorFlow Serving may rely on:
refuse a body by its announced size before it is sent, keep connections of HTTP/1.0, answer
those who have closed their side after the request.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol, cast

from serving.model_server.http_messages import (
    Body,
    Head,
    Refused,
    Response,
    page,
    parse_head,
    render,
    split_head,
)

log = logging.getLogger(__name__)
_IDLE_S = 60.0  # between requests, and until a request's head is there
_LINGER_S = 2.0  # how long the rest of a body that is not wanted is read and thrown away
_MOST_AHEAD = 1 << 16  # bytes of further requests that are read while one is answered
_BACKLOG = 2048


class Exchange(Protocol):
    """A request whose head was accepted."""

    most_bytes: int  # of the body
    timeout_s: float  # for the body to come

    async def answer(self, body: bytes) -> Response: ...

    def too_large(self) -> Response: ...

    def late(self) -> Response: ...

    def end(self) -> None:
        """Called once, answered or not."""


Open = Callable[[Head], Exchange | Response]


class HttpServer:
    """`start`, then `stop`; answers in a thread of its own."""

    def __init__(self, listener: socket.socket, open_exchange: Open):
        """open_exchange: what is made of a request's head; a Response refuses it, and its body is
        not read."""
        self.listener, self.open_exchange = listener, open_exchange
        self.connections: set[_Connection] = set()
        self.draining = False  # connections end with the answers that are under way
        self._thread = threading.Thread(target=self._run, name="rest-server")

    def start(self) -> None:
        """From now on connections are taken."""
        self.loop = asyncio.new_event_loop()
        self._server = self.loop.run_until_complete(
            self.loop.create_server(lambda: _Connection(self), sock=self.listener, backlog=_BACKLOG)
        )
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def stop(self, timeout_s: float) -> None:
        """Takes no more connections; returns when all have ended, or are cut off at the timeout."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._end(timeout_s), self.loop).result()
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join()
            self.loop.close()

    async def _end(self, timeout_s: float) -> None:
        self.draining = True
        self._server.close()
        for connection in list(self.connections):
            connection.end_when_idle()
        end = time.monotonic() + timeout_s
        while self.connections and time.monotonic() < end:
            await asyncio.sleep(0.02)
        tasks = [connection.abort() for connection in list(self.connections)]
        await asyncio.gather(*filter(None, tasks), return_exceptions=True)


class _Connection(asyncio.Protocol):
    """One request after the other, in the order in which they come."""

    def __init__(self, server: HttpServer):
        self._server = server
        self._data = bytearray()
        self._looked = 0  # bytes in which a head does not end
        self._head: Head | None = None
        self._body: Body | None = None
        self._exchange: Exchange | None = None
        self._task: asyncio.Task | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False  # the other side sends nothing more
        self._lingering = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections.add(self)
        self._wait_for_more()

    def connection_lost(self, error: Exception | None) -> None:
        self._server.connections.discard(self)
        self._set_timer(0, None)
        if self._task is None:
            self._end_exchange()  # else the task does
        else:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        if self._lingering:
            return
        self._data += data
        if self._task is None:
            self._advance()
        elif len(self._data) > _MOST_AHEAD:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Whether the connection stays: an answer that is under way is still sent."""
        self._ended = True
        return self._task is not None

    def end_when_idle(self) -> None:
        if self._head is None:
            self._transport.close()

    def abort(self) -> asyncio.Task | None:
        self._transport.abort()
        return self._task

    def _set_timer(self, seconds: float, call: Callable[[], Any] | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._server.loop.call_later(seconds, call) if call else None

    def _wait_for_more(self, unsent: int | None = None) -> None:
        """Ends the connection when nothing happens on it. `unsent`: bytes of answers, before."""
        now = self._transport.get_write_buffer_size()
        if unsent is not None and (not now or now >= unsent):
            self._transport.abort()
        else:
            self._set_timer(_IDLE_S, lambda: self._wait_for_more(now))

    def _advance(self) -> None:
        """Reads on, until the request is whole or there is nothing more to read."""
        try:
            if self._head is None:
                self._read_head()
            if self._body is not None and not self._body.complete:
                self._body.feed(self._data)
        except Refused as refused:
            if refused.status == 413 and self._exchange is not None:
                self._refuse(self._exchange.too_large())
            else:
                self._refuse(page(refused.status))
            return
        if self._body is not None and self._body.complete:
            self._set_timer(0, None)
            self._task = self._server.loop.create_task(self._answer(self._body.bytes()))

    def _read_head(self) -> None:
        end = split_head(self._data, self._looked)
        if not end:
            self._looked = len(self._data)
            return
        self._looked, text = 0, bytes(self._data[:end])
        del self._data[:end]
        self._head = head = parse_head(text)
        opened = self._server.open_exchange(head)
        if isinstance(opened, Response):
            self._refuse(opened)
            return
        self._exchange = opened
        if head.length is not None and head.length > opened.most_bytes:
            raise Refused(413)
        self._body = Body(head.length, opened.most_bytes)
        if not self._body.complete and head.expects_continue and not self._data:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._set_timer(opened.timeout_s, lambda: self._refuse(opened.late()))

    def _refuse(self, response: Response) -> None:
        """Answers before the body was read, which ends the connection."""
        self._transport.write(render(response, self._head, close=True))
        self._end_exchange()
        self._body = None
        if self._ended or not self._transport.can_write_eof():
            self._transport.close()
            return
        # To close at once would make the other side's system throw the answer away unread.
        self._lingering = True
        self._data.clear()
        self._transport.write_eof()
        self._set_timer(_LINGER_S, self._transport.close)

    async def _answer(self, body: bytes) -> None:
        assert self._exchange is not None and self._head is not None
        try:
            response = await self._exchange.answer(body)
        except asyncio.CancelledError:
            return
        except Exception:
            log.exception("%s %s", self._head.method, self._head.target)
            response = page(500)
        finally:
            self._end_exchange()
        close = response.close or self._server.draining or not self._head.keep_alive
        self._transport.write(render(response, self._head, close))
        self._task = self._head = self._body = None
        self._wait_for_more()
        if close or (self._ended and not self._data):
            self._transport.close()
            return
        self._transport.resume_reading()
        self._advance()
        if self._ended and self._task is None:
            self._transport.close()

    def _end_exchange(self) -> None:
        if self._exchange is not None:
            self._exchange.end()
            self._exchange = None
