"""Frame-accurate decoding to RGB by seek and skip, bit for bit as decoding all frames gives."""

from __future__ import annotations

import bisect
import dataclasses
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from itertools import islice

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from pipelines.video.picture import MAX_PIXELS, picture, pixel_aspect
from pipelines.video.probe import INDEXED, VideoInfo, demux, open_video, video_error
from pipelines.video.still import read_still

# Decoders that look at `skip_frame` for every packet; others (AV1) only once, at the first.
SKIPPING = ("h264", "hevc", "mpeg4")


def read_frames(
    info: VideoInfo, indices: Sequence[int], threads: int = 0, max_pixels: int = MAX_PIXELS
) -> Generator[np.ndarray | None]:
    """The frames at these ascending indices, each (H, W, 3) uint8 RGB, as a player shows them.

    They are, bit for bit, what decoding everything from the start gives. None stands for a frame
    that does not decode, or that the decoder had to patch up; those that depend on it come as
    the decoder makes them. threads: 0 for FFmpeg's choice, one more than there are cores. Their
    number does not change the pixels. max_pixels: of any frame that is decoded, as coded; its size
    may change on the way.

    Raises VideoError: too_many_pixels where a frame has more; unreadable where the file cannot be
    opened any more, or its colours are of a kind that FFmpeg cannot turn into RGB.
    """
    if info.is_still:
        still = read_still(info.path)
        yield from [still] * len(indices)
        return
    done = 0
    threads = threads if info.timed else 1  # without times no horizon is known
    try:
        with open_video(info.path, threads, info.stream) as (container, stream):
            show = _show(stream, info, VideoReformatter())
            for start, targets in _runs(info, indices):
                for image in _read_run(container, stream, info, start, targets, show, max_pixels):
                    yield image
                    done += 1
    except av.error.FFmpegError as error:
        raise video_error("unreadable", info.path, "its colours cannot be shown", error) from error
    except _Astray:
        from_the_start = dataclasses.replace(info, keyframes=())
        yield from read_frames(from_the_start, indices[done:], threads, max_pixels)
    except _Damaged:
        # All over again: what is made of damage depends on every frame decoded before.
        yield from islice(read_frames(info, indices, 1, max_pixels), done, None)


class _Astray(Exception):
    """Decoding from a keyframe may not give what decoding from the start does."""


class _Damaged(Exception):
    """Several threads are at work on a damaged video: what they make of it depends on timing."""


def _runs(info: VideoInfo, indices: Sequence[int]) -> list[tuple[int | None, list[int]]]:
    """(keyframe to seek to, what is wanted from there on) in pts or, untimed, in places."""
    if not info.timed:
        return [(None, [int(i) for i in indices])]
    return [
        (info.pts[start] if start else None, [info.pts[i] for i in wanted])
        for start, wanted in info.frame_times.runs(indices)
    ]


def _read_run(
    container,
    stream,
    info: VideoInfo,
    start: int | None,
    targets: list[int],
    show: Callable[[av.VideoFrame], np.ndarray],
    max_pixels: int,
) -> Iterator[np.ndarray | None]:
    """The RGB of each target, decoded from the keyframe at `start` or else from the first frame.

    Raises _Astray where a target is amiss after a seek: only decoding from the first frame tells
    whether it is damaged.
    """
    frames = _decode(container, stream, info, set(targets), max_pixels)
    horizons = {}
    if stream.codec_context.thread_count != 1:
        horizons = {t: info.horizons[bisect.bisect_left(info.pts, t)] for t in targets}
    if start is None:
        yield from _pick(frames, targets, horizons, show)
        return
    try:
        container.seek(start, stream=stream)
    except av.error.FFmpegError as error:
        raise _Astray from error
    for image in _pick(_from_keyframe(frames, start), targets, horizons, show):
        if image is None:
            raise _Astray
        yield image


def _show(
    stream, info: VideoInfo, colours: VideoReformatter
) -> Callable[[av.VideoFrame], np.ndarray]:
    """What makes the picture of the frame that was decoded last.

    The shape of its pixels may change on the way, as from a film to its advertisements; containers
    with an index name one for all.
    """
    context = stream.codec_context
    first = context.sample_aspect_ratio

    def show(frame: av.VideoFrame) -> np.ndarray:
        now = context.sample_aspect_ratio
        fixed = now == first or info.container in INDEXED
        return picture(frame, info.aspect if fixed else pixel_aspect(now), colours)

    return show


def _decode(
    container, stream, info: VideoInfo, wanted: set[int], max_pixels: int
) -> Iterator[tuple[int | None, av.VideoFrame]]:
    """(pts or place, frame) in order from where the container stands.

    Unwanted frames on which no other depends may lack. Raises _Damaged at the first sign of
    damage where several threads are at work, and VideoError at a frame of more than max_pixels.
    """
    context = stream.codec_context
    alone = context.thread_count == 1
    skipping = info.timed and info.codec in SKIPPING
    place = 0
    try:
        for packet in demux(container, stream):
            if skipping:
                needed = not packet.size or packet.pts in wanted
                context.skip_frame = "DEFAULT" if needed else "NONREF"
            try:
                frames = packet.decode()
            except av.error.FFmpegError as error:
                if isinstance(error, MemoryError):
                    raise  # no damage
                if not alone:
                    raise _Damaged from error
                continue  # a damaged packet: its frame will be missed, those after it may do
            for frame in frames:
                if (pixels := frame.width * frame.height) > max_pixels:
                    size = f"a frame is {frame.width}x{frame.height} px, {pixels} in all"
                    what = f"{size}; {max_pixels} are allowed"
                    raise video_error("too_many_pixels", info.path, what)
                if frame.is_corrupt and not alone:
                    raise _Damaged
                yield (frame.pts if info.timed else place), frame
                place += 1
    except av.error.FFmpegError as error:
        if isinstance(error, MemoryError):
            raise
        return


def _from_keyframe(
    frames: Iterator[tuple[int | None, av.VideoFrame]], start: int
) -> Iterator[tuple[int | None, av.VideoFrame]]:
    """The frames from the keyframe at `start` on.

    Raises _Astray where it does not come: a stream that is refreshed bit by bit has no keyframes
    and marks those from which on its pictures come good in time.
    """
    for when, frame in frames:
        if when is None or when < start:  # shown before the keyframe, depends on earlier ones
            continue
        if when > start:
            raise _Astray
        yield when, frame
        yield from frames


def _pick(
    frames: Iterator[tuple[int | None, av.VideoFrame]],
    targets: list[int],
    horizons: Mapping[int, int],
    show: Callable[[av.VideoFrame], np.ndarray],
) -> Iterator[np.ndarray | None]:
    """The RGB of each target in order, None for one that does not come.

    Each when the frame at its horizon has come too, without a sign of damage.
    """
    waiting = deque(targets)
    held: deque[tuple[int, np.ndarray | None]] = deque()
    for when, frame in frames:
        while waiting and when is not None and when > waiting[0]:
            held.append((waiting.popleft(), None))
        if waiting and when == waiting[0]:
            image = None if frame.is_corrupt else show(frame)
            while waiting and when == waiting[0]:
                held.append((waiting.popleft(), image))
        while held and when is not None and when >= horizons.get(held[0][0], held[0][0]):
            yield held.popleft()[1]
        if not waiting and not held:
            return
    yield from [image for _, image in held]
    yield from [None] * len(waiting)
