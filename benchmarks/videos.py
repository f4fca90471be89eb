"""Benchmark videos: the people of those given, as FaceForensics++ publishes its videos."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from pipelines.atomic import replacing
from pipelines.video.decode import read_frames
from pipelines.video.probe import probe

FRAMES = 300
NOISE = 2.0  # grey levels; scaling up leaves none of a sensor's


def at_published_sizes(videos: list[Path], cache: Path) -> dict[str, list[Path]]:
    """The videos as given, and as FaceForensics++ publishes them; made once, kept in `cache`."""
    cache.mkdir(parents=True, exist_ok=True)
    return {
        "given": videos,
        "720p": [like_faceforensics(video, cache, 1280, 720) for video in videos],
        "1080p": [like_faceforensics(video, cache, 1920, 1080) for video in videos],
    }


def like_faceforensics(source: Path, folder: Path, width: int, height: int) -> Path:
    """`source` played forth and back for 300 frames, as H.264 at crf 23 with a 250-frame GOP."""
    path = folder / f"{source.stem}-{width}x{height}.mp4"
    if path.is_file():
        return path
    info = probe(str(source))
    forth = list(read_frames(info, range(info.frames)))
    frames = [frame for frame in (*forth, *forth[::-1]) if frame is not None]
    noise = np.random.default_rng(0).normal(0, NOISE, (height, width, 3)).astype(np.float32)
    with replacing(path) as unfinished, av.open(str(unfinished), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "23", "g": "250"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for i in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(frames[i % len(frames)], format="rgb24")
            large = frame.reformat(width, height, "rgb24").to_ndarray()
            noisy = large + np.roll(noise, 37 * i, axis=1)  # another in every frame
            image = np.clip(noisy, 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path
