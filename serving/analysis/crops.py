"""Selection of the crops of a report: a few of a video's, kept while it goes by."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Sequence
from typing import Literal

from pipelines.clip import Clip
from serving.analysis.video_result import face_sizes
from serving.client import Prediction

EXTREMES = 4  # the most suspicious crops, and as many of the least

Kind = Literal["best", "most", "least"]


@dataclasses.dataclass(frozen=True, eq=False)
class Crop:
    """A frame of a clip. images: all crops of the clip, for the model sees them together."""

    track: int
    time_s: float
    frame_probability: float
    quality: float
    images: Sequence[bytes]
    frame: int

    @property
    def image(self) -> bytes:
        return self.images[self.frame]


class CropSelection:
    """The best crop of each track, and the most and least suspicious ones of all tracks.

    Holds the crops of the clips that these are from, of however many it is given.
    """

    def __init__(self) -> None:
        self._best: dict[int, Crop] = {}
        self._most: list[tuple[float, int, Crop]] = []  # heaps, what goes first on top
        self._least: list[tuple[float, int, Crop]] = []
        self._seen = 0

    def add(self, clip: Clip, prediction: Prediction) -> None:
        frames = clip.has_crop.nonzero()[0].tolist()
        for frame, size in zip(frames, face_sizes(clip).tolist(), strict=True):
            crop = Crop(
                track=clip.track,
                time_s=round(float(clip.times_s[frame]), 3),
                frame_probability=prediction.frame_probability[frame],
                quality=size * float(clip.confidence[frame]),
                images=clip.images,
                frame=frame,
            )
            self._seen += 1
            best = self._best.get(clip.track)
            if best is None or crop.quality > best.quality:
                self._best[clip.track] = crop
            self._keep(self._most, crop.frame_probability, crop)
            self._keep(self._least, -crop.frame_probability, crop)

    def _keep(self, heap: list[tuple[float, int, Crop]], rank: float, crop: Crop) -> None:
        entry = (rank, -self._seen, crop)  # of equals the earlier one
        if len(heap) < EXTREMES:
            heapq.heappush(heap, entry)
        else:
            heapq.heappushpop(heap, entry)

    def chosen(self) -> list[tuple[Kind, Crop]]:
        """The best by track, then the most and the least suspicious, the extreme first.

        Of few frames none is among both the most and the least suspicious.
        """
        number = min(EXTREMES, self._seen // 2)
        best: list[tuple[Kind, Crop]] = [
            ("best", self._best[track]) for track in sorted(self._best)
        ]
        most: list[tuple[Kind, Crop]] = [
            ("most", c) for _, _, c in sorted(self._most, reverse=True)
        ]
        least: list[tuple[Kind, Crop]] = [
            ("least", c) for _, _, c in sorted(self._least, reverse=True)
        ]
        return best + most[:number] + least[:number]
