"""Video probe: container, codec, frame times (PTS) and keyframes, without decoding a frame."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import av
import numpy as np

from pipelines.clip import VideoError
from pipelines.video.claims import check_claims
from pipelines.video.picture import (
    MAX_PIXELS,
    pixel_aspect,
    refused_size,
    square_size,
    wide_colours,
)
from pipelines.video.source import VideoFile
from pipelines.video.still import FORMATS, may_be_still, probe_still

# Nine hours at 60 frames a second.
MAX_FRAMES = 2_000_000
# A recording that stopped early lacks its tail; a download that broke off lacks much more.
MAX_MISSING = 0.1
MAX_FPS = 1000.0
# Longer videos than this have damaged times.
MAX_SPAN_S = 1e6
# What FFmpeg may open. It also takes text for a terminal's screen, and playlists name other files.
CONTAINERS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,gif,apng,mxf,nut,ivf,obu,av1,h264,hevc,"
    "vvc,m4v,mjpeg,yuv4mpegpipe,dv,rm,wtv"
)
# Containers that keep each frame's presentation time and an index of keyframes by it. In others
# (MPEG-TS, AVI) FFmpeg seeks by decoding time and lands behind the keyframe asked for.
INDEXED = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """What demultiplexing a file tells, before a frame is decoded.

    container: FFmpeg's name of the container's format; of a still picture Pillow's of its own.
    stream: index of the video stream that is judged.
    width, height: px as coded, before any rotation.
    aspect: a pixel's width by its height; 1.0 for square ones.
    fps: frames a second; 0 of a still picture.
    pts: presentation times of all frames, sorted, in units of time_base seconds.
    keyframes: those among them that a seek leads to; none where the container has no such index.
    horizons: for each of pts the last to be shown of what is decoded up to that frame. Damage to
      any of it may show in the frame, so several threads are trusted with a frame only once its
      horizon has come out whole.
    notes: sentences on how its picture is shown, where that is not the usual.
    timed: whether decoded frames carry these times. H.264 in AVI and bare streams do not: their
      frames are identified by their place in the order, and pts are made up from it.
    """

    path: str
    container: str
    stream: int
    codec: str
    width: int
    height: int
    aspect: float
    fps: float
    time_base: float
    pts: tuple[int, ...]
    keyframes: tuple[int, ...]
    horizons: tuple[int, ...]
    timed: bool
    notes: tuple[str, ...] = ()

    @property
    def frames(self) -> int:
        return len(self.pts)

    @property
    def is_still(self) -> bool:
        """Whether it is a picture, a video of one frame."""
        return self.container in FORMATS

    @functools.cached_property
    def times_s(self) -> np.ndarray:
        """(frames,) float64: seconds from the first frame, ascending."""
        return (np.array(self.pts) - self.pts[0]) * self.time_base

    @functools.cached_property
    def frame_times(self) -> FrameTimes:
        return FrameTimes(self.times_s, np.searchsorted(self.pts, self.keyframes))


@dataclasses.dataclass(frozen=True, eq=False)
class FrameTimes:
    """When the frames of a video are shown, and what it takes to decode some of them.

    times_s: (N,) float64, seconds from the first frame. keyframes: (K,) int64, ascending indices
    of the frames that a seek leads to; none where the container has no index of them.
    """

    times_s: np.ndarray
    keyframes: np.ndarray

    @property
    def seekable(self) -> bool:
        """Whether decoding may begin elsewhere than at the first frame."""
        return len(self.keyframes) > 0

    def runs(self, indices: Sequence[int]) -> list[tuple[int, list[int]]]:
        """(frame from which to decode, those wanted from there on), of ascending indices.

        Decoding starts anew only where a keyframe lies between one wanted frame and the next.
        """
        runs: list[tuple[int, list[int]]] = []
        position = 0
        places = np.searchsorted(self.keyframes, indices, side="right") - 1
        for index, place in zip(indices, places.tolist(), strict=True):
            start = int(self.keyframes[place]) if place >= 0 else 0
            if not runs or start > position:
                runs.append((start, []))
            runs[-1][1].append(int(index))
            position = int(index)
        return runs

    def frames_to_decode(self, indices: Sequence[int]) -> int:
        """How many frames the decoder must go through for those at these ascending indices: from
        the keyframe before them, or else from the first frame, to the last of each run.

        It is given a few more, since it hands on a frame some packets later, and more again where
        a file's index does not hold.
        """
        return sum(wanted[-1] + 1 - start for start, wanted in self.runs(indices))


@dataclasses.dataclass(frozen=True)
class VideoMetadata:
    """A video file as people are told of it.

    duration_s: from the first frame to the end of the last. width, height: px as coded. frames:
    all that it holds.
    """

    container: str
    codec: str
    width: int
    height: int
    fps: float
    duration_s: float
    frames: int

    @classmethod
    def of(cls, info: VideoInfo) -> VideoMetadata:
        return cls(
            container=info.container,
            codec=info.codec,
            width=info.width,
            height=info.height,
            fps=round(info.fps, 3),
            duration_s=round(float(info.times_s[-1]) + 1 / info.fps, 3),
            frames=info.frames,
        )


def video_error(reason: str, path: str, what: str, cause: Exception | None = None) -> VideoError:
    why = ""
    if cause and not isinstance(cause, av.error.InvalidDataError):  # which says no more
        why = f" ({getattr(cause, 'strerror', None) or cause or type(cause).__name__})"
    return VideoError(reason, "decode", f"{path}: {what}{why}.")


@contextlib.contextmanager
def open_video(path: str, threads: int = 0, index: int | None = None) -> Iterator[tuple]:
    """(container, video stream), closed afterwards. index: of the stream; None to choose it."""
    with _open(path) as container:
        if index is None:
            index = _main_stream(container, path)
        yield container, _ready(container.streams[index], path, threads)


@contextlib.contextmanager
def _open(path: str) -> Iterator[Any]:
    """The container, once its claims are known to fit the file."""
    with VideoFile(path) as file:
        check_claims(file)
        try:
            # Tags come in any encoding.
            container = av.open(
                file, "r", options={"format_whitelist": CONTAINERS}, metadata_errors="replace"
            )
        except (av.error.FFmpegError, ValueError) as error:
            message = "not a video of a format that is read, or cut off"
            raise video_error("unreadable", path, message, error) from error
        with container:
            yield container


def _videos(container) -> list:
    """The video streams that are no cover pictures."""
    cover = av.stream.Disposition.attached_pic
    return [s for s in container.streams.video if not s.disposition & cover]


def _main_stream(container, path: str) -> int:
    """Index of the video stream that a player shows: the default one, of several the longest.

    Those that cannot be decoded do not count while there are others.
    """
    streams = _videos(container)
    if not streams:
        raise video_error("no_video_stream", path, "the file holds no video stream")
    streams = [s for s in streams if s.codec_context and s.codec_context.width] or streams
    streams = [s for s in streams if s.disposition & av.stream.Disposition.default] or streams
    if len(streams) == 1:
        return streams[0].index
    lengths_s = _lengths_s(path, [s.index for s in streams])
    return max(lengths_s, key=lambda index: lengths_s[index])


def _lengths_s(path: str, indices: Sequence[int]) -> dict[int, float]:
    """Seconds from the first packet of each of these streams to its last: not all headers tell."""
    ends: dict[int, tuple[float, float]] = {}
    with _open(path) as container, contextlib.suppress(av.error.FFmpegError):
        streams = [container.streams[i] for i in indices]
        for packet in demux(container, *streams):
            time = packet.pts if packet.pts is not None else packet.dts
            if packet.size and time is not None:
                time_s = float(time * packet.time_base)
                first, last = ends.get(packet.stream_index, (time_s, time_s))
                ends[packet.stream_index] = min(first, time_s), max(last, time_s)
    return {i: ends[i][1] - ends[i][0] if i in ends else -1.0 for i in indices}


def _ready(stream, path: str, threads: int):
    """The stream, once it is known to be one that can be decoded."""
    context = stream.codec_context
    if context is None:
        raise video_error("unsupported", path, "there is no decoder for its video stream")
    width, height = context.width, context.height
    if not width or not height:
        what = "nothing near its beginning tells how large its picture is: it lacks a keyframe"
        advice = "or is scrambled. Record it again, or cut it to begin with a keyframe"
        raise video_error("unreadable", path, f"{what}, {advice}")
    if refused := refused_size(width, height):
        raise video_error("unreadable", path, f"a frame is {refused}")
    context.options = {"max_pixels": str(MAX_PIXELS)}  # the header is not all that names a size
    context.thread_type = "AUTO"
    context.thread_count = threads
    return stream


def demux(container, *streams) -> Iterator[av.Packet]:
    """The packets of streams in decoding order, then empty ones that drain the decoders."""
    try:
        yield from container.demux(*streams)
    except IndexError:
        # PyAV (18.1) stumbles at the end over streams that came up on the way, as they may in
        # MPEG-TS and FLV; it has handed on all of ours by then.
        return


def probe(path: str, stills: bool = False) -> VideoInfo:
    """Reads a file's packets without decoding them.

    stills: whether a picture will do. A verdict rests on the frames of a video, so it is for
    training data alone.

    Raises VideoError: unreadable, unsupported where no decoder is known, no_video_stream, or
    truncated where more than a tenth of the frames that its header promises are not there.
    """
    try:
        return _probe_video(path)
    except VideoError as error:
        if not stills or error.reason != "unreadable" or not may_be_still(path):
            raise
    kind, width, height = probe_still(path)
    return VideoInfo(
        path=path,
        container=kind,
        stream=0,
        codec=kind,
        width=width,
        height=height,
        aspect=1.0,
        fps=0.0,
        time_base=1.0,
        pts=(0,),
        keyframes=(),
        horizons=(0,),
        timed=False,
    )


def _probe_video(path: str) -> VideoInfo:
    with open_video(path) as (container, stream):
        packets = _packets(container, stream, path)
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        fps = rate if 0 < rate <= MAX_FPS else 25.0
        time_base = float(stream.time_base or 0)
        indexed = container.format.name in INDEXED
        pts = [p for p, _ in packets if p is not None]
        # Frames that are reordered on output, in a file that gives times in decoding order only.
        unordered = not indexed and stream.codec_context.has_b_frames and pts == sorted(pts)
        has_times = time_base > 0 and len(set(pts)) == len(packets)
        if not has_times or (max(pts) - min(pts)) * time_base > MAX_SPAN_S:
            pts, time_base, has_times = list(range(len(packets))), 1 / fps, False
        keyframes = [p for p, is_key in packets if is_key and p is not None]
        return VideoInfo(
            path=path,
            container=container.format.name,
            stream=stream.index,
            codec=stream.codec_context.name,
            width=stream.codec_context.width,
            height=stream.codec_context.height,
            aspect=pixel_aspect(stream.sample_aspect_ratio),
            fps=fps,
            time_base=time_base,
            pts=tuple(sorted(pts)),
            keyframes=tuple(sorted(keyframes)) if has_times and indexed else (),
            horizons=tuple(last for _, last in sorted(zip(pts, accumulate(pts, max), strict=True))),
            timed=has_times and not unordered,
            notes=tuple(_notes(container, stream)),
        )


def _notes(container, stream) -> Iterator[str]:
    """What a result should say of which picture was judged, and how it is shown."""
    context = stream.codec_context
    if (number := len(_videos(container))) > 1:
        why = "its default" if stream.disposition & av.stream.Disposition.default else "the longest"
        yield f"It holds {number} video streams; number {stream.index}, {why}, was judged."
    if colours := wide_colours(context.color_trc, context.color_primaries):
        yield f"Its colours are {colours}; they were judged as SDR (BT.709)."
    if (aspect := pixel_aspect(stream.sample_aspect_ratio)) != 1.0:
        wide, high = square_size(context.width, context.height, aspect)
        ratio, size = stream.sample_aspect_ratio, f"{context.width}x{context.height} px"
        shown = f"was judged at {wide}x{high} px, as players show it"
        yield f"Its pixels are not square ({ratio}): the picture of {size} {shown}."


def _packets(container, stream, path: str) -> list[tuple[int | None, bool]]:
    """(pts, whether a keyframe) of each frame to be shown, in decoding order."""
    packets: list[tuple[int | None, bool]] = []
    count, cause = 0, None
    try:
        for packet in demux(container, stream):
            count += bool(packet.size)
            if packet.has_sidedata("encryption_info"):  # ISO/IEC 23001-7, Common Encryption
                what = "its frames are encrypted (DRM), and there is no key"
                raise video_error("unsupported", path, f"{what}; get it without protection")
            if count > MAX_FRAMES:
                raise video_error("unreadable", path, f"it has more than {MAX_FRAMES} frames")
            # What comes before the cut of a trimmed video is there to decode from only.
            if packet.size and not packet.is_discard:
                packets.append((packet.pts, packet.is_keyframe))
    except av.error.FFmpegError as error:
        cause = error
    if not packets:
        raise video_error("unreadable", path, "its video stream holds no frame", cause) from cause
    if count < (1 - MAX_MISSING) * stream.frames or (cause and not stream.frames):
        promised = f"its header promises {stream.frames or 'more'} frames"
        what = f"{promised}, {count} can be read; get the file again"
        raise video_error("truncated", path, what, cause) from cause
    return packets
