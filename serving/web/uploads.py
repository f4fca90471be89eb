"""Upload storage: random names in a private folder, gone with the analysis or the next start."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import IO

from serving.web.private_folder import private_folder


class UploadFolder:
    """A folder of this process's own under `base`; those of servers that died are removed.

    Several servers may share a base: each holds a lock on its own folder for as long as it lives.
    Raises OSError where the base cannot be used, or belongs to somebody else.
    """

    def __init__(self, base: Path):
        private_folder(base, "--folder")
        with open(base / "start.lock", "w") as start:
            fcntl.flock(start, fcntl.LOCK_EX)  # one server looks for leftovers at a time
            self.removed = sum(_remove_left(folder) for folder in base.glob("uploads-*"))
            self.path = Path(tempfile.mkdtemp(prefix="uploads-", dir=base))
            self._lock = _locked(self.path)

    def create(self) -> tuple[Path, IO[bytes]]:
        """A new file, open for writing, that only this user can read."""
        path = self.path / secrets.token_hex(16)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        return path, os.fdopen(descriptor, "wb")

    def files(self) -> list[Path]:
        """The uploads that are there."""
        return [path for path in self.path.iterdir() if path.name != "lock"]

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock:
            self._lock.close()


def _locked(folder: Path) -> IO[str] | None:
    """The folder's lock, or None while another process has it."""
    lock = open(folder / "lock", "w")  # noqa: SIM115 (held open: that is the lock)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def _remove_left(folder: Path) -> int:
    """Removes the folder of a server that has died; how many uploads lay there."""
    lock = _locked(folder)
    if lock is None:
        return 0
    with lock:
        left = len(list(folder.iterdir())) - 1
        shutil.rmtree(folder)
    return left
