"""Reading videos: what is in a file, which frames to take, and their pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

from pipelines.clip import VideoError


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """What demultiplexing a file tells, before a frame is decoded.

    pts: presentation times of all frames, sorted, in units of time_base seconds.
    keyframes: those among them at which decoding can start.
    """

    path: str
    codec: str
    width: int
    height: int
    fps: float
    time_base: float
    pts: tuple[int, ...]
    keyframes: tuple[int, ...]

    @property
    def frames(self) -> int:
        return len(self.pts)

    def time_s(self, index: int) -> float:
        """Seconds from the first frame to frame `index`."""
        return (self.pts[index] - self.pts[0]) * self.time_base


def _open(path: str) -> av.container.InputContainer:
    if not Path(path).is_file():
        raise VideoError("unreadable", "decode", f"{path}: no such file.")
    if Path(path).stat().st_size == 0:
        raise VideoError("unreadable", "decode", f"{path}: the file is empty (0 bytes).")
    try:
        return av.open(path)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoError(
            "unreadable",
            "decode",
            f"{path}: not a video that FFmpeg can open, or cut off ({_one_line(error)}).",
        ) from error


def _one_line(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _video_stream(container: av.container.InputContainer, path: str) -> av.VideoStream:
    if not container.streams.video:
        raise VideoError("no_video_stream", "decode", f"{path}: the file holds no video stream.")
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    return stream


def probe(path: str) -> VideoInfo:
    """Reads a file's packets without decoding them.

    Raises VideoError: unreadable, no_video_stream, or truncated where the file holds fewer
    frames than its header promises.
    """
    with _open(path) as container:
        stream = _video_stream(container, path)
        try:
            packets = [
                (packet.pts if packet.pts is not None else packet.dts, packet.is_keyframe)
                for packet in container.demux(stream)
                if packet.size and not packet.is_discard
            ]
        except av.error.FFmpegError as error:
            raise VideoError(
                "truncated", "decode", f"{path}: reading its packets failed ({_one_line(error)})."
            ) from error
        times = sorted({pts for pts, _ in packets if pts is not None})
        if not times:
            raise VideoError("unreadable", "decode", f"{path}: no frame with a time stamp in it.")
        if len(times) < stream.frames:
            raise VideoError(
                "truncated",
                "decode",
                f"{path}: its header promises {stream.frames} frames, {len(times)} are there.",
            )
        rate = stream.average_rate or stream.guessed_rate
        return VideoInfo(
            path=path,
            codec=stream.codec_context.name,
            width=stream.codec_context.width,
            height=stream.codec_context.height,
            fps=float(rate) if rate else 25.0,
            time_base=float(stream.time_base or 1),
            pts=tuple(times),
            keyframes=tuple(sorted({p for p, is_key in packets if is_key and p is not None})),
        )


def sample_clips(frames: int, clips: int, length: int, stride: int) -> list[np.ndarray]:
    """Frame indices of up to `clips` clips, spread over a video of `frames` frames.

    Clip i lies in the middle of the i-th of `clips` equal slices. A video that is too short
    for all clips without overlap gives fewer; one shorter than a clip gives one shorter clip.
    """
    if min(frames, clips, length, stride) < 1:
        raise ValueError(
            f"frames={frames}, clips={clips}, length={length}, stride={stride}: "
            "each must be at least 1."
        )
    span = (length - 1) * stride + 1
    clips = max(1, min(clips, frames // span))
    starts = [max(0, int((i + 0.5) * frames / clips - span / 2)) for i in range(clips)]
    offsets = np.arange(length) * stride
    return [(start + offsets)[start + offsets < frames] for start in starts]


def read_frames(info: VideoInfo, indices: Sequence[int]) -> np.ndarray:
    """The frames at these ascending indices -> (N, H, W, 3) uint8 RGB, upright.

    Seeks only where a key frame lies between one wanted frame and the next.
    Raises VideoError (truncated) where one of them cannot be decoded.
    """
    wanted = [info.pts[i] for i in indices]
    images: list[np.ndarray] = []
    with _open(info.path) as container:
        stream = _video_stream(container, info.path)
        position = info.pts[0] - 1  # pts of the last frame decoded
        frames = container.decode(stream)
        for target in wanted:
            start = max((k for k in info.keyframes if k <= target), default=info.pts[0])
            if start > position:
                container.seek(start, stream=stream)
                frames = container.decode(stream)
            frame = _advance(frames, target)
            if frame is None:
                raise VideoError(
                    "truncated",
                    "decode",
                    f"{info.path}: the frame at {target * info.time_base:.2f} s does not decode.",
                )
            position = target
            image = frame.to_ndarray(format="rgb24")
            images.append(np.rot90(image, frame.rotation // 90) if frame.rotation else image)
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        raise VideoError(
            "unreadable", "decode", f"{info.path}: frames differ in size: {sorted(shapes)}."
        )
    return np.stack(images)


def _advance(frames, target: int) -> av.VideoFrame | None:
    """The frame at pts `target`, or None where it does not come out of the decoder."""
    try:
        for frame in frames:
            if frame.pts is not None and frame.pts >= target:
                return frame if frame.pts == target else None
    except (av.error.FFmpegError, StopIteration):
        return None
    return None
