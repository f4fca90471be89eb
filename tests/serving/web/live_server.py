"""The web application in this process, over real HTTP: started, asked, waited for, held up."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from serving.analysis.analyse import Cancelled
from serving.client import Unreachable
from serving.sockets import listen
from serving.web.app import create_app, server
from serving.web.settings import Settings
from serving.web.worker import FaceWorker

JOBS = "/api/v1/jobs"
LIMITS = {"max_bytes": 1_500_000, "max_seconds": 20.0, "max_pixels": 500_000, "max_frames": 300}


def with_history(folder: Path) -> Settings:
    """Of a server that keeps a history in the folder, and whose model server is down."""
    return Settings(
        model_server=("http://127.0.0.1:9",),
        model_timeout=0.1,
        folder=str(folder / "uploads"),
        results_dir=str(folder / "results"),
        workers=1,
        spares=0,
    )


def wait_until(condition: Callable[[], Any], limit_s: float = 120.0) -> None:
    """The limit is for machines that do much else: it only ends what would never end."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[tuple[httpx.Client, FastAPI]]:
    """The application on a free port -> (client, app)."""
    app = create_app(settings)
    listener = listen("127.0.0.1", 0, "--port")
    app.state.server = serving = server(app)
    thread = threading.Thread(target=serving.run, args=([listener],), daemon=True)
    thread.start()
    while not serving.started and thread.is_alive():
        time.sleep(0.02)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
            yield client, app
    finally:
        serving.should_exit = True
        thread.join()
        listener.close()


def until_ready(client: httpx.Client) -> None:
    wait_until(lambda: client.get("/readyz").status_code == 200)


@contextlib.contextmanager
def another_client(client: httpx.Client, address: str = "127.0.0.2") -> Iterator[httpx.Client]:
    """Of the same server, with an address of its own."""
    transport = httpx.HTTPTransport(local_address=address)
    with httpx.Client(base_url=client.base_url, transport=transport, timeout=60) as other:
        yield other


def send(client: httpx.Client, content: bytes, name: str = "video.mp4", **more) -> httpx.Response:
    return client.post(JOBS, files={"video": (name, content, "video/mp4")}, **more)


def finished(client: httpx.Client, response: httpx.Response) -> dict:
    """The job that a response is about, once it has ended."""
    assert response.status_code == 202, response.text
    return end_of(client, response.json())


def end_of(client: httpx.Client, job: dict) -> dict:
    """The job, once it has ended."""
    address = job["links"]["self"]
    wait_until(lambda: client.get(address).json()["state"] not in ("queued", "running"))
    return client.get(address).json()


def at_work(client: httpx.Client, job: dict) -> None:
    """Waits until the job has begun."""
    wait_until(lambda: client.get(job["links"]["self"]).json()["state"] == "running")


def events(client: httpx.Client, job: dict) -> list[tuple[str, dict]]:
    """Those of the job's stream, to its end: (kind, data)."""
    with client.stream("GET", job["links"]["events"]) as response:
        # Comments keep a connection alive on which nothing else comes for a while.
        lines = [line for line in response.iter_lines() if line and not line.startswith(":")]
    pairs = zip(lines[::2], lines[1::2], strict=True)
    return [(kind.removeprefix("event: "), json.loads(data[6:])) for kind, data in pairs]


def is_problem(response: httpx.Response, status: int, name: str) -> dict:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert set(body) == {"type", "title", "status", "detail"} and body["status"] == status
    assert body["type"] == f"urn:dfdetect:problem:{name}"
    return body


class Held:
    """Holds up the jobs of a server until it is told to let them go, or they are not wanted."""

    def __init__(self, app, monkeypatch):
        self.jobs, self._go = app.state.jobs, threading.Event()
        monkeypatch.setattr(self.jobs, "_open_panel", self._open_panel)
        monkeypatch.setattr(FaceWorker, "ready", True)

    def _open_panel(self):
        (job,) = (job for job in self.jobs._jobs.values() if job.state == "running")
        while not self._go.wait(0.05):
            if not job.wanted:
                raise Cancelled
        raise Unreachable("nobody there")

    def let_go(self):
        self._go.set()
