"""Footage: real videos and pictures, the stretch that is taken of each, and its face.

A face is found and followed once, by MTCNN; what is made of it reads the frames again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from pipelines.blends.canvas import Aligned, align, face_side
from pipelines.blends.motion import Film, hand_held, moved
from pipelines.clip import REAL, Reject, Video, VideoError
from pipelines.config import PreprocessConfig
from pipelines.datasets import ADAPTERS, Dataset, DatasetError, find_videos
from pipelines.datasets.base import PICTURE_SUFFIXES, NoVideosError
from pipelines.datasets.scan import picture_files, stem, video_files
from pipelines.faces.detect import FaceDetector, shrink
from pipelines.faces.follow import detect_through
from pipelines.faces.track import fill_gaps, link, smooth_landmarks
from pipelines.splits.assign import split_videos
from pipelines.video.cuts import cuts, thumb
from pipelines.video.decode import read_frames
from pipelines.video.probe import probe

LONG_SIDE_PX = 1920  # larger frames are reduced to it first
MIN_FACE_PX = 40  # side of the face square
MIN_SEEN = 0.8  # of a stretch's frames, in which its face must be found
MIN_FRAMES = 8
MAX_FPS = 60
STILL_RATES = (24, 25, 30)  # frames a second of films of pictures
DATASET = "blends"


@dataclasses.dataclass(frozen=True, eq=False)
class Footage:
    """A stretch of a video, or a picture, with the face in it.

    frames: (N,) indices of the frames. landmarks: (N, 5, 2) float32 px; zeros where the face is
    not seen. size: (W, H) px. fps: 0 of a picture, whose N is 1.
    """

    video: Video
    frames: np.ndarray
    landmarks: np.ndarray
    size: tuple[int, int]
    fps: float

    @property
    def is_still(self) -> bool:
        return not self.fps

    @property
    def face_px(self) -> float:
        """Side of the face square, the median over the frames."""
        seen = self.landmarks[self.landmarks.any(axis=(1, 2))]
        return float(np.median([face_side(points) for points in seen]))

    def images(self, every: int = 1) -> Iterator[np.ndarray]:
        """The frames, or every second, ...: each (H, W, 3) uint8 RGB. Raises VideoError."""
        info = probe(self.video.uri, stills=True)
        frames = read_frames(info, self.frames[::every].tolist(), threads=1)
        with contextlib.closing(frames):
            yield from _sound(self.video.uri, frames)

    def faces(self, side: int) -> list[Aligned]:
        """The face on a canvas of `side` px, in each frame in which it is seen."""
        return [
            align(image, points, side)
            for image, points in zip(self.images(), self.landmarks, strict=True)
            if points.any()
        ]

    def shot(self, rng: np.random.Generator, seconds: float) -> Shot:
        """What a camera makes of it: a picture moves, a video is as it is, or every second frame
        of it is left out where it has many."""
        if not self.is_still:
            every = int(rng.choice([n for n in (1, 2) if n == 1 or self.fps / n >= 20]))
            rate = Fraction(self.fps / every).limit_denominator(1001)
            return Shot(self.images(every), self.landmarks[::every], rate)
        rate = Fraction(int(rng.choice(STILL_RATES)))
        count = max(MIN_FRAMES, round(seconds * rate))
        (image,) = self.images()
        matrices = hand_held(rng, count, float(rate), self.size)
        landmarks = moved(self.landmarks[0], matrices)
        return Shot(iter(Film(image, matrices, rng)), landmarks, rate)


@dataclasses.dataclass(frozen=True, eq=False)
class Shot:
    """N frames, gone through once, with landmarks (N, 5, 2) px, at `rate` frames a second."""

    images: Iterator[np.ndarray]
    landmarks: np.ndarray
    rate: Fraction


def real_videos(root: Path, seed: int = 0) -> tuple[list[Video], list[Reject]]:
    """The real videos and pictures of a data set or CSV list that an adapter reads, else all of a
    folder, each then of a person of its own; with their splits, and what is left out.

    Splits are those that preprocessing gives the data set with this seed: its own, else dealt.
    Raises DatasetError where there is nothing real.
    """
    is_plain = root.is_dir() and not any(adapter.matches(root) for adapter in ADAPTERS.values())
    datasets = [_folder(root)] if is_plain else find_videos(root)
    videos: list[Video] = []
    rejects: list[Reject] = []
    for dataset in datasets:
        assigned = split_videos(dataset, seed=seed)
        rejects += [*dataset.rejects, *assigned.rejects]
        for video in assigned.videos:
            if video.label == REAL:
                names = video.identities or (video.source_id or video.id,)
                # Of two data sets they are not those of the same people.
                whole = names if len(datasets) == 1 else (f"{video.dataset}/{n}" for n in names)
                videos.append(dataclasses.replace(video, identities=tuple(whole)))
    if not videos:
        raise DatasetError(f"{root}: none of its videos is real. Give a data set that has some.")
    return sorted(videos), rejects


def _folder(root: Path) -> Dataset:
    files = sorted([*video_files(root), *picture_files(root)])
    if not files:
        expected = ", ".join(PICTURE_SUFFIXES)
        raise NoVideosError(f"{root}: no video and no picture there ({expected}).")
    stems = [stem(file) for file in files]
    names = stems if len(set(stems)) == len(stems) else files
    videos = [
        Video(file, str(root / file), REAL, DATASET, identities=(name,), source_id=file)
        for file, name in zip(files, names, strict=True)
    ]
    return Dataset(DATASET, tuple(videos))


def look(video: Video, detector: FaceDetector, rng: np.random.Generator, seconds: float) -> Footage:
    """Finds the face of a picture, or of a stretch of a video, drawn at random. Raises VideoError:
    "no_face" where there is none that stays."""
    info = probe(video.uri, stills=True)
    if info.is_still:
        images = list(_sound(video.uri, read_frames(info, [0])))
        landmarks = _follow(video.uri, images, detector)
        return Footage(video, np.zeros(1, int), landmarks, images[0].shape[1::-1], 0.0)
    every = max(1, math.ceil(info.fps / MAX_FPS))
    fps = info.fps / every
    count = max(MIN_FRAMES, round(seconds * fps))
    start = int(rng.integers(0, max(1, info.frames - (count - 1) * every)))
    indices = np.arange(start, info.frames, every)[:count]
    with contextlib.closing(read_frames(info, indices.tolist(), threads=1)) as frames:
        images = list(_sound(video.uri, frames))
    starts = [0, *cuts([thumb(image) for image in images]), len(images)]
    first, end = max(itertools.pairwise(starts), key=lambda shot: shot[1] - shot[0])
    if end - first < MIN_FRAMES:
        detail = f"{video.uri}: no {MIN_FRAMES} frames without a cut from frame {start} on."
        raise VideoError("too_short", "decode", detail)
    landmarks = _follow(video.uri, images[first:end], detector)
    return Footage(video, indices[first:end], landmarks, images[0].shape[1::-1], fps)


def _sound(path: str, frames: Iterator[np.ndarray | None]) -> Iterator[np.ndarray]:
    """The frames, of at most the largest size. Raises VideoError at one that lacks or differs."""
    shape = None
    for frame in frames:
        if frame is None or frame.shape != (shape := shape or frame.shape):
            what = "does not decode" if frame is None else "is of another size"
            raise VideoError("damaged", "decode", f"{path}: a frame of the stretch {what}.")
        yield shrink(frame, LONG_SIDE_PX)


def _follow(path: str, images: Sequence[np.ndarray], detector: FaceDetector) -> np.ndarray:
    """Landmarks (N, 5, 2) px of the most prominent face. Raises VideoError."""
    config = PreprocessConfig()
    small = [shrink(image, config.detect_side) for image in images]
    scale = np.array(images[0].shape[1::-1]) / small[0].shape[1::-1]
    for track in link(detect_through(detector, [small])[0]):
        if track.score < config.min_confidence or track.seen.mean() < MIN_SEEN:
            continue
        landmarks = smooth_landmarks(fill_gaps(track.scaled(scale)))
        seen = landmarks[landmarks.any(axis=(1, 2))]
        if np.median([face_side(points) for points in seen]) >= MIN_FACE_PX:
            return landmarks
    raise VideoError(
        "no_face",
        "faces",
        f"{path}: no face of {MIN_FACE_PX} px with score {config.min_confidence} in "
        f"{MIN_SEEN:.0%} of the frames.",
    )
