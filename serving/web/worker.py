"""Worker process for decoding, seen from the web server: asked, watched, ended, replaced."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import numpy as np

from pipelines.clip import Look, VideoError
from pipelines.config import PreprocessConfig
from pipelines.video.probe import FrameTimes, VideoMetadata
from serving.analysis.analyse import Cancelled
from serving.web import wire
from serving.web.limits import resident_bytes, too_much_memory
from serving.web.settings import Settings

TICK_S = 0.1  # how often the process is looked after while it works
START_LIMIT_S = 180.0  # for importing TensorFlow and loading the networks on a slow machine

T = TypeVar("T")

log = logging.getLogger("dfdetect.web")


class FaceWorker:
    """A process that opens files; started warm, and again whenever it had to be ended.

    One job at a time uses it. on_start: called whenever a process is started.
    """

    def __init__(self, settings: Settings, on_start: Callable[[], None] = lambda: None):
        self._settings, self._on_start = settings, on_start
        self._process: subprocess.Popen | None = None
        self._connection: Connection | None = None
        self._allowed_bytes = 0
        self.config: PreprocessConfig | None = None
        self.ready = False

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def prepare(self, config: PreprocessConfig, cancelled: Callable[[], bool]) -> None:
        """Returns once the process is there, makes such crops and has warmed up.

        Raises Cancelled, or VideoError "decoder_failed" where it does not start.
        """
        if self.ready and self.config == config and self._process and self._process.poll() is None:
            return
        self.stop()
        self._start(config)
        kind, _, _ = self.receive(time.monotonic() + START_LIMIT_S, cancelled)
        if kind != "ready":
            self.stop()
            raise _failed(f"the process began with {kind!r}")
        self._allowed_bytes = resident_bytes(self.pid) + self._settings.worker_memory
        self.config, self.ready = config, True

    def _start(self, config: PreprocessConfig) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            descriptor = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "serving.web.decoder", str(descriptor), str(os.getpid())],
                pass_fds=[descriptor],
                start_new_session=True,  # Ctrl-C is for the server, which ends this process
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        self._connection = Connection(ours.detach())
        self._allowed_bytes = sys.maxsize
        self._on_start()
        settings = self._settings
        limits = ("max_seconds", "max_pixels", "max_frames")
        start: dict[str, Any] = {
            "config": config.to_dict(),
            "threads": settings.threads_each,
            "time_limit_s": settings.job_timeout,
            "memory": settings.worker_memory,
            "limits": {name: getattr(settings, name) for name in limits},
        }
        self.send(wire.pack("start", **start))

    def send(self, message: bytes) -> None:
        assert self._connection is not None
        # A process that has died is noticed by who waits for its answer.
        with contextlib.suppress(OSError):
            self._connection.send_bytes(message)

    def receive(
        self, deadline: float, cancelled: Callable[[], bool]
    ) -> tuple[str, dict[str, Any], list[bytes]]:
        """The next message. Ends the process where it raises: Cancelled, or VideoError where the
        time is over, the memory is spent, or the process died."""
        try:
            self._wait(deadline, cancelled)
            assert self._connection is not None
            return wire.unpack(self._connection.recv_bytes(wire.MAX_BYTES))
        except (Cancelled, VideoError):
            self.stop()
            raise
        except (EOFError, OSError, ValueError) as error:
            code = self.stop()
            log.warning("the decoding process ended with code %s (%r)", code, error)
            raise _failed("the process that decoded it came to an end") from error

    def _wait(self, deadline: float, cancelled: Callable[[], bool]) -> None:
        assert self._connection is not None
        while True:
            if cancelled():
                raise Cancelled
            if time.monotonic() > deadline:
                limit_s = self._settings.job_timeout
                what = f"analysing it took longer than {limit_s:g} s."
                raise VideoError("timeout", "decode", what)
            if resident_bytes(self.pid) > self._allowed_bytes:
                raise too_much_memory(self._settings.worker_memory)
            if self._connection.poll(TICK_S):
                return

    def stop(self) -> int | None:
        """Ends the process at once, if there is one; its exit code."""
        self.ready = False
        process, connection = self._process, self._connection
        self._process = self._connection = None
        if connection is not None:
            connection.close()
        if process is None:
            return None
        code = process.poll()
        process.kill()
        process.wait()
        return code


def _for_log(fault: str) -> str:
    """A traceback as it may stand in a log, whatever a hostile file made of it."""
    lines = fault[-wire.FAULT_CHARS :].split("\n")
    return "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in lines)


def _failed(what: str) -> VideoError:
    return VideoError("decoder_failed", "decode", what + ".")


@dataclasses.dataclass(frozen=True)
class WorkerFaces:
    """A worker for the time of one job: a FaceSource.

    deadline: on the monotonic clock. on_stage: called with the stage that begins.
    """

    worker: FaceWorker
    config: PreprocessConfig
    deadline: float
    cancelled: Callable[[], bool]
    on_stage: Callable[[str], None]

    def open(self, path: str) -> WorkerVideo:
        """Raises VideoError, Cancelled."""
        self.worker.send(wire.pack("open", path=path))
        _, values, blobs = self._answer("opened")
        return WorkerVideo(self, path, *self._made(lambda: wire.opened_of(values, blobs)))

    def looks(self, path: str, samples: Mapping[int, np.ndarray]) -> Generator[Look]:
        self.worker.send(wire.pack_looks(path, samples))
        idle = False  # whether the process waits for the next request
        waiting = dict(sorted(samples.items()))
        try:
            while True:
                kind, values, blobs = self._answer("look", "end")
                if kind == "end":
                    idle = True
                    return
                look = self._made(lambda: _asked(wire.look_of(values, blobs), waiting))  # noqa: B023
                del waiting[look.moment]
                yield look
        except VideoError:
            idle = True
            raise
        finally:
            if not idle:  # in the middle of a video that nobody wants any more
                self.worker.stop()

    def _answer(self, *kinds: str) -> tuple[str, dict[str, Any], list[bytes]]:
        """The next message of these kinds. Raises the VideoError that it tells of."""
        while True:
            kind, values, blobs = self.worker.receive(self.deadline, self.cancelled)
            if kind in kinds:
                return kind, values, blobs
            if kind == "stage":
                self.on_stage(str(values.get("stage")))
            elif kind == "error":
                if fault := str(values.get("fault") or ""):
                    log.error("the decoding process failed: %s", _for_log(fault))
                raise VideoError(*(str(values.get(k)) for k in ("reason", "stage", "detail")))
            else:
                self.worker.stop()
                raise _failed(f"an answer of kind {kind!r} was not expected")

    def _made(self, make: Callable[[], T]) -> T:
        try:
            return make()
        except ValueError as error:
            self.worker.stop()
            raise _failed(f"the process that decodes it sent {error}") from error


def _asked(look: Look, waiting: Mapping[int, np.ndarray]) -> Look:
    """The look, if it is the next of those that are waited for. Raises ValueError."""
    following = next(iter(waiting), None)
    if look.moment != following:
        raise ValueError(f"moment {look.moment}; {following} was to come")
    for clip in look.clips:
        if (clip.index, len(clip.images)) != (following, len(waiting[following])):
            raise ValueError(f"a clip of {len(clip.images)} frames of moment {clip.index}")
    return look


@dataclasses.dataclass(frozen=True)
class WorkerVideo:
    """A video that a worker has opened."""

    faces: WorkerFaces
    path: str
    metadata: VideoMetadata
    frame_times: FrameTimes

    def looks(self, samples: Mapping[int, np.ndarray]) -> Generator[Look]:
        """Raises VideoError, Cancelled."""
        return self.faces.looks(self.path, samples)
