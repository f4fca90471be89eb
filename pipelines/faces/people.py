"""People of a video: faces told again from moment to moment, so that each keeps its number."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipelines.clip import Clip, Sighting
from pipelines.faces.align import crop, similarity
from pipelines.faces.boxes import LINK_IOU, iou
from pipelines.video.cuts import colours

if TYPE_CHECKING:  # it loads TensorFlow, which who only tells people apart need not
    from pipelines.faces.detect import Face
    from pipelines.faces.track import Track

# How the appearance of a face is described: colours of 8 x 8 px, and by Dalal and Triggs (2005),
# "Histograms of Oriented Gradients for Human Detection", 8 directions in cells of 8 x 8 px.
FACE_PX, COLOUR_PX, CELL_PX, DIRECTIONS = 32, 8, 8, 8
FACE_MARGIN = 0.3  # hair and chin tell people apart, too
LOOKS_AT = 3  # frames of a track whose mean it is

# Change of the picture between two moments up to which it is still the same shot. It is less in
# 83 % of pairs of moments of one video, and in 4 of 5,130 pairs of videos of two people.
STAYED = 12.0
# Cosine of two appearances. It is less for 99.9 % of pairs of two people, and more for two thirds
# of pairs of one person at other moments of a video (docs/preprocessing.md).
SAME_APPEARANCE = 0.83
SAME_SIZE = 1.5  # one face's sides before and after a cut differ by no more than this factor


class People:
    """The faces of a video so far. Numbers are given in order of time."""

    def __init__(self) -> None:
        # By number, as it was seen last: box as shares of the picture, appearance, picture.
        self._boxes: dict[int, np.ndarray] = {}
        self._appearances: dict[int, np.ndarray] = {}
        self._pictures: dict[int, np.ndarray] = {}

    def number(self, sightings: Sequence[Sighting], after_cut: bool = False) -> list[int]:
        """The number of each face of a moment, given the most prominent first.

        Where the picture stayed as it was when a face was seen last, it keeps its number by its
        place, or else by its appearance. Where the picture changed, place, size and appearance
        must all agree. Other faces get new numbers. after_cut: the picture is known to have
        changed.
        """
        pairs = sorted(
            (-float(certainty[number]), int(number), i)
            for i, certainty in enumerate(self._certainties(sightings, after_cut))
            for number in np.flatnonzero(certainty)
        )
        numbers: dict[int, int] = {}
        for _, number, i in pairs:
            if i not in numbers and number not in numbers.values():
                numbers[i] = number
        for i, sighting in enumerate(sightings):
            number = numbers.setdefault(i, len(self._boxes))
            self._boxes[number] = _relative(sighting.last_box, sighting.size)
            self._appearances[number] = sighting.appearance
            self._pictures[number] = colours([sighting.last_picture])[0]
        return [numbers[i] for i in range(len(sightings))]

    def _certainties(self, sightings: Sequence[Sighting], after_cut: bool) -> Iterator[np.ndarray]:
        """Of each face, (P,): how surely it is each of the P people, 0 where it is not."""
        if not self._boxes:
            return
        boxes, appearances, pictures = (
            np.array(list(by_number.values()))
            for by_number in (self._boxes, self._appearances, self._pictures)
        )
        sides = _sides(boxes)
        for sighting in sightings:
            box = _relative(sighting.first_box, sighting.size)
            overlap = iou(box, boxes)
            in_place = overlap >= LINK_IOU
            cosine = appearances @ sighting.appearance
            alike = cosine >= SAME_APPEARANCE
            ratio = sides / _sides(box[None])
            same_size = np.maximum(ratio, 1 / ratio) <= SAME_SIZE
            change = np.abs(pictures - colours([sighting.first_picture])).mean(axis=1)
            stayed = (change < STAYED) & (not after_cut)
            yield np.select(
                [stayed & in_place, in_place & same_size & alike, stayed & alike],
                [2 + overlap, 1 + cosine, cosine],
                0.0,
            )

    def numbered(self, clips: Sequence[Clip]) -> list[Clip]:
        """The clips of a moment with `number` as their tracks, in order of it."""
        numbers = self.number([clip.sighting for clip in clips if clip.sighting])
        renamed = [
            dataclasses.replace(clip, track=number)
            for clip, number in zip(clips, numbers, strict=True)
        ]
        return sorted(renamed, key=lambda clip: clip.track)


def _relative(box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The box in a picture of this size, as shares of its width and height."""
    return box / np.tile(size, 2)


