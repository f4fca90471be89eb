"""The process that opens strangers' files: it decodes, finds faces, and hands on crops.

Started by `FaceWorker`, which ends it when it takes too long or too much.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import resource
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from pipelines.clip import VideoError
from pipelines.config import PreprocessConfig
from pipelines.faces.detect import MtcnnDetector
from pipelines.faces.extract import FaceExtractor
from pipelines.video.probe import VideoMetadata
from pipelines.video.stopwatch import Stopwatch
from serving.web import wire

# How files of the formats begin that are read; what begins otherwise is called unsupported.
SIGNATURES = (
    (0, (b"\x1aE\xdf\xa3", b"FLV", b"\x30\x26\xb2\x75", b"OggS", b"GIF8", b"\x89PNG")),
    (0, (b"\x06\x0e\x2b\x34", b"nut/", b"DKIF", b"\xff\xd8\xff", b"YUV4", b".RMF")),
    (0, (b"\x00\x00\x01", b"\x00\x00\x00\x01", b"\x47", b"\x1f\x07\x00", b"\x12\x00")),
    (4, (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"\x47")),
    (8, (b"AVI ",)),
)


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a video may be at most; known once its packets were counted."""

    max_seconds: float
    max_pixels: int
    max_frames: int

    def check(self, facts: VideoMetadata) -> None:
        """Raises VideoError."""
        pixels = facts.width * facts.height
        if pixels > self.max_pixels:
            size = f"{facts.width}x{facts.height} px, {pixels} in all"
            raise _beyond("too_many_pixels", f"a frame is {size}; {self.max_pixels} are allowed")
        if facts.duration_s > self.max_seconds:
            long = f"it lasts {facts.duration_s:.1f} s; {self.max_seconds:g} s are allowed"
            raise _beyond("too_long", long)
        if facts.frames > self.max_frames:
            many = f"it has {facts.frames} frames; {self.max_frames} are allowed"
            raise _beyond("too_long", many)


def _beyond(reason: str, what: str) -> VideoError:
    return VideoError(reason, "decode", what + ".")


def looks_like_video(head: bytes) -> bool:
    """Whether a file that begins so is of a format that is read."""
    return any(head.startswith(marks, offset) for offset, marks in SIGNATURES)


class _Told(Stopwatch):
    """A stopwatch that says which stage begins."""

    def __init__(self, tell: Any):
        super().__init__()
        self._tell = tell
        self._stage = ""

    @contextlib.contextmanager
    def running(self, stage: str) -> Iterator[None]:
        shown = "decode" if stage == "decode" else "faces"
        if shown != self._stage:
            self._stage = shown
            self._tell(shown)
        with super().running(stage):
            yield


class Decoder:
    """Answers requests for the facts and the clips of files."""

    def __init__(self, connection: Connection, extractor: FaceExtractor, limits: Limits):
        self._connection, self._extractor, self._limits = connection, extractor, limits
        self._lock = threading.Lock()  # stages are told from the thread that decodes, too

    def send(self, message: bytes) -> None:
        with self._lock:
            self._connection.send_bytes(message)

    def answer(self, kind: str, path: str) -> None:
        try:
            if kind == "facts":
                self.send(wire.pack("facts", **dataclasses.asdict(self._facts(path))))
                return
            watch = _Told(lambda stage: self.send(wire.pack("stage", stage=stage)))
            for clip in self._extractor.clips(path, watch):
                self.send(wire.pack_clip(clip))
            self.send(wire.pack("end"))
        except (VideoError, MemoryError) as error:
            if not isinstance(error, MemoryError) and not isinstance(error.__cause__, MemoryError):
                self._refuse(error)
                return
            self._refuse(VideoError("decoder_failed", "decode", "it takes too much memory."))
            raise  # what else failed for want of memory is not known: end
        except OSError:
            raise  # nobody listens any more
        except Exception as error:  # a file that finds a fault in us is a bad file all the same
            traceback.print_exc()
            what = f"reading it failed ({type(error).__name__})."
            self._refuse(VideoError("decoder_failed", "decode", what))

    def _facts(self, path: str) -> VideoMetadata:
        try:
            facts = self._extractor.metadata(path)
        except VideoError as error:
            with open(path, "rb") as file:
                known = looks_like_video(file.read(32))
            if error.reason != "unreadable" or known:
                raise
            raise VideoError("unsupported", error.stage, error.detail) from error
        self._limits.check(facts)
        return facts

    def _refuse(self, error: VideoError) -> None:
        self.send(wire.pack("error", reason=error.reason, stage=error.stage, detail=error.detail))


def warm(config: PreprocessConfig, threads: int, time_limit_s: float) -> FaceExtractor:
    """An extractor whose networks have run once, so that the first video need not wait."""
    detector = MtcnnDetector(config.min_face, threads)
    frame = np.random.default_rng(0).integers(0, 255, (360, 640, 3), np.uint8)
    detector.detect([frame])
    detector.refine([frame], np.array([0]), np.array([[200.0, 100.0, 300.0, 200.0]]))
    return FaceExtractor(config, detector, threads=threads, time_limit_s=time_limit_s)


def limit_memory(budget: int) -> None:
    """A limit for what the server, which looks on, may be too late for; no file, no core dump.

    It is twice the budget, on top of what the process has now: FFmpeg takes a frame for damaged for
    which it gets no memory. Of the limits that Linux has, RLIMIT_DATA is the one that counts memory
    which can be written to; TensorFlow maps far more addresses than it uses.
    """
    with open("/proc/self/status") as status:
        sizes = dict(line.split(":", 1) for line in status)
    now = int(sizes["VmData"].split()[0]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (now + 2 * budget, now + 2 * budget))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _end_with_parent(parent: int) -> None:
    """A server that was killed leaves no process behind, whatever that is doing."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def main(descriptor: int, parent: int) -> None:
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()
    connection = Connection(descriptor)
    _, start, _ = wire.unpack(connection.recv_bytes())
    config = PreprocessConfig.from_dict(start["config"])
    extractor = warm(config, start["threads"], start["time_limit_s"])
    limit_memory(start["memory"])
    decoder = Decoder(connection, extractor, Limits(**start["limits"]))
    decoder.send(wire.pack("ready"))
    while True:
        try:
            kind, values, _ = wire.unpack(connection.recv_bytes())
        except (EOFError, OSError):
            return
        decoder.answer(kind, values["path"])


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
