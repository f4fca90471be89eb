"""Attackers of a web application, until ended: `python benchmarks/web_attack.py URL VIDEO`.

Silent uploads, which send a byte a second; half-open connections, which never end the header of
their request; and clients that upload and cancel. What the server closes is opened again.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
from web_server import JOBS, from_address

HALF = f"POST {JOBS} HTTP/1.1\r\nHost: localhost\r\n"
BODY = (
    "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000\r\n\r\n"
    '--b\r\nContent-Disposition: form-data; name="video"; filename="a"\r\n\r\n'
)


class Crowd:
    """So many connections that have each sent the beginning of a request."""

    def __init__(self, address: tuple[str, int], source: str, number: int, begin: str):
        self._address, self._source = address, (source, 0)
        self._number, self._begin = number, begin.encode()
        self._selector = selectors.DefaultSelector()

    def keep(self, each_s: float, then: Callable[[socket.socket], object]) -> None:
        """For ever opens those that are missing, and does this with each, every so often."""
        while True:
            for key, _ in self._selector.select(0):
                self._drop(key.fileobj)
            while len(self._selector.get_map()) < self._number:
                self._open()
            for key in list(self._selector.get_map().values()):
                with contextlib.suppress(OSError):
                    then(key.fileobj)  # type: ignore[arg-type]
            time.sleep(each_s)

    def _open(self) -> None:
        with contextlib.suppress(OSError):
            one = socket.create_connection(self._address, 10, self._source)
            self._selector.register(one, selectors.EVENT_READ)
            one.sendall(self._begin)

    def _drop(self, one: object) -> None:
        """Where an answer came or the other side closed."""
        assert isinstance(one, socket.socket)
        self._selector.unregister(one)
        one.close()


def cancel_again_and_again(url: str, source: str, video: bytes) -> None:
    """Uploads, waits for the work to begin, cancels."""
    with from_address(url, source) as client:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                answer = client.post(JOBS, files={"video": ("c.mp4", video, "video/mp4")})
                if answer.status_code != 202:
                    time.sleep(0.1)
                    continue
                address = answer.json()["links"]["self"]
                while client.get(address).json().get("state") == "queued":
                    time.sleep(0.05)
                client.delete(address)


def _sources(one_address: bool) -> Iterator[str]:
    return itertools.repeat("127.0.0.1") if one_address else (f"127.0.2.{n}" for n in range(1, 255))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("video", type=Path)
    parser.add_argument("--silent", type=int, default=9)
    parser.add_argument("--half-open", type=int, default=500)
    parser.add_argument("--cancelling", type=int, default=2)
    parser.add_argument("--one-address", action="store_true", help="all come from 127.0.0.1")
    args = parser.parse_args()
    url, sources = httpx.URL(args.url), _sources(args.one_address)
    address = url.host, url.port or 80
    silent = Crowd(address, next(sources), args.silent, HALF + BODY)
    half_open = Crowd(address, next(sources), args.half_open, HALF)
    work: list[Callable[[], None]] = [
        lambda: silent.keep(1.0, lambda one: one.sendall(b"x")),
        lambda: half_open.keep(1.0, lambda one: None),
    ]
    for _ in range(args.cancelling):
        source, video = next(sources), args.video.read_bytes()
        work.append(lambda s=source, v=video: cancel_again_and_again(args.url, s, v))  # type: ignore[misc]
    for one in work:
        threading.Thread(target=one).start()


if __name__ == "__main__":
    main()