def _sides(boxes: np.ndarray) -> np.ndarray:
    """Of boxes (N, 4), at least a little."""
    return np.sqrt(np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), 1e-12))


def sighting(
    track: Track, images: Sequence[np.ndarray | None], thumbs: Sequence[np.ndarray | None]
) -> Sighting:
    """That of a track in these pictures (H, W, 3) uint8 RGB; thumbs: the same, tiny."""
    seen = [
        (face, image, tiny)
        for face, image, tiny in zip(track.faces, images, thumbs, strict=True)
        if face is not None and image is not None and tiny is not None
    ]
    chosen = np.unique(np.linspace(0, len(seen) - 1, LOOKS_AT).round().astype(int))
    aligned = [_aligned(face, image) for face, image, _ in (seen[i] for i in chosen)]
    (first, image, first_picture), (last, _, last_picture) = seen[0], seen[-1]
    height, width = image.shape[:2]
    return Sighting(
        (width, height), first.box, last.box, appearance(aligned), first_picture, last_picture
    )


def _aligned(face: Face, image: np.ndarray) -> np.ndarray:
    """(32, 32, 3) uint8, from the part of the picture around the face."""
    room = (face.box[2:] - face.box[:2]) / 2
    corner = np.clip(face.box[:2] - room, 0, np.array(image.shape[1::-1]) - 1).astype(int)
    end = np.maximum(face.box[2:] + room, corner + 1).astype(int)
    part = image[corner[1] : end[1], corner[0] : end[0]]
    return crop(part, similarity(face.landmarks - corner, FACE_PX, FACE_MARGIN), FACE_PX)


def appearance(aligned: Sequence[np.ndarray]) -> np.ndarray:
    """(320,) float32 of length 1 in float16's precision, from pictures (32, 32, 3) uint8 RGB."""
    coarse = [cv2.resize(x, (COLOUR_PX, COLOUR_PX), interpolation=cv2.INTER_AREA) for x in aligned]
    gradients = [_gradients(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY)) for x in aligned]
    # Square roots make of a sum of products Bhattacharyya's coefficient of two histograms.
    parts = [_unit(np.mean(coarse, axis=0)), _unit(np.sqrt(np.mean(gradients, axis=0)))]
    return (np.concatenate(parts) / np.sqrt(2)).astype(np.float16).astype(np.float32)


def _gradients(grey: np.ndarray) -> np.ndarray:
    """Histogram of directions in each cell, each as a share of those in the cells around it."""
    down, right = np.gradient(grey.astype(np.float32))
    strength = np.hypot(right, down)
    turn = np.arctan2(down, right) % (2 * np.pi) / (2 * np.pi) * DIRECTIONS
    lower = turn.astype(int)
    side = len(grey) // CELL_PX
    histogram = np.zeros((DIRECTIONS, side, CELL_PX, side, CELL_PX), np.float32)
    flat = histogram.reshape(DIRECTIONS, -1)
    pixels = np.arange(grey.size)
    for direction, share in ((lower, lower + 1 - turn), (lower + 1, turn - lower)):
        flat[direction.ravel() % DIRECTIONS, pixels] += (share * strength).ravel()
    cells = histogram.sum(axis=(2, 4))
    around = cv2.boxFilter((cells**2).sum(axis=0), -1, (3, 3), normalize=False)
    return cells / (np.sqrt(around) + 10)  # what is flat has no directions


def _unit(values: np.ndarray) -> np.ndarray:
    centred = values.ravel() - values.mean()
    return centred / max(float(np.linalg.norm(centred)), 1e-6)
