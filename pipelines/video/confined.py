"""Reader of videos in processes of their own, which are confined and have a bound on memory.

What a hostile file can do is end or fool such a process: its video gets an error, and the next
one another process.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import logging
import os
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from pipelines.clip import VideoError
from pipelines.video.child import start_process
from pipelines.video.decode import read_frames
from pipelines.video.picture import MAX_PIXELS, refused_size
from pipelines.video.pixel_ring import PixelRing
from pipelines.video.probe import VideoInfo, probe
from pipelines.video.source import VideoFile
from pipelines.video.wire import Channel, for_log, info_of, pack, pack_info

MEMORY_BYTES = 4_000_000_000  # for a video: 8K in 10 bits, by as many threads as FFmpeg has

T = TypeVar("T")

log = logging.getLogger("dfdetect.video")


class VideoReader(Protocol):
    """What opens videos: this process, or confined ones."""

    def probe(self, path: str, stills: bool = False) -> VideoInfo:
        """As `pipelines.video.probe.probe`."""

    def read_frames(
        self, info: VideoInfo, indices: Sequence[int], threads: int = 0
    ) -> Generator[np.ndarray | None]:
        """As `pipelines.video.decode.read_frames`."""

    def interrupt(self, path: str) -> None:
        """Ends what keeps somebody waiting for this video, if it can."""


class LocalReader:
    """Opens videos in this process: for one that is confined itself, and for trusted files."""

    def probe(self, path: str, stills: bool = False) -> VideoInfo:
        return probe(path, stills)

    def read_frames(
        self, info: VideoInfo, indices: Sequence[int], threads: int = 0
    ) -> Generator[np.ndarray | None]:
        return read_frames(info, indices, threads)

    def interrupt(self, path: str) -> None:
        """A decoder that hangs in native code cannot be ended."""


class ConfinedReader:
    """Opens videos in confined processes; as many as there are threads that ask at a time.

    A process is started for the first video, and kept for the next. Raises what the functions do
    that it stands for, and VideoError "decoder_failed" where a video ends its process or takes
    too much memory.
    """

    def __init__(self, memory_bytes: int = MEMORY_BYTES, max_pixels: int = MAX_PIXELS):
        self._given = memory_bytes, max_pixels
        self._lock = threading.Lock()
        self._idle: list[_Process] = []
        self._at_work: dict[str, _Process] = {}
        self._owner = os.getpid()

    def start(self) -> None:
        """Starts a process, so that the first video need not wait for it."""
        with self._lock:
            if not self._idle:
                self._idle.append(_Process(*self._given))

    def probe(self, path: str, stills: bool = False) -> VideoInfo:
        with self._process(path) as process:
            process.ask(path, pack("probe", path=path, stills=stills))
            _, values, blobs = process.receive("info")
            return process.made(lambda: info_of(values, blobs))

    def read_frames(
        self, info: VideoInfo, indices: Sequence[int], threads: int = 0
    ) -> Generator[np.ndarray | None]:
        with self._process(info.path) as process, contextlib.closing(PixelRing.of(info)) as ring:
            wanted = np.array(indices, "<i8").tobytes()
            size = {"slots": ring.slots, "slot_bytes": ring.slot_bytes}
            request = pack_info("frames", info, [wanted], threads=threads, **size)
            process.ask(info.path, request, ring)
            for left in range(len(indices), 0, -1):
                image = process.image(ring)
                if left == 1:  # nobody need ask once more for the process to be free again
                    process.receive("end")
                yield image

    def interrupt(self, path: str) -> None:
        with self._lock:
            process = self._at_work.pop(path, None)
        if process:
            process.interrupt()
            self.start()  # for the next video

    def close(self) -> None:
        """Ends the processes that wait."""
        with self._lock:
            idle, self._idle = self._idle, []
        for process in idle:
            process.kill()

    @contextlib.contextmanager
    def _process(self, path: str) -> Iterator[_Process]:
        """A process for one request; kept unless it was left in the middle of an answer."""
        with self._lock:
            if self._owner != os.getpid():  # after a fork they are the parent's
                self._idle, self._at_work, self._owner = [], {}, os.getpid()
            process = self._idle.pop() if self._idle else None
        process = process if process and process.alive else _Process(*self._given)
        with self._lock:
            self._at_work[path] = process
        try:
            yield process
        finally:
            with self._lock:
                self._at_work.pop(path, None)
                kept = process.idle and not process.interrupted
                if kept:
                    self._idle.append(process)
            if not kept:
                process.kill()


class _Process:
    """A confined process, asked one thing at a time. idle: whether it waits to be asked."""

    def __init__(self, memory_bytes: int, max_pixels: int):
        module = "pipelines.video.decoder_process"
        self._popen, ours = start_process(module, memory_bytes, max_pixels)
        self._channel = Channel(ours)
        self._greeted = self.interrupted = False
        self._path, self._copied = "", 0  # what it is asked about, and pictures of its ring
        self.idle = True

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    def ask(self, path: str, request: bytes, ring: PixelRing | None = None) -> None:
        """Sends a request about a file, and the file. Raises VideoError where it cannot be read."""
        self._copied = 0
        with VideoFile(path) as file:
            self._path, self.idle = path, False
            with contextlib.suppress(OSError):  # one that died is noticed at its answer
                files = [file.descriptor, *([ring.descriptor] if ring else [])]
                self._channel.send(request, files)

    def receive(self, kind: str) -> tuple[str, dict[str, Any], list[bytes]]:
        """The next message, which must be of this kind. Raises the VideoError that it tells of."""
        try:
            if not self._greeted:
                _warn_of(str(self._channel.receive()[1].get("unconfined")))
                self._greeted = True
            came, values, blobs, _ = self._channel.receive()
        except (EOFError, OSError, ValueError) as error:
            raise self._failed(f"it came to an end ({error!r})") from error
        if came == "error":
            reason, stage, detail = (str(values.get(k)) for k in ("reason", "stage", "detail"))
            self.idle = reason != "decoder_failed"
            if fault := str(values.get("fault") or ""):
                log.error("a decoding process failed: %s", for_log(fault))
            raise VideoError(reason, stage, detail)
        if came != kind:
            raise self._failed(f"an answer of kind {came!r} was not expected")
        self.idle = kind in ("info", "end")
        return came, values, blobs

    def image(self, ring: PixelRing) -> np.ndarray | None:
        """The next picture: in the ring, or else in the message that announces it."""
        _, values, blobs = self.receive("frame")
        if values.get("size") is None:
            return None
        return self.made(lambda: self._image(values["size"], blobs, ring))

    def _image(self, size: Sequence[Any], blobs: Sequence[bytes], ring: PixelRing) -> np.ndarray:
        height, width = map(int, size)
        if blobs:
            if refused := refused_size(width, height):
                raise ValueError(f"a frame of {refused}")
            return np.frombuffer(bytearray(blobs[0]), np.uint8).reshape(height, width, 3)
        image = ring.get(self._copied, height, width)
        self._copied += 1
        with contextlib.suppress(OSError):  # as in `ask`
            self._channel.acknowledge()
        return image

    def made(self, make: Callable[[], T]) -> T:
        """What is made of a message. Raises VideoError where that is none of ours."""
        try:
            return make()
        except (ValueError, TypeError) as error:
            raise self._failed(f"it sent {error}") from error

    def interrupt(self) -> None:
        """Ends it from another thread than that which asks it, and which is told."""
        self.interrupted = True
        self._popen.kill()

    def kill(self) -> None:
        self._popen.kill()
        self._popen.wait()
        self._channel.close()

    def _failed(self, what: str) -> VideoError:
        self.idle = False
        if not self.interrupted:
            code = self._popen.poll()
            log.warning("a decoding process failed: %s; exit code %s", what, code)
        what = f"{self._path}: the process that decoded it came to an end."
        return VideoError("decoder_failed", "decode", what)


@functools.cache
def _warn_of(unconfined: str) -> None:
    """Says once that, and why, videos are decoded without confinement."""
    if unconfined:
        log.warning(
            "videos are decoded in a process of their own with a bound on its memory that is not "
            "confined: %s. It may open files and connections as this user may.",
            unconfined,
        )


@functools.cache
def shared_reader() -> ConfinedReader:
    """The one of this process, whose decoding processes serve all that read videos here."""
    reader = ConfinedReader()
    atexit.register(reader.close)
    return reader
