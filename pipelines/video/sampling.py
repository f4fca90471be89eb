"""Frame sampling: which frames of a video make up its clips."""

from __future__ import annotations

import numpy as np


def sample_clips(
    times_s: np.ndarray, clips: int, length: int, stride: int, sampling: str = "consecutive"
) -> list[np.ndarray]:
    """Frame indices of the clips to take from a video whose frames lie at `times_s` (N,).

    "consecutive": clip i is `length` frames, `stride` apart, in the middle of the i-th of `clips`
    equal slices. A video too short for all of them without overlap gives fewer; one shorter than
    a clip gives one shorter clip. "uniform": the frames of clip i lie evenly over the i-th slice
    in time; one that is shown for long is taken once, or once more by the next clip. "all": every
    `stride`-th frame of the video; the last clip may be shorter.

    Raises ValueError for a count below 1 or an unknown `sampling`.
    """
    frames = len(times_s)
    if min(frames, clips, length, stride) < 1:
        raise ValueError(
            f"frames={frames}, clips={clips}, length={length}, stride={stride}: "
            "each must be at least 1."
        )
    if sampling == "all":
        return _whole_video(frames, length, stride)
    if sampling == "uniform":
        return _evenly_in_time(times_s, clips, length)
    if sampling == "consecutive":
        return _consecutive(frames, clips, length, stride)
    raise ValueError(f"sampling is {sampling!r}; use consecutive, uniform or all.")


def _whole_video(frames: int, length: int, stride: int) -> list[np.ndarray]:
    every = np.arange(0, frames, stride)
    return [every[i : i + length] for i in range(0, len(every), length)]


def _evenly_in_time(times_s: np.ndarray, clips: int, length: int) -> list[np.ndarray]:
    frames = len(times_s)
    clips = max(1, min(clips, frames // length))
    step = (times_s[-1] - times_s[0]) / max(1, frames - 1)  # the last frame lasts, too
    ends = np.linspace(times_s[0], times_s[-1] + step, clips * length + 1)
    middles = (ends[:-1] + ends[1:]) / 2
    nearest = np.clip(np.searchsorted(times_s, middles, side="right") - 1, 0, frames - 1)
    return [np.unique(part) for part in np.split(nearest, clips)]


def _consecutive(frames: int, clips: int, length: int, stride: int) -> list[np.ndarray]:
    span = (length - 1) * stride + 1
    clips = max(1, min(clips, frames // span))
    starts = [max(0, int((i + 0.5) * frames / clips - span / 2)) for i in range(clips)]
    offsets = np.arange(length) * stride
    return [(start + offsets)[start + offsets < frames] for start in starts]
