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

    @property
    def prominence(self) -> float:
        """Size times share of the clip: ranks a speaker above a poster or a hand."""
        return self.size * float(self.seen.mean())


def link(detections: list[list[Face]]) -> list[Track]:
    """Tracks through per-frame detections, most prominent first.

    Each frame's faces join the track they overlap most, best pairs first.
    """
    tracks: list[Track] = []
    last: list[tuple[int, Face]] = []  # per track: where it was seen last
    for t, faces in enumerate(detections):
        pairs = sorted(
            (
                (-float(iou(seen.box, face.box[None])[0]), i, j)
                for i, (when, seen) in enumerate(last)
                if t - when <= MAX_GAP + 1
                for j, face in enumerate(faces)
            ),
        )
        taken: set[int] = set()
        for overlap, i, j in pairs:
            if -overlap < LINK_IOU or j in taken or last[i][0] == t:
                continue
            tracks[i].faces[t] = faces[j]
            last[i] = (t, faces[j])
            taken.add(j)
        for j, face in enumerate(faces):
            if j not in taken:
                track = Track([None] * len(detections))
                track.faces[t] = face
                tracks.append(track)
                last.append((t, face))
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
