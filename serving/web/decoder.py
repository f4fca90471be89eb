"""Decoding process for untrusted files: it probes, decodes, finds faces and hands on crops.

Started by `FaceWorker`, which ends it when it takes too long or too much.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from pipelines.clip import VideoError
from pipelines.config import PreprocessConfig
from pipelines.faces.detect import MtcnnDetector
from pipelines.faces.extract import FaceExtractor, ProbedVideo
from pipelines.video.memory import MemoryBudget, peak_resident_bytes, too_much_memory
from pipelines.video.stopwatch import Stopwatch
from pipelines.video.wire import pack, unpack
from serving.web import wire
from serving.web.limits import VideoLimits

# How files of the formats begin that are read; what begins otherwise is called unsupported.
SIGNATURES = (
    (0, (b"\x1aE\xdf\xa3", b"FLV", b"\x30\x26\xb2\x75", b"OggS", b"GIF8", b"\x89PNG")),
    (0, (b"\x06\x0e\x2b\x34", b"nut/", b"DKIF", b"\xff\xd8\xff", b"YUV4", b".RMF")),
    (0, (b"\x00\x00\x01", b"\x00\x00\x00\x01", b"\x47", b"\x1f\x07\x00", b"\x12\x00")),
    (4, (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"\x47")),
    (8, (b"AVI ",)),
)


def looks_like_video(head: bytes) -> bool:
    """Whether a file that begins so is of a format that is read."""
    return any(head.startswith(marks, offset) for offset, marks in SIGNATURES)


class _StageWatch(Stopwatch):
    """A stopwatch that reports which stage begins, "decode" or "faces"."""

    def __init__(self, report: Callable[[str], None]):
        super().__init__()
        self._report = report
        self._stage = ""

    @contextlib.contextmanager
    def running(self, stage: str) -> Iterator[None]:
        reported = "decode" if stage == "decode" else "faces"
        if reported != self._stage:
            self._stage = reported
            self._report(reported)
        with super().running(stage):
            yield


class Decoder:
    """Answers the requests "open", with what a file is, and "looks", with looks at moments of the
    file that was opened last."""

    def __init__(
        self,
        connection: Connection,
        extractor: FaceExtractor,
        limits: VideoLimits,
        memory: MemoryBudget,
    ):
        self._connection, self._extractor = connection, extractor
        self._limits, self._memory = limits, memory
        self._lock = threading.Lock()  # stages are reported from the thread that decodes, too
        self._video: ProbedVideo | None = None

    def send(self, message: bytes) -> None:
        with self._lock:
            self._connection.send_bytes(message)

    def answer(self, kind: str, values: dict[str, Any], blobs: list[bytes]) -> None:
        peak_bytes = peak_resident_bytes()
        path = values["path"]
        try:
            if self._video is None or self._video.info.path != path or kind == "open":
                self._video = self._open(path)
            if kind == "open":
                self.send(wire.pack_opened(self._video.metadata, self._video.frame_times))
                return
            watch = _StageWatch(lambda stage: self.send(pack("stage", stage=stage)))
            for look in self._video.looks(wire.samples_of(values, blobs), watch):
                self.send(wire.pack_look(look))
            self.send(pack("end"))
        except Exception as error:
            if self._memory.explains(error, peak_bytes):
                self._refuse(too_much_memory(self._memory.budget_bytes))
                raise  # what else failed for want of memory cannot be told: end
            if isinstance(error, VideoError):
                self._refuse(error)
                return
            if isinstance(error, ConnectionError):
                raise  # nobody listens any more
            # A fault in us: a bad file all the same. The server writes it to its log; this process
            # may write to no file, which its standard error may be.
            fault = traceback.format_exc()[-wire.FAULT_CHARS :]
            what = f"reading it failed ({type(error).__name__})."
            self._refuse(VideoError("decoder_failed", "decode", what), fault)

    def _open(self, path: str) -> ProbedVideo:
        try:
            video = self._extractor.open(path)
        except VideoError as error:
            with open(path, "rb") as file:
                is_video = looks_like_video(file.read(32))
            if error.reason != "unreadable" or is_video:
                raise
            raise VideoError("unsupported", error.stage, error.detail) from error
        self._limits.check(video.metadata)
        return video

    def _refuse(self, error: VideoError, fault: str = "") -> None:
        reason, stage, detail = error.reason, error.stage, error.detail
        self.send(pack("error", reason=reason, stage=stage, detail=detail, fault=fault))


def warm(config: PreprocessConfig, threads: int, time_limit_s: float) -> FaceExtractor:
    """An extractor whose networks have run once, so that the first video need not wait."""
    detector = MtcnnDetector(config.min_face, threads)
    frame = np.random.default_rng(0).integers(0, 255, (360, 640, 3), np.uint8)
    detector.detect([frame])
    detector.refine([frame], np.array([0]), np.array([[200.0, 100.0, 300.0, 200.0]]))
    return FaceExtractor(config, detector, threads=threads, time_limit_s=time_limit_s)


def _end_with_parent(parent: int) -> None:
    """A server that was killed leaves no process behind, whatever that is doing."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def main(descriptor: int, parent: int) -> None:
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()
    connection = Connection(descriptor)
    _, start, _ = unpack(connection.recv_bytes())
    config = PreprocessConfig.from_dict(start["config"])
    extractor = warm(config, start["threads"], start["time_limit_s"])
    memory = MemoryBudget(start["memory"])
    memory.enforce()
    decoder = Decoder(connection, extractor, VideoLimits(**start["limits"]), memory)
    decoder.send(pack("ready"))
    while True:
        try:
            kind, values, blobs = unpack(connection.recv_bytes())
        except (EOFError, OSError):
            return
        decoder.answer(kind, values, blobs)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
