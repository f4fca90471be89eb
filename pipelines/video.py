"""Reading videos: what is in a file, which frames to take, and their pixels."""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import av
import numpy as np

from pipelines.clip import VideoError

MAX_SIDE_PX = 8192  # beyond any camera; a damaged header can claim more than memory holds
# A recording that stopped early lacks its tail; a download that broke off lacks much more.
MAX_MISSING = 0.1
MAX_FPS = 1000.0


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """What demultiplexing a file tells, before a frame is decoded.

    width, height: px as coded, before any rotation.
    pts: presentation times of all frames, sorted, in units of time_base seconds.
    keyframes: those among them at which decoding can start.
    timed: whether decoded frames carry these times. H.264 in AVI and bare streams do not: their
      frames are known by their place in the order, and decoding starts at the first.
    """

    path: str
    codec: str
    width: int
    height: int
    fps: float
    time_base: float
    pts: tuple[int, ...]
    keyframes: tuple[int, ...]
    timed: bool

    @property
    def frames(self) -> int:
        return len(self.pts)

    @property
    def times_s(self) -> np.ndarray:
        """(frames,) float64: seconds from the first frame."""
        return (np.array(self.pts) - self.pts[0]) * self.time_base


def _error(reason: str, path: str, what: str, cause: Exception | None = None) -> VideoError:
    why = f" ({getattr(cause, 'strerror', None) or cause or type(cause).__name__})" if cause else ""
    return VideoError(reason, "decode", f"{path}: {what}{why}.")


@contextlib.contextmanager
def _open(path: str, threads: int = 0) -> Iterator[tuple]:
    """(container, video stream), closed afterwards."""
    if not Path(path).is_file():
        raise _error("unreadable", path, "no such file")
    if Path(path).stat().st_size == 0:
        raise _error("unreadable", path, "the file is empty (0 bytes)")
    try:
        container = av.open(path)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        message = "not a video that FFmpeg can open, or cut off"
        raise _error("unreadable", path, message, error) from error
    with container:
        if not container.streams.video:
            raise _error("no_video_stream", path, "the file holds no video stream")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise _error("unreadable", path, "FFmpeg knows no decoder for its video stream")
        width, height = stream.codec_context.width, stream.codec_context.height
        if max(width, height) > MAX_SIDE_PX or min(width, height) < 1:
            raise _error(
                "unreadable", path, f"a frame is {width}x{height} px; 1 to {MAX_SIDE_PX} are read"
            )
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = threads
        yield container, stream


def probe(path: str) -> VideoInfo:
    """Reads a file's packets without decoding them.

    Raises VideoError: unreadable, no_video_stream, or truncated where more than a tenth of the
    frames that its header promises are not there.
    """
    with _open(path) as (container, stream):
        try:
            packets = [
                (packet.pts, packet.is_keyframe)
                for packet in container.demux(stream)
                if packet.size and not packet.is_discard
            ]
        except av.error.FFmpegError as error:
            raise _error("truncated", path, "reading its packets failed", error) from error
        if not packets:
            raise _error("unreadable", path, "its video stream holds no frame")
        if len(packets) < (1 - MAX_MISSING) * stream.frames:
            raise _error(
                "truncated",
                path,
                f"its header promises {stream.frames} frames, {len(packets)} are there; "
                "get the file again",
            )
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        fps = rate if 0 < rate <= MAX_FPS else 25.0
        pts = [p for p, _ in packets if p is not None]
        # Frames that are reordered on output, in a file that gives times in decoding order only.
        unordered = stream.codec_context.has_b_frames and pts == sorted(pts)
        timed = not unordered and len(set(pts)) == len(packets)
        time_base = float(stream.time_base or 0)
        if len(set(pts)) < len(packets) or time_base <= 0:
            pts, time_base, timed = list(range(len(packets))), 1 / fps, False
        return VideoInfo(
            path=path,
            codec=stream.codec_context.name,
            width=stream.codec_context.width,
            height=stream.codec_context.height,
            fps=fps,
            time_base=time_base,
            pts=tuple(sorted(pts)),
            keyframes=tuple(sorted(p for p, is_key in packets if is_key)) if timed else (),
            timed=timed,
        )


