"""Graceful end of the web server: at SIGTERM jobs at work are finished, and who waits is told."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from types import FrameType

import uvicorn

from serving.web.job_queue import JobQueue

LINGER_S = 3.0  # for pages to fetch what became of their job

log = logging.getLogger("dfdetect.web")


class DrainingServer(uvicorn.Server):
    """A server that drains its jobs at the first SIGTERM, and ends after that.

    Ctrl-C, or SIGTERM once more, ends it without.
    """

    def __init__(self, config: uvicorn.Config, jobs: JobQueue):
        super().__init__(config)
        self._jobs = jobs
        self._drain: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig != signal.SIGTERM or not self.started or self._jobs.draining:
            super().handle_exit(sig, frame)
        else:
            self._jobs.draining = True  # from this moment on
            self._loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        self._drain = self._loop.create_task(self._drain_and_end())

    async def _drain_and_end(self) -> None:
        try:
            followed = self._jobs.running + self._jobs.waiting
            log.info("asked to end: %d videos are at work or wait", followed)
            await self._jobs.drain()
            if followed:
                await asyncio.sleep(LINGER_S)
        finally:
            super().handle_exit(signal.SIGTERM, None)
