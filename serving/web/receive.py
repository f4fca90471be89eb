"""Upload of a video, streamed to a file on disk; its bytes are counted and hashed on the way."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import logging
import re
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import IO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from pipelines.byte_sizes import byte_size
from serving.web.arrivals import Pace
from serving.web.problems import Problem
from serving.web.uploads import UploadFolder

FIELD = b"video"
FORM_BYTES = 64 << 10  # of a body around the file itself
WRITE_BYTES = 1 << 20
# A refusal is read by clients that have sent all; for so long they may go on sending.
DRAIN_S = 10.0
MAX_NAME = 200
MAX_BOUNDARY = 70  # RFC 2046
MAX_TEXT = 4096  # bytes of a field that is text

log = logging.getLogger("dfdetect.web")


@dataclasses.dataclass(frozen=True)
class Upload:
    """A file that came in. name: what the client calls it; for eyes only."""

    path: Path
    name: str
    sha256: str

    def discard(self) -> None:
        """Removes the file; where that fails the log says so, and jobs go on."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            log.error("an upload could not be removed: %s", error)


class _Form:
    """The parts of a multipart body; keeps what comes of the field `video`, and of `texts`."""

    def __init__(self, boundary: bytes, texts: Collection[str]):
        self.name: str | None = None  # of the file, once the field has begun
        self.data = bytearray()
        self.complete = False
        self.texts: dict[str, bytearray] = {}
        self._wanted_texts = texts
        self._wanted = False
        self._text: str | None = None  # the one that is coming in
        self._header: tuple[bytearray, bytearray] = bytearray(), bytearray()
        self._disposition = b""
        self.parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, a, b: self._header[0].extend(data[a:b]),
                "on_header_value": lambda data, a, b: self._header[1].extend(data[a:b]),
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_end,
                "on_part_data": self._part_data,
                "on_part_end": self._part_end,
            },
        )

    def _begin(self) -> None:
        self._disposition = b""

    def _header_end(self) -> None:
        field, value = self._header
        if field.lower() == b"content-disposition":
            self._disposition = bytes(value)
        self._header = bytearray(), bytearray()

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"")
        self._wanted = name == FIELD
        if self._wanted and self.name is not None:
            raise Problem("bad-upload", "There are two fields 'video'; send a file at a time.")
        if self._wanted:
            self.name = display_name(options.get(b"filename", b"").decode("utf-8", "replace"))
        text = name.decode("latin-1")
        self._text = text if text in self._wanted_texts else None
        if self._text is not None:
            if text in self.texts:
                raise Problem("bad-upload", f"There are two fields '{text}'; send one.")
            self.texts[text] = bytearray()

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._wanted:
            self.data += data[start:end]
        if self._text is not None:
            self.texts[self._text] += data[start:end]
            if len(self.texts[self._text]) > MAX_TEXT:
                what = f"The field '{self._text}' has over {MAX_TEXT} bytes; shorten it."
                raise Problem("bad-upload", what)

    def _part_end(self) -> None:
        self.complete |= self._wanted
        self._wanted, self._text = False, None

    def decoded(self) -> dict[str, str]:
        """The texts, of a body that has ended. Raises Problem."""
        if self._text is not None:
            raise Problem("bad-upload", f"The field '{self._text}' is not complete; send it again.")
        try:
            return {name: text.decode() for name, text in self.texts.items()}
        except UnicodeDecodeError as error:
            raise Problem("bad-upload", f"A field is no UTF-8 ({error}).") from error


def display_name(name: str) -> str:
    """What a client calls its file, without folders and without what is no text."""
    name = re.split(r"[/\\]", name)[-1]
    return "".join(c for c in name if c.isprintable())[:MAX_NAME] or "video"