def sample_clips(
    times_s: np.ndarray, clips: int, length: int, stride: int, sampling: str = "consecutive"
) -> list[np.ndarray]:
    """Frame indices of the clips to take from a video whose frames lie at `times_s` (N,).

    "consecutive": clip i is `length` frames, `stride` apart, in the middle of the i-th of `clips`
    equal slices. A video too short for all of them without overlap gives fewer; one shorter than
    a clip gives one shorter clip. "uniform": the frames of clip i lie evenly over the i-th slice
    in time. "all": every `stride`-th frame of the video; the last clip may be shorter.
    """
    frames = len(times_s)
    if min(frames, clips, length, stride) < 1:
        raise ValueError(
            f"frames={frames}, clips={clips}, length={length}, stride={stride}: "
            "each must be at least 1."
        )
    if sampling == "all":
        every = np.arange(0, frames, stride)
        return [every[i : i + length] for i in range(0, len(every), length)]
    if sampling == "uniform":
        clips = max(1, min(clips, frames // length))
        step = (times_s[-1] - times_s[0]) / max(1, frames - 1)  # the last frame lasts, too
        ends = np.linspace(times_s[0], times_s[-1] + step, clips * length + 1)
        middles = (ends[:-1] + ends[1:]) / 2
        nearest = np.clip(np.searchsorted(times_s, middles, side="right") - 1, 0, frames - 1)
        return [np.unique(part) for part in np.split(nearest, clips)]
    if sampling != "consecutive":
        raise ValueError(f"sampling is {sampling!r}; use consecutive, uniform or all.")
    span = (length - 1) * stride + 1
    clips = max(1, min(clips, frames // span))
    starts = [max(0, int((i + 0.5) * frames / clips - span / 2)) for i in range(clips)]
    offsets = np.arange(length) * stride
    return [(start + offsets)[start + offsets < frames] for start in starts]


def read_frames(
    info: VideoInfo, indices: Sequence[int], threads: int = 0
) -> Generator[np.ndarray | None]:
    """The frames at these ascending indices, each (H, W, 3) uint8 RGB, upright.

    None stands for a frame that does not decode, or that the decoder had to patch up. Decoding
    starts anew only where a key frame lies between one wanted frame and the next; a frame on
    which no other depends is decoded only where it is wanted. threads: 0 for one per core.
    """
    with _open(info.path, threads) as (container, stream):
        for start, targets in _runs(info, indices):
            if start is not None:
                container.seek(start, stream=stream)
            yield from _pick(_decode(container, stream, info, set(targets)), targets)


def _runs(info: VideoInfo, indices: Sequence[int]) -> list[tuple[int | None, list[int]]]:
    """(where to seek to, what is wanted from there on) in units of pts or, untimed, of places."""
    if not info.timed:
        return [(None, [int(i) for i in indices])]
    runs: list[tuple[int | None, list[int]]] = []
    position = info.pts[0]
    for target in (info.pts[int(i)] for i in indices):
        place = bisect.bisect_right(info.keyframes, target) - 1
        start = info.keyframes[place] if place >= 0 else info.pts[0]
        if not runs or start > position:
            runs.append((start if start > info.pts[0] else None, []))
        runs[-1][1].append(target)
        position = target
    return runs


def _decode(
    container, stream, info: VideoInfo, wanted: set[int]
) -> Iterator[tuple[int | None, av.VideoFrame]]:
    """(pts or place, frame) in order from where the container stands; unwanted ones may lack."""
    context = stream.codec_context
    place = 0
    try:
        for packet in container.demux(stream):
            if info.timed:
                needed = not packet.size or packet.pts in wanted
                context.skip_frame = "DEFAULT" if needed else "NONREF"
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                continue  # a damaged packet: its frame will be missed, those after it may do
            for frame in frames:
                yield (frame.pts if info.timed else place), frame
                place += 1
    except av.error.FFmpegError:
        return


def _pick(
    frames: Iterator[tuple[int | None, av.VideoFrame]], targets: list[int]
) -> Iterator[np.ndarray | None]:
    """The RGB of each target in order, None for one that does not come."""
    waiting = iter(targets)
    target = next(waiting, None)
    for when, frame in frames:
        while target is not None and when is not None and when > target:
            yield None
            target = next(waiting, None)
        if when == target:
            yield None if frame.is_corrupt else _rgb(frame)
            target = next(waiting, None)
        if target is None:
            return
    while target is not None:
        yield None
        target = next(waiting, None)


def _rgb(frame: av.VideoFrame) -> np.ndarray:
    """(H, W, 3) uint8, by the matrix and range that the frame names (BT.601 where it does not)."""
    image = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90) % 4))
