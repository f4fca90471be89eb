"""The model server that benchmarks ask: `dfdetect serve` in a process of its own."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]


class Served(NamedTuple):
    """pid: of the process. rest: http://HOST:PORT. grpc: HOST:PORT; "" where it is off."""

    pid: int
    rest: str
    grpc: str


@contextlib.contextmanager
def serving(*flags: str) -> Iterator[Served]:
    """The server with these flags, on free ports unless they say otherwise."""
    ports = ["--rest-port", "0", "--grpc-port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "dfdetect", "serve", *ports, *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout
    try:
        words = process.stdout.readline().split()  # REST at URL/v1/models, gRPC at HOST:PORT
        rest = words[2].removesuffix(",").removesuffix("/v1/models")
        yield Served(process.pid, rest, words[-1] if "gRPC" in words else "")
    finally:
        process.terminate()
        process.communicate()
