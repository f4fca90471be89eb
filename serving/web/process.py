"""Decoding process as the web server sees it: started, greeted, ended; and warm spare ones."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from pipelines.config import PreprocessConfig
from pipelines.video.child import start_process
from pipelines.video.memory import resident_bytes
from pipelines.video.wire import pack, unpack
from serving.web.settings import Settings

log = logging.getLogger("dfdetect.web")


class DecodingProcess:
    """A process that makes crops by one config, from its start to its end.

    allowed_bytes: its resident size beyond which it has taken too much.
    """

    def __init__(self, settings: Settings, config: PreprocessConfig):
        self._popen, ours = start_process("serving.web.decoder")
        self.connection = Connection(ours.detach())
        self.config, self.warm = config, False
        self._budget_bytes = settings.worker_memory
        self.allowed_bytes = 0
        limits = ("max_seconds", "max_pixels", "max_frames")
        start: dict[str, Any] = {
            "config": config.to_dict(),
            "threads": settings.threads_each,
            "time_limit_s": settings.job_timeout,
            "memory": settings.worker_memory,
            "limits": {
                **{name: getattr(settings, name) for name in limits},
                "max_gigapixels": settings.scan.max_gigapixels,
            },
        }
        self.send(pack("start", **start))

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    def greet(self, message: bytes) -> None:
        """Takes note of its first message. Raises ValueError where that is another than "ready"."""
        kind, _, _ = unpack(message)
        if kind != "ready":
            raise ValueError(f"it began with {kind!r}")
        self.allowed_bytes = resident_bytes(self.pid) + self._budget_bytes
        self.warm = True

    def send(self, message: bytes) -> None:
        # A process that has died is noticed by who waits for its answer.
        with contextlib.suppress(OSError):
            self.connection.send_bytes(message)

    def kill(self) -> None:
        self._popen.kill()

    def end(self) -> int | None:
        """At once; its exit code, if it had ended by itself."""
        code = self._popen.poll()
        self.connection.close()
        self._popen.kill()
        self._popen.wait()
        return code


class Spares:
    """Warm processes that wait to take the place of one that had to be ended.

    They are started one after the other, once a worker is warm, by a thread of their own.
    """

    def __init__(self, settings: Settings, on_start: Callable[[], None]):
        self._settings, self._on_start = settings, on_start
        self._lock = threading.Lock()
        self._warm: list[DecodingProcess] = []
        self._warming: DecodingProcess | None = None
        self._closed = False

    @property
    def warm(self) -> int:
        """How many wait."""
        return len(self._warm)

    def take(self, config: PreprocessConfig) -> DecodingProcess | None:
        """A warm one, if there is any that makes such crops."""
        with self._lock:
            for process in self._warm:
                if process.config == config and process.alive:
                    self._warm.remove(process)
                    return process
        return None

    def refill(self, config: PreprocessConfig) -> None:
        """Sees to it that as many as are set are there, or on their way; returns at once."""
        with self._lock:
            useless = [p for p in self._warm if p.config != config or not p.alive]
            self._warm = [p for p in self._warm if p not in useless]
            start = not self._closed and self._warming is None
            if start and len(self._warm) < self._settings.spares:
                self._warming = DecodingProcess(self._settings, config)
                self._on_start()
                threading.Thread(target=self._warm_up, args=(config,), daemon=True).start()
        for process in useless:
            process.end()

    def _warm_up(self, config: PreprocessConfig) -> None:
        process = self._warming
        assert process is not None
        try:
            process.greet(process.connection.recv_bytes())
        except (EOFError, OSError, ValueError) as error:
            if not self._closed:
                log.warning("a spare decoding process did not start (%r)", error)
        with self._lock:
            self._warming = None
            kept = process.warm and not self._closed
            if kept:
                self._warm.append(process)
        if kept:
            self.refill(config)
        else:
            process.end()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            ended, self._warm = self._warm, []
            if self._warming:
                self._warming.kill()  # whose thread then ends it
        for process in ended:
            process.end()
