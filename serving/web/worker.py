"""Worker process for decoding, seen from the web server: asked, watched, ended, replaced."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any, TypeVar

import numpy as np

from pipelines.clip import Look, VideoError
from pipelines.config import PreprocessConfig
from pipelines.video.memory import resident_bytes, too_much_memory
from pipelines.video.probe import FrameTimes, VideoMetadata
from pipelines.video.wire import MAX_BYTES, for_log, pack, unpack
from serving.analysis.analyse import Cancelled
from serving.web import wire
from serving.web.process import DecodingProcess, Spares
from serving.web.settings import Settings

TICK_S = 0.1  # how often the process is looked after while it works
START_LIMIT_S = 180.0  # for importing TensorFlow and loading the networks on a slow machine

OBEY_S = 5.0  # for leaving a job that was cancelled: about a moment of large frames
LAST = ("opened", "end", "error", "cancelled")  # kinds of messages that end an answer

T = TypeVar("T")

log = logging.getLogger("dfdetect.web")


class FaceWorker:
    """A process that opens files; started warm, and again whenever it had to be ended.

    One job at a time uses it. on_start: called whenever a process is started. spares: where a warm
    one is taken from, if there is any.
    """

    def __init__(
        self,
        settings: Settings,
        on_start: Callable[[], None] = lambda: None,
        spares: Spares | None = None,
    ):
        self._settings, self._on_start, self._spares = settings, on_start, spares
        self._process: DecodingProcess | None = None
        self._busy = False  # whether an answer is to come

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def ready(self) -> bool:
        """Whether its process is warm, and still there."""
        process = self._process
        return process is not None and process.warm and process.alive

    def prepare(self, config: PreprocessConfig, cancelled: Callable[[], bool]) -> None:
        """Returns once the process is there, makes such crops and has warmed up.

        Raises Cancelled, or VideoError "decoder_failed" where it does not start.
        """
        process = self._process
        if process and process.warm and process.config == config and process.alive:
            return
        self.stop()
        self._process = self._spares.take(config) if self._spares else None
        if self._process is None:
            self._start(config, cancelled)
        if self._spares:
            self._spares.refill(config)

    def _start(self, config: PreprocessConfig, cancelled: Callable[[], bool]) -> None:
        self._process = process = DecodingProcess(self._settings, config)
        self._on_start()
        try:
            self._wait(process, time.monotonic() + START_LIMIT_S, cancelled)
            process.greet(process.connection.recv_bytes())
        except (Cancelled, VideoError):
            self.stop()
            raise
        except (EOFError, OSError, ValueError) as error:
            raise self._ended(error) from error

    def request(self, message: bytes) -> None:
        """Sends a request, of which the last message of the answer is one of LAST."""
        if self._process:
            self._busy = True
            self._process.send(message)

    def receive(
        self, deadline: float, cancelled: Callable[[], bool]
    ) -> tuple[str, dict[str, Any], list[bytes]]:
        """The next message. Raises Cancelled, once the process has left its work; and VideoError
        where the time is over, the memory is spent, or the process died, and ends it then."""
        try:
            if self._process is None:
                raise EOFError
            self._wait(self._process, deadline, cancelled)
            message = unpack(self._process.connection.recv_bytes(MAX_BYTES))
        except Cancelled:
            self.leave()
            raise
        except VideoError:
            self.stop()
            raise
        except (EOFError, OSError, ValueError) as error:
            raise self._ended(error) from error
        self._busy = message[0] not in LAST
        return message

    def _wait(
        self, process: DecodingProcess, deadline: float, cancelled: Callable[[], bool]
    ) -> None:
        while True:
            if cancelled():
                raise Cancelled
            if time.monotonic() > deadline:
                limit_s = self._settings.job_timeout
                what = f"analysing it took longer than {limit_s:g} s."
                raise VideoError("timeout", "decode", what)
            if process.warm and resident_bytes(process.pid) > process.allowed_bytes:
                raise too_much_memory(self._settings.worker_memory)
            if process.connection.poll(TICK_S):
                return

    def leave(self) -> None:
        """Makes the process leave its work, if it is at any, so that it is free for the next job:
        asks it to, and ends it where it does not obey in time."""
        if not self._busy or self._process is None:
            return
        self._process.send(pack("cancel"))
        deadline = time.monotonic() + OBEY_S
        with contextlib.suppress(VideoError):  # of a process that was ended instead
            while self._busy:
                self.receive(deadline, lambda: False)

    def stop(self) -> int | None:
        """Ends the process at once, if there is one; its exit code, if it had ended by itself."""
        process, self._process, self._busy = self._process, None, False
        return process.end() if process else None

    def _ended(self, error: Exception) -> VideoError:
        code = self.stop()
        log.warning("the decoding process ended with code %s (%r)", code, error)
        return _failed("the process that decoded it came to an end")


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

    def for_crops(self, config: PreprocessConfig) -> WorkerFaces:
        """By the same process."""
        return dataclasses.replace(self, config=config)

    def open(self, path: str) -> WorkerVideo:
        """Raises VideoError, Cancelled."""
        self.worker.request(wire.pack_open(path, self.config))
        _, values, blobs = self._answer("opened")
        return WorkerVideo(self, path, *self._made(lambda: wire.opened_of(values, blobs)))

    def looks(self, path: str, samples: Mapping[int, np.ndarray]) -> Generator[Look]:
        self.worker.request(wire.pack_looks(path, self.config, samples))
        waiting = dict(sorted(samples.items()))
        try:
            while True:
                kind, values, blobs = self._answer("look", "end")
                if kind == "end":
                    return
                look = self._made(lambda: _asked(wire.look_of(values, blobs), waiting))  # noqa: B023
                del waiting[look.moment]
                yield look
        finally:
            self.worker.leave()  # where nobody wants the rest

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
                    log.error("the decoding process failed: %s", for_log(fault))
                refused = VideoError(*(str(values.get(k)) for k in ("reason", "stage", "detail")))
                if values.get("ends"):
                    self.worker.stop()
                raise refused
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
