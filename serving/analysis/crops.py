"""Selection of the pictures of a report: crops and thumbnails, a few, kept while it goes by."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from pipelines.clip import Clip, Look
from pipelines.faces.people import People
from pipelines.verdict import MIN_FACE_PX
from pipelines.video.moments import Moments
from serving.analysis.video_result import face_sizes
from serving.client import Prediction

EXTREMES = 4  # the most suspicious crops, and as many of the least
FACES = 32  # of which a best crop is kept while the video goes by
STRIP = 12  # thumbnails that are shown, and how many are kept for each of them meanwhile
STRIP_CHOICE = 4

Kind = Literal["best", "most", "least"]
Face = tuple[int, int]  # (moment, number of the face within it)


@dataclasses.dataclass(frozen=True, eq=False)
class Crop:
    """A frame of a clip. images: all crops of the clip, for the model sees them together."""

    face: Face
    time_s: float
    frame_probability: float
    quality: float
    images: Sequence[bytes]
    frame: int

    @property
    def image(self) -> bytes:
        return self.images[self.frame]


class CropSelection:
    """The best crop of each face, and the most and least suspicious ones of all faces.

    Holds the crops of the clips that these are from, of however many it is given. Which faces of
    two moments are one shows only at the end, when all are seen in order of time; meanwhile they
    are told again within each pass over the video. Of more than FACES the most suspicious are kept.
    """

    def __init__(self) -> None:
        # By pass and number in it: whether it is large enough for a verdict, P(fake), the crop.
        self._best: dict[tuple[int, int], tuple[bool, float, Crop]] = {}
        self._most: list[tuple[float, int, Crop]] = []  # heaps, what goes first on top
        self._least: list[tuple[float, int, Crop]] = []
        self._seen = 0
        self._pass, self._moment, self._people = 0, -1, People()

    def add(self, look: Look, predictions: Sequence[Prediction]) -> None:
        """Within a pass the moments come in order."""
        if look.moment <= self._moment:
            self._pass, self._people = self._pass + 1, People()
        self._moment = look.moment
        numbers = self._people.number([clip.sighting for clip in look.clips if clip.sighting])
        for number, clip, prediction in zip(numbers, look.clips, predictions, strict=True):
            self._add((self._pass, number), clip, prediction)

    def _add(self, key: tuple[int, int], clip: Clip, prediction: Prediction) -> None:
        frames, sizes = clip.has_crop.nonzero()[0].tolist(), face_sizes(clip)
        for frame, size in zip(frames, sizes.tolist(), strict=True):
            crop = Crop(
                face=(clip.index, clip.track),
                time_s=round(float(clip.times_s[frame]), 3),
                frame_probability=prediction.frame_probability[frame],
                quality=size * float(clip.confidence[frame]),
                images=clip.images,
                frame=frame,
            )
            self._seen += 1
            self._keep(self._most, crop.frame_probability, crop)
            self._keep(self._least, -crop.frame_probability, crop)
            large, highest, best = self._best.get(key, (False, -1.0, crop))
            self._best[key] = (
                large or bool(np.median(sizes) >= MIN_FACE_PX),
                max(highest, prediction.probability_fake),
                crop if crop.quality > best.quality else best,
            )
        if len(self._best) > FACES:
            del self._best[min(self._best, key=lambda key: self._best[key][:2])]

    def _keep(self, heap: list[tuple[float, int, Crop]], rank: float, crop: Crop) -> None:
        entry = (rank, -self._seen, crop)  # of equals the earlier one
        if len(heap) < EXTREMES:
            heapq.heappush(heap, entry)
        else:
            heapq.heappushpop(heap, entry)

    def chosen(
        self, tracks: Mapping[Face, int], ranked: Sequence[int]
    ) -> list[tuple[Kind, int, Crop]]:
        """(kind, track, crop): the best of each track, as ranked, then of the same tracks the most
        and the least suspicious, the extreme first.

        tracks: that of each face. A face of which no crop was kept has none. Of few frames none is
        among both the most and the least suspicious.
        """
        extremes = [crop for heap in (self._most, self._least) for _, _, crop in heap]
        best: dict[int, Crop] = {}
        for crop in [*(crop for _, _, crop in self._best.values()), *extremes]:
            track = tracks[crop.face]
            if track not in best or crop.quality > best[track].quality:
                best[track] = crop
        chosen: list[tuple[Kind, int, Crop]] = [
            ("best", track, best[track]) for track in ranked if track in best
        ]
        number = min(EXTREMES, self._seen // 2)
        kinds: tuple[tuple[Kind, list], ...] = (("most", self._most), ("least", self._least))
        for kind, heap in kinds:
            crops = [crop for _, _, crop in sorted(heap, reverse=True)[:number]]
            chosen += [(kind, tracks[c.face], c) for c in crops if tracks[c.face] in ranked]
        return chosen


class Strip:
    """Thumbnails of the moments that go by: of each of equal parts of the video the first."""

    def __init__(self) -> None:
        self._by_moment: dict[int, bytes] = {}

    def add(self, look: Look, row: Moments) -> None:
        parts = STRIP * STRIP_CHOICE
        part = look.moment * parts // len(row)
        if look.thumbnail and all(m * parts // len(row) != part for m in self._by_moment):
            self._by_moment[look.moment] = look.thumbnail

    def chosen(self, row: Moments) -> list[tuple[float, bytes]]:
        """(seconds, JPEG) of at most STRIP, evenly over the video, in order."""
        middles = {
            moment: float(row.times_s[row.samples[moment][len(row.samples[moment]) // 2]])
            for moment in sorted(self._by_moment)
        }
        number = min(STRIP, len(middles))
        targets = [(i + 0.5) * row.duration_s / number for i in range(number)]
        near = {min(middles, key=lambda m: abs(middles[m] - target)) for target in targets}
        return [(round(middles[m], 3), self._by_moment[m]) for m in sorted(near)]
