"""Confined process that probes and decodes videos which it is handed by a `ConfinedReader`."""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import os
import pkgutil
import resource
import socket
import sys
import threading
import traceback
from typing import Any

import av
import numpy as np
from PIL import Image

from pipelines.clip import VideoError
from pipelines.errors import explain
from pipelines.video.child import end_with_parent
from pipelines.video.confine import confine
from pipelines.video.decode import read_frames
from pipelines.video.memory import MemoryBudget, peak_resident_bytes, too_much_memory
from pipelines.video.pixel_ring import PixelRing
from pipelines.video.probe import probe
from pipelines.video.source import handed
from pipelines.video.wire import FAULT_CHARS, Channel, info_of, pack, pack_info


def warm_up() -> None:
    """Loads what decoding may load on its way: once the process is confined there is no loading."""
    for module in pkgutil.walk_packages(av.__path__, "av."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    Image.init()
    name = "warm-up.png"
    for picture in (_png(), b"no video"):
        descriptor = os.memfd_create(name)
        os.write(descriptor, picture)
        with handed(name, descriptor), contextlib.suppress(VideoError):
            for stills in (False, True):
                with contextlib.suppress(VideoError):
                    info = probe(name, stills)
                    list(read_frames(info, [0]))


def _png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "PNG")
    return file.getvalue()


class DecoderProcess:
    """Answers "probe" and "frames", each about the file that comes with it; frames go into shared
    memory, which comes as well."""

    def __init__(self, channel: Channel, memory: MemoryBudget, max_pixels: int):
        self._channel, self._memory, self._max_pixels = channel, memory, max_pixels

    def answer(
        self, kind: str, values: dict[str, Any], blobs: list[bytes], files: list[int]
    ) -> None:
        """Raises what cannot be told of, which ends the process."""
        peak_bytes = peak_resident_bytes()
        path = values["info"]["path"] if kind == "frames" else values["path"]
        try:
            with handed(path, files[0]):
                if kind == "probe":
                    answer = pack_info("info", probe(path, values["stills"]))
                else:
                    ring = PixelRing(files[1], values["slots"], values["slot_bytes"])
                    with contextlib.closing(ring):
                        self._frames(values, blobs, ring)
                    answer = pack("end")
            self._channel.send(answer)  # once nothing of the upload is open any more
        except Exception as error:
            if isinstance(error, ConnectionError):
                raise  # nobody listens any more
            if self._memory.explains(error, peak_bytes):
                much = too_much_memory(self._memory.budget_bytes)
                self._refuse(VideoError(much.reason, much.stage, f"{path}: {much.detail}"))
                raise  # what else failed for want of memory cannot be told: end
            fault = ""
            if not isinstance(error, VideoError):  # a fault in us
                fault = traceback.format_exc()[-FAULT_CHARS:]
                error = VideoError("error", "decode", f"{path}: {explain(error)}")
            self._refuse(error, fault)

    def _frames(self, values: dict[str, Any], blobs: list[bytes], ring: PixelRing) -> None:
        info = info_of(values, blobs)
        indices = np.frombuffer(blobs[-1], "<i8").tolist()
        put = copied = 0  # pictures of the ring
        try:
            for image in read_frames(info, indices, values["threads"], self._max_pixels):
                size = None if image is None else image.shape[:2]
                if image is None or not ring.fits(image):  # whose size changed on the way
                    blobs = [] if image is None else [image.tobytes()]
                    self._channel.send(pack("frame", blobs, size=size))
                else:
                    if put - copied == ring.slots:
                        self._channel.await_acknowledgement()
                        copied += 1
                    ring.put(put, image)
                    put += 1
                    self._channel.send(pack("frame", size=size))
                del image
                gc.collect()  # PyAV's frames with side data are cycles, and nothing else is made
        finally:
            for _ in range(put - copied):
                self._channel.await_acknowledgement()

    def _refuse(self, error: VideoError, fault: str = "") -> None:
        """fault: a traceback, for the log of who asked: this process may write to no file."""
        reason, stage, detail = error.reason, error.stage, error.detail
        self._channel.send(pack("error", reason=reason, stage=stage, detail=detail, fault=fault))


def main(descriptor: int, parent: int, memory_bytes: int, max_pixels: int) -> None:
    threading.Thread(target=end_with_parent, args=(parent,), daemon=True).start()
    channel = Channel(socket.socket(fileno=descriptor))
    warm_up()
    gc.freeze()  # what is loaded stays
    memory = MemoryBudget(memory_bytes)
    memory.enforce()
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # it inherits its standard error
    channel.send(pack("ready", unconfined=confine()))
    process = DecoderProcess(channel, memory, max_pixels)
    while True:
        try:
            kind, values, blobs, files = channel.receive()
        except (EOFError, OSError):
            return
        process.answer(kind, values, blobs, files)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
