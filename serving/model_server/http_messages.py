"""HTTP/1 messages of the REST API: bytes -> request, response -> bytes (RFC 9112).

What the grammar leaves open is decided as by TensorFlow Serving 2.20's util/net_http, which is
libevent 2.1.12: tried against that library, request by request. Stricter than it where two servers
could read one message in two ways (Content-Length beside Transfer-Encoding, unequal lengths, spaces
before a colon).
"""

from __future__ import annotations

import dataclasses
import email.utils
import http
import re
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
MOST_HEAD_BYTES = 1 << 20  # of a request's line and headers
_MOST_CHUNK_LINE = 4096  # bytes of a chunk's size, or of a line after the last chunk

_END = re.compile(rb"\r?\n\r?\n")
_LINE = re.compile(r"([^ ]+) ([^ ]+) HTTP/1\.(\d)", re.ASCII)
_HEADER = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*", re.DOTALL)
_CONTROL = re.compile(r"[\0\r\n]")
# The characters of RFC 3986 in a path, a query and a fragment.
_TARGET = re.compile(r"(?:[\w\-.~!$&'()*+,;=:@/?#]|%[0-9A-Fa-f]{2})*", re.ASCII)
_FOLDED = re.compile(r"\r?\n[ \t]+")
_NEWLINE = re.compile(r"\r?\n")


class Refused(Exception):
    """A message that is not taken; the connection ends with this status."""

    def __init__(self, status: int):
        super().__init__(status)
        self.status = status


@dataclasses.dataclass(frozen=True)
class Head:
    """A request before its body.

    target: path, query and fragment as they were sent, without scheme and host. headers: by
    names in lower case; of several equal ones the values, joined by commas. length: bytes of the
    body; None where it comes in chunks.
    """

    method: str
    target: str
    minor: int  # of HTTP/1.*
    headers: Mapping[str, str]
    length: int | None
    keep_alive: bool

    @property
    def path(self) -> str:
        return re.split("[?#]", self.target, maxsplit=1)[0]

    @property
    def expects_continue(self) -> bool:
        return "expect" in self.headers and self.minor > 0


@dataclasses.dataclass(frozen=True)
class Response:
    """close: the connection ends with it."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    close: bool = False


def page(status: int) -> Response:
    """What is answered in place of the API."""
    words = http.HTTPStatus(status).phrase
    html = (
        f"<HTML><HEAD>\n<TITLE>{status} {words}</TITLE>\n</HEAD>"
        f"<BODY>\n<H1>{words}</H1>\n</BODY></HTML>\n"
    )
    return Response(status, html.encode(), "text/html", close=True)


def split_head(data: bytearray, start: int) -> int:
    """Where the head ends, with the empty line; 0 where the end is not there yet. `start`: what
    was looked through before. Raises Refused."""
    found = _END.search(data, max(0, start - 3))
    if (found.end() if found else len(data)) > MOST_HEAD_BYTES:
        raise Refused(431)
    return found.end() if found else 0


def parse_head(data: bytes) -> Head:
    """Raises Refused."""
    text = _FOLDED.sub(" ", data.decode("latin-1").rstrip("\r\n"))
    line, *lines = _NEWLINE.split(text)
    parts = _LINE.fullmatch(line)
    if parts is None:
        raise Refused(400)
    method, target, minor = parts[1], parts[2], int(parts[3])
    if method not in METHODS:
        raise Refused(501)
    headers: dict[str, str] = {}
    for one in lines:
        header = _HEADER.fullmatch(one)
        if header is None or _CONTROL.search(header[2]):
            raise Refused(400)
        name, value = header[1].lower(), header[2]
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if headers.get("expect", "100-continue").lower() != "100-continue":
        raise Refused(417)
    length = _body_length(headers)
    return Head(method, _local(target), minor, headers, length, _keeps_alive(headers, minor))


def _local(target: str) -> str:
    if not _TARGET.fullmatch(target):
        raise Refused(400)
    try:
        parts = urlsplit(target)
    except ValueError as error:
        raise Refused(400) from error
    if not parts.scheme and not parts.netloc:
        return target
    start = target.index("//") + 2 + len(parts.netloc) if parts.netloc else len(parts.scheme) + 1
    return target[start:]


def _body_length(headers: Mapping[str, str]) -> int | None:
    coding, sizes = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is not None and coding.lower() != "identity":
        if coding.lower() != "chunked" or sizes is not None:
            raise Refused(400)
        return None
    lengths = {size.strip() for size in (sizes or "0").split(",")}
    length = lengths.pop()
    if lengths or not re.fullmatch(r"\d{1,30}", length, re.ASCII):
        raise Refused(400)
    return int(length)


def _keeps_alive(headers: Mapping[str, str], minor: int) -> bool:
    options = {option.strip().lower() for option in headers.get("connection", "").split(",")}
    if "close" in options:
        return False
    chunked_at_1_0 = minor == 0 and "transfer-encoding" in headers
    return minor > 0 or ("keep-alive" in options and not chunked_at_1_0)


class Body:
    """A request's body as it comes.

    most: bytes; more are refused with status 413, before they are kept.
    """

    def __init__(self, length: int | None, most: int):
        self.complete = length == 0
        self._left, self._most = length, most  # bytes until the end of all, or of the chunk
        self._chunked = length is None
        self._trailer = False
        self._parts: list[bytes] = []
        self._size = 0

    def bytes(self) -> bytes:
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    def feed(self, data: bytearray) -> None:
        """Takes what belongs to it from the front. Raises Refused."""
        while data and not self.complete:
            if self._left:
                self._take(data)
            elif not self._read_line(data):
                return

    def _take(self, data: bytearray) -> None:
        assert self._left is not None
        part = bytes(memoryview(data)[: self._left])
        del data[: len(part)]
        self._size += len(part)
        if self._size > self._most:
            raise Refused(413)
        self._parts.append(part)
        self._left -= len(part)
        if not self._chunked:
            self.complete = self._left == 0

    def _read_line(self, data: bytearray) -> bool:
        """Whether there was one: the size of a chunk, or what surrounds chunks."""
        end = data.find(b"\n", 0, _MOST_CHUNK_LINE)
        if end < 0:
            if len(data) >= _MOST_CHUNK_LINE:
                raise Refused(400)
            return False
        line = bytes(data[:end]).rstrip(b"\r")
        del data[: end + 1]
        if self._trailer:
            self.complete = not line
        elif self._left == 0:  # after a chunk
            if line:
                raise Refused(400)
            self._left = None
        else:
            size = re.fullmatch(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?", line)
            if size is None:
                raise Refused(400)
            self._left = int(size[1], 16)
            if self._size + self._left > self._most:
                raise Refused(413)
            self._trailer = not self._left
        return True


def render(response: Response, head: Head | None, close: bool) -> bytes:
    """head: of the request; None where it could not be read."""
    minor = head.minor if head else 1
    lines = [
        f"HTTP/1.{min(minor, 1)} {response.status} {_reason(response.status)}",
        *([f"Content-Type: {response.content_type}"] if response.content_type else []),
        f"Date: {email.utils.formatdate(time.time(), usegmt=True)}",
        f"Content-Length: {len(response.body)}",
    ]
    if close:
        lines.append("Connection: close")
    elif minor == 0:
        lines.append("Connection: keep-alive")
    start = "\r\n".join([*lines, "\r\n"]).encode("latin-1")
    return start if head and head.method == "HEAD" else start + response.body


def _reason(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:  # 499
        return "Client Closed Request"
