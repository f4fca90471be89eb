"""`dfdetect web` as a server process, measured from outside."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

JOBS = "/api/v1/jobs"
READY_S = 180.0  # for TensorFlow, the model and the face detector to be loaded


@contextlib.contextmanager
def web_server(
    model: str, *flags: str, open_files: int = 0
) -> Iterator[tuple[httpx.Client, int, Path]]:
    """(client, process id, folder of uploads) of a server that is warm.

    open_files: the most that its process may open; 0: as many as this one.
    """

    def limit() -> None:
        if open_files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))

    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "dfdetect", "web", "--model", model, "--port", "0"]
        process = subprocess.Popen(
            [*command, "--folder", folder, *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            preexec_fn=limit,
        )
        assert process.stdout
        try:
            url = process.stdout.readline().strip()
            limits = httpx.Limits(max_connections=None)
            with httpx.Client(base_url=url, timeout=120, trust_env=False, limits=limits) as client:
                _wait_ready(client)
                yield client, process.pid, Path(folder)
        finally:
            process.terminate()
            process.wait()


def from_address(url: str, source: str) -> httpx.Client:
    """A client with this address of its own, such as 127.0.0.2."""
    transport = httpx.HTTPTransport(local_address=source)
    return httpx.Client(base_url=url, timeout=600, trust_env=False, transport=transport)


def _wait_ready(client: httpx.Client) -> None:
    end = time.monotonic() + READY_S
    while True:
        with contextlib.suppress(httpx.ConnectError):
            if client.get("/readyz").is_success:
                return
        if time.monotonic() > end:
            raise RuntimeError(f"{client.base_url}: not ready after {READY_S:.0f} s")
        time.sleep(0.2)


def wait_for_end(client: httpx.Client, job: dict, limit_s: float = 600.0) -> str:
    """The state in which a job ends, from its server-sent events."""
    with client.stream("GET", job["links"]["events"], timeout=limit_s) as response:
        for _ in response.iter_lines():
            pass
    return client.get(job["links"]["self"]).json()["state"]


def resident_bytes(pid: int) -> int:
    """Memory that a process and its children hold; shared pages count in each."""
    total = 0
    for one in (pid, *_children(pid)):
        with contextlib.suppress(OSError):
            pages = int(Path(f"/proc/{one}/statm").read_text().split()[1])
            total += pages * os.sysconf("SC_PAGE_SIZE")
    return total


def _children(pid: int) -> list[int]:
    found = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, listing.read_text().split())
    return found