class Body:
    """The body of a request, as it comes."""

    def __init__(self, request: Request):
        self._request = request
        self.ended = False

    async def chunks(self, pace: Pace | None = None) -> AsyncIterator[bytes]:
        """Raises Problem where the client goes away, or falls behind its pace."""
        receive = self._request.receive
        while not self.ended:
            message = await (pace.next(receive) if pace else receive())
            self.ended = not message.get("more_body", False)
            if message["type"] == "http.disconnect":
                raise Problem("bad-upload", "The connection was closed.")
            yield message.get("body", b"")

    @contextlib.asynccontextmanager
    async def refusing(self) -> AsyncIterator[None]:
        """Where a Problem is raised inside, what still comes is thrown away for a while.

        Were the connection closed at once, most clients would see that instead of the answer.
        """
        try:
            yield
        except Problem as problem:
            # Who asked first waits for the answer; who sends nothing reads it.
            if "expect" not in self._request.headers and problem.name != "upload-timeout":
                with contextlib.suppress(TimeoutError, Problem):
                    async with asyncio.timeout(DRAIN_S):
                        async for _ in self.chunks():
                            pass
            raise


async def receive(
    request: Request, body: Body, folder: UploadFolder, max_bytes: int, pace: Pace
) -> Upload:
    """Raises Problem; nothing is left on disk then."""
    upload, _ = await receive_form(request, body, folder, max_bytes, pace, ())
    if upload is None:
        raise Problem("bad-upload", "The field 'video' is not there; send the file as this field.")
    return upload


async def receive_form(
    request: Request,
    body: Body,
    folder: UploadFolder,
    max_bytes: int,
    pace: Pace,
    texts: Collection[str],
) -> tuple[Upload | None, dict[str, str]]:
    """(the video, if there is one; those of the fields `texts` that are there).

    Raises Problem; nothing is left on disk then.
    """
    form = _Form(_boundary(request), texts)
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > max_bytes + FORM_BYTES:
        raise _too_large(max_bytes)
    try:
        path, file = folder.create()
        upload = None
        try:
            with file:
                digest = await _store(body, form, file, max_bytes, pace)
            decoded = form.decoded()
            upload = Upload(path, form.name or "", digest) if digest else None
        finally:
            if upload is None:
                path.unlink(missing_ok=True)
    except OSError as error:  # above all a full disk
        log.error("an upload could not be stored: %s", error)
        what = f"The server could not store the file ({error.strerror}). Try again later."
        raise Problem("not-stored", what) from error
    return upload, decoded


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= MAX_BOUNDARY:
        given = kind.decode("latin-1") or "not given"
        raise Problem(
            "bad-upload",
            f"The content type is {given}; expected multipart/form-data with its boundary.",
        )
    return boundary


async def _store(
    body: Body, form: _Form, file: IO[bytes], max_bytes: int, pace: Pace
) -> str | None:
    """Writes the field `video` to the file and returns its SHA-256; None where it is not there."""
    digest = hashlib.sha256()
    came = size = 0

    async def flush() -> None:
        nonlocal size
        data = bytes(form.data)
        form.data.clear()
        size += len(data)
        if size > max_bytes:
            raise _too_large(max_bytes)
        digest.update(data)
        await asyncio.to_thread(file.write, data)

    try:
        async for chunk in body.chunks(pace):
            came += len(chunk)
            form.parser.write(chunk)
            if len(form.data) >= WRITE_BYTES:
                await flush()
            if came > max_bytes + FORM_BYTES:
                raise _too_large(max_bytes)
        await flush()
    except FormParserError as error:
        raise Problem("bad-upload", f"The body is not multipart/form-data: {error}.") from error
    if form.name is None:
        return None
    if not form.complete:
        raise Problem("bad-upload", "The field 'video' is not complete; send it again.")
    if not size:
        raise Problem("bad-upload", "The field 'video' is empty; send the file as this field.")
    return digest.hexdigest()


def _too_large(max_bytes: int) -> Problem:
    return Problem("too-large", f"Files of up to {byte_size(max_bytes)} are taken.")
