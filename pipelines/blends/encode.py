"""Encoding of a pair: as a camera or an editor does it, and then once or twice as platforms do.

All encoders run in one thread, at settings at which the same frames give the same bytes.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from pipelines.video.h264 import x264_options

FACE_PX = (60.0, 500.0)  # side of the face square in the last encoding
ENLARGED = 1.25  # most by which a source is enlarged to get there
LONG_SIDE_PX = 1920


@dataclasses.dataclass(frozen=True)
class Codec:
    """encoder: FFmpeg's. crf: from the best to the worst that is drawn. suffix: of its files."""

    encoder: str
    crf: tuple[int, int]
    suffix: str
    share: float


CODECS = {
    "h264": Codec("libx264", (18, 33), ".mp4", 0.65),
    "h265": Codec("libx265", (20, 34), ".mp4", 0.15),
    "vp9": Codec("libvpx-vp9", (26, 46), ".webm", 0.2),
}
GOPS = (12, 25, 50, 100, 250)


@dataclasses.dataclass(frozen=True)
class Encoding:
    """One pass. codec: of CODECS. width, height: px, even. gop: frames between keyframes."""

    codec: str
    width: int
    height: int
    crf: int
    gop: int

    @property
    def options(self) -> dict[str, str]:
        """FFmpeg's options of the encoder."""
        common = {"g": str(self.gop)}
        if self.codec == "h264":
            return common | x264_options(self.crf) | {"preset": "veryfast"}
        if self.codec == "h265":
            alone = "pools=none:frame-threads=1:wpp=0:log-level=none"
            return common | {"crf": str(self.crf), "preset": "superfast", "x265-params": alone}
        speed = {"deadline": "good", "cpu-used": "5", "threads": "1", "row-mt": "0"}
        return common | {"crf": str(self.crf), "b": "0"} | speed


def draw_encodings(
    rng: np.random.Generator, size: tuple[int, int], face_px: float
) -> tuple[Encoding, ...]:
    """Two or three passes for frames of size (W, H) in which a face has `face_px`.

    The first keeps the size, or goes part of the way to that of the last.
    """
    least, most = FACE_PX
    most = max(least, min(most, ENLARGED * face_px))
    last = np.exp(rng.uniform(np.log(least), np.log(most))) / face_px
    last = min(last, LONG_SIDE_PX / max(size))
    passes = int(rng.integers(2, 4))
    part = rng.choice([0.0, 0.5])
    scales = np.exp(np.log(last) * np.linspace(part, 1.0, passes))
    names = list(CODECS)
    shares = [codec.share for codec in CODECS.values()]
    encodings = []
    for i, scale in enumerate(scales):
        # Cameras and editors write H.264 or H.265.
        name = str(rng.choice(names, p=shares)) if i else str(rng.choice(names[:2], p=[0.8, 0.2]))
        best, worst = CODECS[name].crf
        width, height = (max(16, 2 * round(side * scale / 2)) for side in size)
        crf = int(rng.integers(best, (worst if i else (best + worst) // 2) + 1))
        encodings.append(Encoding(name, width, height, crf, int(rng.choice(GOPS))))
    return tuple(encodings)


class Encoder:
    """Encodes frames, of any size, that are added one by one. A context manager."""

    def __init__(self, target: Path | io.BytesIO, encoding: Encoding, rate: Fraction):
        # By "bitexact" Matroska draws no random numbers for what it holds.
        form = "webm" if CODECS[encoding.codec].suffix == ".webm" else "mp4"
        self._container = av.open(
            str(target) if isinstance(target, Path) else target,
            "w",
            format=form,
            options={"fflags": "+bitexact"},
        )
        codec = CODECS[encoding.codec].encoder
        stream = self._container.add_stream(codec, rate=rate, options=encoding.options)
        assert isinstance(stream, av.VideoStream)
        self._stream = stream
        self._stream.width, self._stream.height = encoding.width, encoding.height
        self._stream.pix_fmt = "yuv420p"
        self._scaler = VideoReformatter()
        self._size, self._period, self._count = (encoding.width, encoding.height), 1 / rate, 0

    def __enter__(self) -> Encoder:
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is None:
            self._container.mux(self._stream.encode())
        self._container.close()

    def add(self, frame: av.VideoFrame) -> None:
        frame = self._scaler.reformat(
            frame, *self._size, format="yuv420p", interpolation=Interpolation.BICUBIC, threads=1
        )
        frame.pts, frame.time_base, self._count = self._count, self._period, self._count + 1
        self._container.mux(self._stream.encode(frame))


def encode_pair(
    frames: Iterator[tuple[np.ndarray, np.ndarray]],
    rate: Fraction,
    encodings: Sequence[Encoding],
    targets: tuple[Path, Path],
) -> None:
    """Encodes two videos of the same length side by side, by the same passes.

    frames: of each time both frames, (H, W, 3) uint8 RGB. The frames are gone through once and not
    kept. targets: the files, whose suffix is that of the last codec.
    """
    first = [io.BytesIO() for _ in targets]
    with (
        Encoder(first[0], encodings[0], rate) as real,
        Encoder(first[1], encodings[0], rate) as fake,
    ):
        for pair in frames:
            for encoder, image in zip((real, fake), pair, strict=True):
                encoder.add(av.VideoFrame.from_ndarray(image, format="rgb24"))
    for made, target in zip(first, targets, strict=True):
        for encoding in encodings[1:-1]:
            again = io.BytesIO()
            _encode_again(made, again, encoding, rate)
            made = again
        _encode_again(made, target, encodings[-1], rate)


def _encode_again(
    source: io.BytesIO, target: Path | io.BytesIO, encoding: Encoding, rate: Fraction
) -> None:
    source.seek(0)
    with av.open(source, "r") as container, Encoder(target, encoding, rate) as encoder:
        container.streams.video[0].codec_context.thread_count = 1
        for frame in container.decode(video=0):
            encoder.add(frame)
