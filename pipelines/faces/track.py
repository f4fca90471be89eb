"""Face tracking: detections linked over the frames of a clip, gaps filled, landmarks smoothed."""

from __future__ import annotations

import dataclasses

import numpy as np

from pipelines.faces.boxes import LINK_IOU, iou
from pipelines.faces.detect import Face

MAX_GAP = 3  # frames a face may be missed and still be the same track

# Smoothing: how far in time frames are averaged, and how far a face may have moved meanwhile, as
# a share of its side. Landmark noise is about 0.01 of the side and white in time.
SMOOTH_FRAMES = 4.0
SMOOTH_SHARE = 0.04


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
        return Track([face.scaled(scale) if face else None for face in self.faces])

    def turned_back(self, quarters: int, size: tuple[int, ...]) -> Track:
        """The track in a picture of this size (W, H), of one in that picture turned so often."""
        return Track([face.turned_back(quarters, size) if face else None for face in self.faces])

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
    last: list[tuple[int, Face]] = []  # per track: when and where it was seen last
    for t, faces in enumerate(detections):
        near = [i for i, (when, _) in enumerate(last) if t - when <= MAX_GAP + 1]
        pairs = match([last[i][1] for i in near], faces, LINK_IOU)
        joins = {j: near[i] for i, j in pairs}
        for j, face in enumerate(faces):
            if j not in joins:
                joins[j] = len(tracks)
                tracks.append(Track([None] * len(detections)))
                last.append((t, face))
            tracks[joins[j]].faces[t] = face
            last[joins[j]] = (t, face)
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
    """Landmarks (T, 5, 2) with the detector's jitter averaged out; zeros where unseen.

    A straight line through time is fitted around each frame (LOESS, Cleveland 1979), so that a
    steady motion is not held back, also at the ends of a clip. Frames in which the face is
    elsewhere count less (as in a bilateral filter, Tomasi and Manduchi 1998), so that a still face
    is averaged over the clip and a fast one hardly.
    """
    out = np.zeros((len(track.faces), 5, 2), np.float32)
    seen = np.flatnonzero(track.seen)
    if not len(seen):
        return out
    points = np.array([f.landmarks for f in track.faces if f], np.float64)  # (N, 5, 2)
    later = (seen[None] - seen[:, None]).astype(np.float64)  # (N, N) frames from row to column
    moved = np.sqrt(np.square(points[None] - points[:, None]).sum(-1).mean(-1))  # (N, N) px
    weight = np.exp(
        -0.5 * (np.square(later / SMOOTH_FRAMES) + np.square(moved / (SMOOTH_SHARE * track.size)))
    )
    # Value at its own time of the line through each row's weighted points.
    s0, s1, s2 = (np.sum(weight * later**k, axis=1, keepdims=True) for k in range(3))
    spread = s0 * s2 - s1**2
    kernel = np.where(
        spread > 1e-6 * s0**2,
        weight * (s2 - s1 * later) / np.maximum(spread, 1e-12),
        weight / s0,
    )
    out[seen] = np.tensordot(kernel, points, 1)
    return out
