"""Frames of one moment of a video, decoded: all of one size, with the shots that they make up."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections import Counter
from collections.abc import Sequence

import cv2
import numpy as np

from pipelines.faces.detect import shrink
from pipelines.video.cuts import cuts, thumb
from pipelines.video.probe import VideoInfo

THUMBNAIL_PX = 160  # wide


@dataclasses.dataclass(frozen=True, eq=False)
class MomentFrames:
    """T frames of a moment, of which some may lack.

    images[t] is (H, W, 3) uint8 RGB; None where damaged, or of another size. times_s: (T,) float32.
    decoded: how many came, of any size. odd_sizes: (W, H) of all, most frequent first, where they
    differ. side_px: long side at which faces are searched.
    """

    info: VideoInfo
    moment: int
    times_s: np.ndarray
    images: Sequence[np.ndarray | None]
    decoded: int
    odd_sizes: tuple[tuple[int, int], ...]
    side_px: int

    @classmethod
    def of(
        cls,
        info: VideoInfo,
        moment: int,
        times_s: np.ndarray,
        images: Sequence[np.ndarray | None],
        side_px: int,
    ) -> MomentFrames:
        """Of the size that most of these have: of two the one that came first."""
        sizes = Counter(image.shape[1::-1] for image in images if image is not None)
        if len(sizes) <= 1:
            return cls(info, moment, times_s, images, sizes.total(), (), side_px)
        ranked = tuple(size for size, _ in sizes.most_common())
        kept = [i if i is not None and i.shape[1::-1] == ranked[0] else None for i in images]
        return cls(info, moment, times_s, kept, sizes.total(), ranked, side_px)

    @property
    def present(self) -> list[np.ndarray]:
        return [image for image in self.images if image is not None]

    @property
    def size(self) -> tuple[int, int]:
        """(W, H) px."""
        height, width = self.present[0].shape[:2]
        return width, height

    @property
    def nbytes(self) -> int:
        return sum(image.nbytes for image in self.present)

    @functools.cached_property
    def small(self) -> list[np.ndarray | None]:
        """The frames with their long side at most `side_px`."""
        return [None if image is None else shrink(image, self.side_px) for image in self.images]

    @property
    def small_size(self) -> tuple[int, int]:
        """(W, H) px of the small frames."""
        height, width = next(image for image in self.small if image is not None).shape[:2]
        return width, height

    @functools.cached_property
    def thumbs(self) -> list[np.ndarray | None]:
        """The frames tiny, for cuts."""
        return [None if image is None else thumb(image) for image in self.small]

    @functools.cached_property
    def shots(self) -> list[slice]:
        """Where each shot begins and ends. A frame that lacks is of the shot before it."""
        present = [t for t, image in enumerate(self.thumbs) if image is not None]
        starts = [present[i] for i in cuts([image for image in self.thumbs if image is not None])]
        return [slice(*ends) for ends in itertools.pairwise([0, *starts, len(self.images)])]

    def thumbnail(self) -> bytes:
        """JPEG of the middle frame, 160 px wide and at most twice as high."""
        present = [image for image in self.small if image is not None]
        image = present[len(present) // 2]
        height = round(THUMBNAIL_PX * min(2.0, image.shape[0] / image.shape[1])) or 1
        reduced = cv2.resize(image, (THUMBNAIL_PX, height), interpolation=cv2.INTER_AREA)
        return cv2.imencode(".jpg", cv2.cvtColor(reduced, cv2.COLOR_RGB2BGR))[1].tobytes()

    def undecodable(self) -> str:
        """A sentence where most of the frames do not decode, or else ""."""
        frames = len(self.images)
        if 2 * self.decoded >= frames:
            return ""
        return (
            f"{frames - self.decoded} of {frames} frames from {self.times_s[0]:.2f} s on do not "
            "decode; get the file again."
        )

    def mixed_sizes(self) -> str:
        """A sentence on what a moment of frames of several sizes lacks, or else ""."""
        if not self.odd_sizes:
            return ""
        sizes = ", ".join(f"{width}x{height}" for width, height in self.odd_sizes)
        width, height = max(self.odd_sizes)
        return (
            f"the picture changes size within a clip, from {self.times_s[0]:.2f} s on "
            f"({sizes} px), and no face lasts in one size. Give it one size, as by "
            f"`ffmpeg -i IN -vf scale={width}:{height} OUT`, or take shorter clips."
        )
