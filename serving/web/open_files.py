"""File descriptors of the web application: their limit, and a listening socket that keeps to it."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import resource
import socket
from typing import Any

ENOUGH = 65_536  # more than this process can use; some limits are in billions
# asyncio takes as many connections in a row as its backlog is long, before one of them is counted.
ACCEPTED_IN_A_ROW = 16
WAITING = 2048  # connections that the kernel keeps until they are taken

log = logging.getLogger("dfdetect.web")


def raise_limit() -> None:
    """As far as this process may, and no further than it can use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # a sandbox may forbid it
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def most_connections(wanted: int) -> int:
    """So many, or half of the limit: uploads, models and decoding processes need the other one."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if soft == resource.RLIM_INFINITY else max(1, min(wanted, soft // 2))


class Listener(socket.socket):
    """A listening socket for asyncio, which takes few connections in a row, and which closes a
    connection at once for which there is no descriptor.

    asyncio would write a traceback for each attempt to take it, and take none for a second.
    """

    def __init__(self, listener: socket.socket):
        """listener: stays the caller's, to close."""
        super().__init__(fileno=os.dup(listener.fileno()))
        self._spare: int | None = None
        self._keep_spare()

    def listen(self, _: int = 0) -> None:
        super().listen(WAITING)

    def accept(self) -> tuple[socket.socket, Any]:
        """Raises BlockingIOError where there is none that can be taken, OSError."""
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE) or not self._keep_spare():
                raise
            log.warning("a connection was closed: %s", error.strerror)
            self._refuse()
            raise BlockingIOError from error

    def close(self) -> None:
        self._free_spare()
        super().close()

    def _refuse(self) -> None:
        """Takes a connection with the descriptor that is kept for this, and closes it."""
        self._free_spare()
        try:
            connection, _ = super().accept()
            connection.close()
        finally:
            self._keep_spare()

    def _keep_spare(self) -> bool:
        if self._spare is None:
            with contextlib.suppress(OSError):
                self._spare = os.open(os.devnull, os.O_RDONLY)
        return self._spare is not None

    def _free_spare(self) -> None:
        spare, self._spare = self._spare, None
        if spare is not None:
            os.close(spare)
