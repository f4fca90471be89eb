"""Faces through clips at a fraction of the cost of searching every frame.

A face seen at two frames is looked for between them, where its box must be: only the last of the
detector's networks runs there. The whole search runs on a few frames, and wherever a face is not
where it was expected.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.faces.detect import Face, FaceDetector, Frames, suppress
from pipelines.faces.track import match

KEY_STEP = 15  # frames from one full search to the next, at most
EXPECTED_IOU = 0.2  # boxes of one face at two searched frames overlap at least this much
SURE = 0.8  # MTCNN's own threshold for its last network
SAME_FACE_IOU = 0.7


def detect_through(detector: FaceDetector, clips: Sequence[Frames]) -> list[list[list[Face]]]:
    """The faces of each frame of each clip of one video."""
    frames = [frame for clip in clips for frame in clip]
    starts = np.cumsum([0, *(len(clip) for clip in clips)])
    found: dict[int, list[Face]] = {}
    gaps: list[tuple[int, int]] = []

    def search(places: Sequence[int]) -> None:
        if not places:
            return
        searched = detector.detect([frames[i] for i in places])
        faces = [(i, face) for i, some in zip(places, searched, strict=True) for face in some]
        # A second look, as at all other frames: landmarks must not depend on how a face was found.
        again = detector.refine(
            frames,
            np.array([i for i, _ in faces], int),
            np.array([face.box for _, face in faces]).reshape(-1, 4),
        )
        found.update({i: [] for i in places})
        for (i, face), refined in zip(faces, again, strict=True):
            found[i].append(refined if refined.score >= SURE else face)

    keys = [_keys(start, end) for start, end in zip(starts[:-1], starts[1:], strict=True)]
    search([key for clip in keys for key in clip])
    gaps = [gap for clip in keys for gap in zip(clip, clip[1:], strict=False)]
    while gaps := [(a, b) for a, b in gaps if b - a > 1]:
        middles = [(a + b) // 2 for a, b in gaps]
        guesses = [
            (m, box)
            for (a, b), m in zip(gaps, middles, strict=True)
            for box in _expected(found[a], found[b], (m - a) / (b - a))
        ]
        owners = np.array([m for m, _ in guesses], int)
        boxes = np.array([box for _, box in guesses]).reshape(-1, 4)
        faces = detector.refine(frames, owners, boxes)
        found.update({m: [] for m in middles})
        for m, face in zip(owners.tolist(), faces, strict=True):
            found[m].append(face)
        search([m for m in middles if any(face.score < SURE for face in found[m])])
        for m in middles:
            found[m] = _distinct(found[m])
        gaps = [part for (a, b), m in zip(gaps, middles, strict=True) for part in ((a, m), (m, b))]
    return [
        [found[place] for place in range(start, end)]
        for start, end in zip(starts[:-1], starts[1:], strict=True)
    ]


def _keys(start: int, end: int) -> list[int]:
    """Frames to search: the first and the last of start..end - 1, and some between."""
    steps = max(1, -(-(end - 1 - start) // KEY_STEP))
    return np.unique(np.linspace(start, end - 1, steps + 1).round().astype(int)).tolist()


def _expected(before: list[Face], after: list[Face], share: float) -> list[np.ndarray]:
    """Boxes where the faces of two frames should be at `share` of the way between them."""
    pairs = match(before, after, EXPECTED_IOU)
    boxes = [(1 - share) * before[i].box + share * after[j].box for i, j in pairs]
    boxes += [f.box for i, f in enumerate(before) if i not in {i for i, _ in pairs}]
    boxes += [f.box for j, f in enumerate(after) if j not in {j for _, j in pairs}]
    return boxes


def _distinct(faces: list[Face]) -> list[Face]:
    """The faces without those that turned out to be the same as a surer one, surest first."""
    if len(faces) < 2:
        return faces
    boxes = np.array([face.box for face in faces])
    scores = np.array([face.score for face in faces])
    return [faces[i] for i in suppress(boxes, scores, np.zeros(len(faces)), SAME_FACE_IOU)]
