"""Video file as an open descriptor: a confined process is handed one, since it may open none."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from typing import Any

from pipelines.clip import VideoError

_handed: dict[str, int] = {}  # name -> descriptor


@contextlib.contextmanager
def handed(name: str, descriptor: int) -> Iterator[None]:
    """Meanwhile what is opened by this name is read from the descriptor, which it owns."""
    _handed[name] = descriptor
    try:
        yield
    finally:
        del _handed[name]
        os.close(descriptor)


class VideoFile(io.RawIOBase):
    """A file to read, with a position of its own even where the descriptor is shared."""

    def __init__(self, path: str):
        """Raises VideoError "unreadable" for what is no file, cannot be opened or is empty."""
        super().__init__()
        self.name = path  # FFmpeg takes its suffix as a hint
        self._position = 0
        self.descriptor = -1
        if path in _handed:
            self.descriptor = os.dup(_handed[path])
        elif not os.path.isfile(path):  # a pipe would keep us waiting
            raise _unreadable(path, "not a file" if os.path.exists(path) else "no such file")
        else:
            try:
                self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise _unreadable(path, f"cannot be opened ({error.strerror})") from error
        self.size = os.fstat(self.descriptor).st_size
        if self.size == 0:
            self.close()
            raise _unreadable(path, "the file is empty (0 bytes)")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            size = max(0, self.size - self._position)
        data = os.pread(self.descriptor, size, self._position)
        self._position += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = (0, self._position, self.size)[whence]
        if start + offset < 0:
            raise OSError(22, "Invalid argument")
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
        super().close()


def _unreadable(path: str, what: str) -> VideoError:
    return VideoError("unreadable", "decode", f"{path}: {what}.")
