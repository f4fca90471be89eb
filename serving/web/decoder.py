"""Process for untrusted files: it finds faces in what a confined one decodes, and hands on crops.

Started by `FaceWorker`, which asks it to leave what nobody wants any more, and ends it when it
takes too long or too much. It parses nothing of an upload: that is done by the confined process
that its `ConfinedReader` starts.
"""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from pipelines.clip import VideoError
from pipelines.config import PreprocessConfig
from pipelines.faces import interrupt
from pipelines.faces.detect import MtcnnDetector
from pipelines.faces.extract import FaceExtractor, ProbedVideo
from pipelines.video.child import end_with_parent
from pipelines.video.confined import ConfinedReader
from pipelines.video.memory import MemoryBudget, peak_resident_bytes, too_much_memory
from pipelines.video.source import VideoFile
from pipelines.video.stopwatch import Stopwatch
from pipelines.video.wire import FAULT_CHARS, pack, unpack
from serving.web import wire
from serving.web.file_kinds import looks_like_video, picture_kind
from serving.web.limits import VideoLimits


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
    """Answers the requests "open", with what a file is, and "looks", with looks at moments of it.

    reader: what the extractor opens files with.
    """

    def __init__(
        self,
        connection: Connection,
        extractor: FaceExtractor,
        reader: ConfinedReader,
        limits: VideoLimits,
        memory: MemoryBudget,
    ):
        self._connection, self._extractor, self._reader = connection, extractor, reader
        self._limits, self._memory = limits, memory
        self._lock = threading.Lock()  # stages are reported from the thread that decodes, too
        self._answered = threading.Event()
        self._answered.set()
        self._video: ProbedVideo | None = None

    def send(self, message: bytes) -> None:
        with self._lock:
            self._connection.send_bytes(message)

    def requests(self) -> Iterator[tuple[str, dict[str, Any], list[bytes]]]:
        """As they come, until the server has gone. "cancel" is for the one that is at work, and
        heard by the thread that reads here."""
        came: queue.SimpleQueue = queue.SimpleQueue()

        def read() -> None:
            path = ""
            with contextlib.suppress(EOFError, OSError):
                while True:
                    kind, values, blobs = unpack(self._connection.recv_bytes())
                    if kind == "cancel":
                        self._interrupt(path)
                        continue
                    path = values["path"]
                    interrupt.renew()
                    self._answered.clear()
                    came.put((kind, values, blobs))
            came.put(None)

        threading.Thread(target=read, daemon=True).start()
        return iter(came.get, None)

    def _interrupt(self, path: str) -> None:
        """Until the answer has ended; the server asks nothing else meanwhile."""
        interrupt.request()
        while not self._answered.wait(0.02):
            self._reader.interrupt(path)

    def answer(self, kind: str, values: dict[str, Any], blobs: list[bytes]) -> None:
        """Ends with one message of the kinds that `FaceWorker` takes for the last of an answer."""
        peak_bytes, check = peak_resident_bytes(), interrupt.checker()
        try:
            self._answer(kind, values["path"], values, blobs)
        except Exception as error:
            if isinstance(error, ConnectionError):
                raise  # nobody listens any more
            try:
                check()
            except interrupt.Interrupted:  # whatever it met on the way
                self._end(pack("cancelled"))
                return
            if self._memory.explains(error, peak_bytes):
                self._refuse(too_much_memory(self._memory.budget_bytes), ends=True)
                raise  # what else failed for want of memory cannot be told: end
            if isinstance(error, VideoError) and error.reason != "error":
                self._refuse(error)
                return
            # A fault in us, here or in the confined process: a bad file all the same.
            fault = traceback.format_exc()[-FAULT_CHARS:]
            self._refuse(VideoError("decoder_failed", "decode", "reading it failed."), fault)

    def _answer(self, kind: str, path: str, values: dict[str, Any], blobs: list[bytes]) -> None:
        extractor = self._extractor.for_crops(PreprocessConfig.from_dict(values["crops"]))
        video = self._video
        known = video and video.info.path == path and video.extractor is extractor
        if video is None or not known or kind == "open":
            video = self._video = self._open(path, extractor)
        if kind == "open":
            self._end(wire.pack_opened(video.metadata, video.frame_times))
            return
        watch = _StageWatch(lambda stage: self.send(pack("stage", stage=stage)))
        for look in video.looks(wire.samples_of(values, blobs), watch):
            self.send(wire.pack_look(look))
        self._end(pack("end"))

    def _open(self, path: str, extractor: FaceExtractor) -> ProbedVideo:
        with VideoFile(path) as file:
            head = file.read(32)
        picture = picture_kind(head)
        try:
            video = extractor.open(path)
        except VideoError as error:
            if picture and error.reason in ("unreadable", "unsupported", "no_video_stream"):
                raise _is_picture(picture) from error
            if error.reason != "unreadable" or looks_like_video(head):
                raise
            raise VideoError("unsupported", error.stage, error.detail) from error
        if picture and video.metadata.frames == 1:
            raise _is_picture(picture)
        self._limits.check(video.metadata, video.frame_times)
        return video

    def _end(self, message: bytes) -> None:
        self._answered.set()
        self.send(message)

    def _refuse(self, error: VideoError, fault: str = "", ends: bool = False) -> None:
        """fault: a traceback. ends: whether this process does."""
        told: dict[str, Any] = {
            "reason": error.reason,
            "stage": error.stage,
            "detail": error.detail,
        }
        self._end(pack("error", **told, fault=fault, ends=ends))


def _is_picture(kind: str) -> VideoError:
    what = f"it is a {kind} picture. A verdict rests on many frames: send the video itself."
    return VideoError("picture", "decode", what)


def warm(
    config: PreprocessConfig, threads: int, time_limit_s: float, reader: ConfinedReader
) -> FaceExtractor:
    """An extractor whose networks have run once, so that the first video need not wait."""
    reader.start()
    detector = MtcnnDetector(config.min_face, threads)
    frame = np.random.default_rng(0).integers(0, 255, (360, 640, 3), np.uint8)
    detector.detect([frame])
    detector.refine([frame], np.array([0]), np.array([[200.0, 100.0, 300.0, 200.0]]))
    return FaceExtractor(
        config, detector, threads=threads, time_limit_s=time_limit_s, reader=reader
    )


def main(descriptor: int, parent: int) -> None:
    threading.Thread(target=end_with_parent, args=(parent,), daemon=True).start()
    connection = Connection(descriptor)
    _, start, _ = unpack(connection.recv_bytes())
    config, budget_bytes = PreprocessConfig.from_dict(start["config"]), start["memory"]
    limits = VideoLimits(**start["limits"])
    reader = ConfinedReader(budget_bytes, limits.max_pixels)
    extractor = warm(config, start["threads"], start["time_limit_s"], reader)
    memory = MemoryBudget(budget_bytes)
    memory.enforce(slack=2)  # for what the server, which looks on, may be too late for
    decoder = Decoder(connection, extractor, reader, limits, memory)
    decoder.send(pack("ready"))
    for kind, values, blobs in decoder.requests():
        decoder.answer(kind, values, blobs)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
