"""People of a video: faces told again from moment to moment, so that each keeps its number."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipelines.clip import Clip, Sighting
from pipelines.faces.align import crop, similarity
from pipelines.faces.boxes import LINK_IOU, iou
from pipelines.video.cuts import is_cut

if TYPE_CHECKING:  # it loads TensorFlow, which who only tells people apart need not
    from pipelines.faces.track import Track

APPEARANCE_PX = 16  # side of the aligned face that is compared
LOOKS_AT = 5  # frames of a track whose mean it is
SAME_SIZE = 1.5  # sides of one face before and after a cut differ by at most this factor
SAME_APPEARANCE = 0.9  # least cosine of the appearance of one face before and after a cut


class People:
    """The faces of a video so far. Numbers are given in order of time."""

    def __init__(self) -> None:
        self._last: list[Sighting] = []  # by number

    def number(self, sightings: Sequence[Sighting]) -> list[int]:
        """The number of each face of a moment, given the most prominent first.

        A face keeps its own by its place in the picture where that shows no cut since it was seen;
        after a cut only where place, size and appearance all agree. Others get new numbers.
        """
        pairs = sorted(
            (-value, number, i)
            for number, last in enumerate(self._last)
            for i, sighting in enumerate(sightings)
            if (value := _agreement(last, sighting)) > 0
        )
        numbers: dict[int, int] = {}
        for _, number, i in pairs:
            if i not in numbers and number not in numbers.values():
                numbers[i] = number
        for i, sighting in enumerate(sightings):
            if i not in numbers:
                numbers[i] = len(self._last)
                self._last.append(sighting)
            self._last[numbers[i]] = sighting
        return [numbers[i] for i in range(len(sightings))]

    def numbered(self, clips: Sequence[Clip]) -> list[Clip]:
        """The clips of a moment with `number` as their tracks, in order of it."""
        numbers = self.number([clip.sighting for clip in clips if clip.sighting])
        renamed = [
            dataclasses.replace(clip, track=number)
            for clip, number in zip(clips, numbers, strict=True)
        ]
        return sorted(renamed, key=lambda clip: clip.track)


def sighting(
    track: Track, images: Sequence[np.ndarray | None], thumbs: Sequence[np.ndarray | None]
) -> Sighting:
    """That of a track in these pictures (H, W, 3) uint8 RGB; thumbs: the same, tiny."""
    seen = np.flatnonzero(track.seen)
    middle = np.unique(seen[np.linspace(0, len(seen) - 1, LOOKS_AT).round().astype(int)])
    first, last = track.faces[seen[0]], track.faces[seen[-1]]
    pictures = thumbs[seen[0]], thumbs[seen[-1]]
    assert first and last and pictures[0] is not None and pictures[1] is not None
    faces = [
        crop(image, similarity(face.landmarks, APPEARANCE_PX, 0.0), APPEARANCE_PX)
        for image, face in ((images[t], track.faces[t]) for t in middle)
        if image is not None and face is not None
    ]
    height, width = next(image for image in images if image is not None).shape[:2]
    return Sighting((width, height), first.box, last.box, appearance(faces), *pictures)


def appearance(faces: Sequence[np.ndarray]) -> np.ndarray:
    """(D,) float32 of length 1, in float16's precision, from aligned pictures of a face."""
    mean = np.mean(faces, axis=0).mean(axis=-1)
    values = (mean - mean.mean()).ravel()
    values /= max(np.linalg.norm(values), 1e-6)
    return values.astype(np.float16).astype(np.float32)


def _agreement(before: Sighting, after: Sighting) -> float:
    """How surely both are of one face; 0 where they are not."""
    a, b = _relative(before.last_box, before.size), _relative(after.first_box, after.size)
    overlap = float(iou(a, b[None])[0])
    if overlap < LINK_IOU:
        return 0.0
    if not is_cut(before.last_picture, after.first_picture):
        return 1 + overlap
    sides = [float(np.sqrt(np.prod(box[2:] - box[:2]))) for box in (a, b)]
    if max(sides) > SAME_SIZE * min(sides):
        return 0.0
    return overlap if before.appearance @ after.appearance >= SAME_APPEARANCE else 0.0


def _relative(box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The box in a picture of this size, as shares of its width and height."""
    return box / np.tile(size, 2)
