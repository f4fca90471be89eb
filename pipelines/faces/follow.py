"""Face detection through clips: a full search on a few frames, refinement between them.

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
    search = _Search(detector, [frame for clip in clips for frame in clip])
    ends = np.cumsum([0, *(len(clip) for clip in clips)]).tolist()
    spans = list(zip(ends, ends[1:], strict=False))
    keys = [_keys(start, end) for start, end in spans]
    search.fully([t for clip in keys for t in clip])
    gaps = [gap for clip in keys for gap in zip(clip, clip[1:], strict=False)]
    while gaps := [(a, b) for a, b in gaps if b - a > 1]:
        middles = [(a + b) // 2 for a, b in gaps]
        search.between(gaps, middles)
        gaps = [half for (a, b), m in zip(gaps, middles, strict=True) for half in ((a, m), (m, b))]
    return [[search.faces[t] for t in range(start, end)] for start, end in spans]


class _Search:
    """The search so far. faces: by frame, for all clips in one row."""

    def __init__(self, detector: FaceDetector, frames: list[np.ndarray]):
        self._detector, self._frames = detector, frames
        self.faces: dict[int, list[Face]] = {}

    def fully(self, times: list[int]) -> None:
        """Searches these frames for any face."""
        if not times:
            return
        searched = self._detector.detect([self._frames[t] for t in times])
        detected = [(t, face) for t, some in zip(times, searched, strict=True) for face in some]
        # A second look, as at all other frames: landmarks must not depend on how a face was found.
        again = self._look([(t, face.box) for t, face in detected])
        self.faces.update({t: [] for t in times})
        for (t, face), refined in zip(detected, again, strict=True):
            self.faces[t].append(refined if refined.score >= SURE else face)

    def between(self, gaps: list[tuple[int, int]], middles: list[int]) -> None:
        """Looks in a frame of each gap for the faces of the frames at its ends."""
        places = [
            (m, box)
            for (a, b), m in zip(gaps, middles, strict=True)
            for box in _expected(self.faces[a], self.faces[b], (m - a) / (b - a))
        ]
        self.faces.update({m: [] for m in middles})
        for (m, _), face in zip(places, self._look(places), strict=True):
            self.faces[m].append(face)
        self.fully([m for m in middles if any(face.score < SURE for face in self.faces[m])])
        for m in middles:
            self.faces[m] = _distinct(self.faces[m])

    def _look(self, places: list[tuple[int, np.ndarray]]) -> list[Face]:
        owners = np.array([t for t, _ in places], int)
        boxes = np.array([box for _, box in places]).reshape(-1, 4)
        return self._detector.refine(self._frames, owners, boxes)


def _keys(start: int, end: int) -> list[int]:
    """Frames to search: the first and the last of start..end - 1, and some between."""
    steps = max(1, -(-(end - 1 - start) // KEY_STEP))
    return np.unique(np.linspace(start, end - 1, steps + 1).round().astype(int)).tolist()


def _expected(before: list[Face], after: list[Face], share: float) -> list[np.ndarray]:
    """Boxes where the faces of two frames should be at `share` of the way between them."""
    pairs = match(before, after, EXPECTED_IOU)
    boxes = [(1 - share) * before[i].box + share * after[j].box for i, j in pairs]
    paired = {i for i, _ in pairs}, {j for _, j in pairs}
    for faces, taken in zip((before, after), paired, strict=True):
        boxes += [face.box for i, face in enumerate(faces) if i not in taken]
    return boxes


def _distinct(faces: list[Face]) -> list[Face]:
    """The faces without those that turned out to be the same as a surer one, surest first."""
    if len(faces) < 2:
        return faces
    boxes = np.array([face.box for face in faces])
    scores = np.array([face.score for face in faces])
    return [faces[i] for i in suppress(boxes, scores, np.zeros(len(faces)), SAME_FACE_IOU)]
