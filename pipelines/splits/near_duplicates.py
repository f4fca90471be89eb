"""Near-duplicate videos across splits, detected by perceptual hashes of frames.

The hash is that of Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash
Functions": the signs of the lowest frequencies of a small grey picture. It survives another
compression, size or brightness, and a manipulated face in a scene.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

import cv2
import numpy as np

from pipelines.video.confined import VideoReader
from pipelines.video.sampling import sample_clips

FRAMES = 4  # of a video
SIDE, LOW = 32, 8  # of the grey picture, px; frequencies kept in each direction
FLAT = 4.0  # grey levels of deviation; below, a frame shows nothing and its hash is noise
SAME_BITS = 4  # of 64 that may differ; other people in the same studio differ by 5 or 6


def frame_hash(image: np.ndarray) -> int | None:
    """64 bits of a frame (H, W, 3) uint8 RGB, or None for one that shows nothing."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    if small.std() < FLAT:
        return None
    low = np.asarray(cv2.dct(small))[:LOW, :LOW].ravel()
    bits = low > np.median(low[1:])  # the first is the mean brightness
    return int.from_bytes(np.packbits(bits).tobytes())


def video_hashes(path: str, reader: VideoReader) -> list[int]:
    """The hashes of FRAMES frames spread over a local video. Raises VideoError as `probe` does."""
    info = reader.probe(path, stills=True)
    (indices,) = sample_clips(info.times_s, 1, FRAMES, 1, "uniform")
    images = reader.read_frames(info, indices.tolist())
    hashes = (frame_hash(image) for image in images if image is not None)
    return [value for value in hashes if value is not None]


def near_duplicates(
    hashes: Mapping[str, Iterable[int]], splits: Mapping[str, str]
) -> list[dict[str, object]]:
    """Pairs of videos of two splits that look the same, nearest first, as plain JSON.

    hashes, splits: by video key. The distance is the mean over the first video's frames of the
    bits by which the second's most similar one differs.
    """
    sets: dict[str, tuple[list[str], np.ndarray, np.ndarray]] = {}
    for split in sorted(set(splits.values())):
        keys = sorted(key for key, values in hashes.items() if values and splits[key] == split)
        values = [np.array(list(hashes[key]), np.uint64) for key in keys]
        if keys:
            starts = np.cumsum([0, *(len(v) for v in values[:-1])])
            sets[split] = keys, np.concatenate(values), starts
    pairs: list[tuple[str, str, float]] = []
    for one, two in itertools.combinations(sorted(sets), 2):
        pairs.extend(_pairs(sets[one], sets[two]))
    pairs.sort(key=lambda pair: (pair[2], pair[0], pair[1]))
    return [
        {"a": a, "b": b, "splits": [splits[a], splits[b]], "distance": round(distance, 2)}
        for a, b, distance in pairs
    ]


def _pairs(one, two) -> Iterable[tuple[str, str, float]]:
    keys, values, starts = one
    other_keys, other_values, other_starts = two
    ends = [*starts[1:], len(values)]
    for key, start, end in zip(keys, starts, ends, strict=True):
        bits = np.bitwise_count(values[start:end, None] ^ other_values[None])  # (F, all frames)
        nearest = np.minimum.reduceat(bits, other_starts, axis=1)  # (F, other videos)
        distance = nearest.mean(axis=0)
        for j in np.flatnonzero(distance <= SAME_BITS):
            yield key, other_keys[j], float(distance[j])
