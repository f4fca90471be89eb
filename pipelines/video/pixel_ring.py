"""Ring of pictures in memory that two processes share: one puts them there, the other copies them.

A socket's buffer holds less than a frame, so that each would wait for the other several times a
frame; here who decodes is a few frames ahead.
"""

from __future__ import annotations

import fcntl
import mmap
import os

import numpy as np

from pipelines.video.picture import square_size
from pipelines.video.probe import VideoInfo

RING_BYTES, MOST_SLOTS = 64 << 20, 16


class PixelRing:
    """Slots of one size, of which number n is used by the pictures n, n + slots, ...

    Its size is sealed: who shares it cannot take memory away from under the other.
    """

    def __init__(self, descriptor: int, slots: int, slot_bytes: int):
        """Takes over the descriptor. Raises ValueError, OSError for one of another size."""
        self.descriptor, self.slots, self.slot_bytes = descriptor, slots, slot_bytes
        self._memory = mmap.mmap(descriptor, slots * slot_bytes)

    @classmethod
    def of(cls, info: VideoInfo) -> PixelRing:
        """One that frames of this video fit in, unless their size changes. Raises OSError."""
        width, height = square_size(info.width, info.height, info.aspect)
        slot_bytes = max(1, 3 * width * height)
        slots = min(MOST_SLOTS, max(2, RING_BYTES // slot_bytes))
        descriptor = os.memfd_create("frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(descriptor, slots * slot_bytes)
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        return cls(descriptor, slots, slot_bytes)

    def put(self, number: int, image: np.ndarray) -> None:
        """image: (H, W, 3) uint8, which fits."""
        self._view(number, image.shape[0], image.shape[1])[...] = image

    def get(self, number: int, height: int, width: int) -> np.ndarray:
        """A copy of a picture. Raises ValueError for one that cannot be there."""
        return self._view(number, height, width).copy()

    def fits(self, image: np.ndarray) -> bool:
        return image.nbytes <= self.slot_bytes

    def _view(self, number: int, height: int, width: int) -> np.ndarray:
        if min(height, width) < 1 or 3 * height * width > self.slot_bytes:
            raise ValueError(f"a picture of {width}x{height} px in {self.slot_bytes} bytes")
        start = number % self.slots * self.slot_bytes
        flat = np.frombuffer(self._memory, np.uint8, 3 * height * width, start)
        return flat.reshape(height, width, 3)

    def close(self) -> None:
        self._memory.close()
        os.close(self.descriptor)
