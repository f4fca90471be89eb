"""Following a face through the frames of a clip."""

from __future__ import annotations

import dataclasses

import numpy as np

from pipelines.faces.detect import Face, iou

LINK_IOU = 0.3  # boxes of one face in neighbouring samples overlap at least this much
MAX_GAP = 3  # frames a face may be missed and still be the same track

# Landmark noise of the detector is about a pixel and white in time; a face's motion is slow.
SMOOTHING = np.array([0.06, 0.24, 0.4, 0.24, 0.06])


@dataclasses.dataclass
class Track:
    """One face over a clip of T frames: faces[t] is None where it was not seen."""

    faces: list[Face | None]

    @property
    def seen(self) -> np.ndarray:
        """(T,) bool."""
        return np.array([face is not None for face in self.faces])

    @property
    def size(self) -> float:
        """Mean side of its boxes in px, over the frames where it was seen."""
        return float(np.mean([np.sqrt(np.prod(f.box[2:] - f.box[:2])) for f in self.faces if f]))

    @property
    def score(self) -> float:
        """Mean detector score over the frames where it was seen."""
        return float(np.mean([f.score for f in self.faces if f]))

    def scaled(self, scale: np.ndarray) -> Track:
        """The track in a picture that is `scale` (2,) times as large."""
        return Track(
            [
                face and Face(face.box * np.tile(scale, 2), face.landmarks * scale, face.score)
                for face in self.faces
            ]
        )

    @property
    def prominence(self) -> float:
        """Size times share of the clip: ranks a speaker above a poster or a hand."""
        return self.size * float(self.seen.mean())


def match(a: list[Face], b: list[Face], least: float) -> list[tuple[int, int]]:
    """Pairs (i, j) of faces that overlap by at least `least`, most first, each face in one."""
    overlaps = sorted(
        (-float(overlap), i, j)
        for i, face in enumerate(a)
        for j, overlap in enumerate(iou(face.box, np.array([f.box for f in b]).reshape(-1, 4)))
        if overlap >= least
    )
    pairs: list[tuple[int, int]] = []
    for _, i, j in overlaps:
        if all(i != k and j != m for k, m in pairs):
            pairs.append((i, j))
    return pairs


def link(detections: list[list[Face]]) -> list[Track]:
    """Tracks through per-frame detections, most prominent first.

    Each frame's faces join the track they overlap most, best pairs first.
    """
    tracks: list[Track] = []
    last: list[int] = []  # per track: the frame where it was seen last
    for t, faces in enumerate(detections):
        near = [i for i, when in enumerate(last) if t - when <= MAX_GAP + 1]
        ends = [tracks[i].faces[last[i]] for i in near]
        pairs = match([face for face in ends if face], faces, LINK_IOU)
        joins = {j: near[i] for i, j in pairs}
        for j, face in enumerate(faces):
            if j not in joins:
                joins[j] = len(tracks)
                tracks.append(Track([None] * len(detections)))
                last.append(t)
            tracks[joins[j]].faces[t] = face
            last[joins[j]] = t
    return sorted(tracks, key=lambda track: -track.prominence)


def fill_gaps(track: Track) -> Track:
    """The track with short gaps filled by interpolation; longer ones stay empty."""
    seen = np.flatnonzero(track.seen)
    faces = list(track.faces)
    for before, after in zip(seen, seen[1:], strict=False):
        if 1 < after - before <= MAX_GAP + 1:
            a, b = track.faces[before], track.faces[after]
            assert a is not None and b is not None
            for t in range(before + 1, after):
                w = (t - before) / (after - before)
                faces[t] = Face(
                    (1 - w) * a.box + w * b.box,
                    (1 - w) * a.landmarks + w * b.landmarks,
                    min(a.score, b.score),
                )
    return Track(faces)


def smooth_landmarks(track: Track) -> np.ndarray:
    """Landmarks (T, 5, 2) with the detector's jitter averaged out; zeros where unseen."""
    seen = track.seen
    points = np.array(
        [f.landmarks if f else np.zeros((5, 2), np.float32) for f in track.faces], np.float32
    )
    half = len(SMOOTHING) // 2
    out = np.zeros_like(points)
    for t in range(len(points)):
        if not seen[t]:
            continue
        # As many frames on each side, so that a steady motion is not pulled to one side.
        reach = int(min(half, t, len(points) - 1 - t))
        window = slice(t - reach, t + reach + 1)
        weight = SMOOTHING[half - reach : half + reach + 1] * seen[window]
        if not seen[window].all():
            weight = weight * weight[::-1].astype(bool)
        out[t] = np.tensordot(weight / weight.sum(), points[window], 1)
    return out
