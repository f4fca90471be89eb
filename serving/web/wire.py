"""Messages between the web server and a decoding process: what a file is, looks at moments.

In the wire format of all that decode (`pipelines.video.wire`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipelines.clip import Clip, Look, Sighting
from pipelines.config import PreprocessConfig
from pipelines.video.cuts import THUMB_SIZE
from pipelines.video.probe import FrameTimes, VideoMetadata
from pipelines.video.wire import pack

_SHAPES: dict[str, tuple[int, ...]] = {
    "times_s": (),
    "boxes": (4,),
    "landmarks": (5, 2),
    "confidence": (),
    "transforms": (2, 3),
}


def pack_opened(metadata: VideoMetadata, frame_times: FrameTimes) -> bytes:
    """What a file is, and when its frames are shown."""
    times_s, keyframes = frame_times.times_s, frame_times.keyframes
    blobs = [times_s.astype("<f8").tobytes(), keyframes.astype("<i8").tobytes()]
    return pack("opened", blobs, **dataclasses.asdict(metadata))


def opened_of(values: dict[str, Any], blobs: list[bytes]) -> tuple[VideoMetadata, FrameTimes]:
    """The inverse of `pack_opened`. Raises ValueError."""
    try:
        metadata = VideoMetadata(
            container=str(values["container"]),
            codec=str(values["codec"]),
            width=int(values["width"]),
            height=int(values["height"]),
            fps=float(values["fps"]),
            duration_s=float(values["duration_s"]),
            frames=int(values["frames"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not what a file is ({error!r})") from error
    times_s, keyframes = np.frombuffer(blobs[0], "<f8"), np.frombuffer(blobs[1], "<i8")
    if not (len(times_s) and np.isfinite(times_s).all() and (np.diff(times_s) >= 0).all()):
        raise ValueError(f"times of {len(times_s)} frames that do not ascend")
    if not (np.diff(keyframes, prepend=-1, append=len(times_s)) > 0).all():
        raise ValueError(f"{len(keyframes)} keyframes that are none of {len(times_s)} frames")
    return metadata, FrameTimes(times_s, keyframes)


def pack_open(path: str, crops: PreprocessConfig) -> bytes:
    """A request for what a file is, of which such crops will be wanted."""
    return pack("open", path=path, crops=crops.to_dict())


def pack_looks(path: str, crops: PreprocessConfig, samples: Mapping[int, np.ndarray]) -> bytes:
    """A request for looks at moments of a file, by the indices of their frames."""
    indices = [array.astype("<i8").tobytes() for array in samples.values()]
    return pack("looks", indices, path=path, crops=crops.to_dict(), moments=list(samples))


def samples_of(values: dict[str, Any], blobs: list[bytes]) -> dict[int, np.ndarray]:
    """The moments that `pack_looks` asks for."""
    indices = [np.frombuffer(blob, "<i8") for blob in blobs]
    return dict(zip(values["moments"], indices, strict=True))


def pack_look(look: Look) -> bytes:
    images = [image for clip in look.clips for image in clip.images]
    return pack(
        "look",
        [look.thumbnail, *images],
        moment=look.moment,
        frames=look.frames,
        damaged=look.damaged,
        clips=[_clip_values(clip) for clip in look.clips],
    )


def look_of(values: dict[str, Any], blobs: list[bytes]) -> Look:
    """The inverse of `pack_look`. Raises ValueError."""
    try:
        thumbnail, *images = blobs
        clips = []
        for of_clip in values["clips"]:
            number = len(of_clip["times_s"])
            if number > len(images):
                raise ValueError(f"{len(images)} images for a clip of {number} frames")
            clips.append(_clip(of_clip, images[:number]))
            images = images[number:]
        return Look(
            moment=int(values["moment"]),
            clips=tuple(clips),
            frames=int(values["frames"]),
            thumbnail=thumbnail,
            damaged=str(values["damaged"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a look at a moment ({error!r})") from error


def _clip_values(clip: Clip) -> dict[str, Any]:
    assert clip.sighting is not None  # as in every clip of a look
    arrays = {name: getattr(clip, name).tolist() for name in _SHAPES}
    scalars = {"index": clip.index, "track": clip.track, "fps": clip.fps, "notes": clip.notes}
    return {**scalars, **arrays, "sighting": clip.sighting.to_dict()}


def _clip(values: dict[str, Any], images: list[bytes]) -> Clip:
    arrays: dict[str, Any] = {
        name: np.array(values[name], np.float32).reshape(len(images), *shape)
        for name, shape in _SHAPES.items()
    }
    if not any(images):
        raise ValueError("a clip without a face")
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ValueError("a clip with numbers that are none")
    sighting = Sighting.from_dict(values["sighting"])
    if min(sighting.size) < 1 or sighting.first_picture.shape[1::-1] != THUMB_SIZE:
        raise ValueError(f"a sighting in {sighting.size} px, {sighting.first_picture.shape}")
    return Clip(
        index=int(values["index"]),
        track=int(values["track"]),
        fps=float(values["fps"]),
        images=images,
        notes=tuple(map(str, values["notes"])),
        sighting=sighting,
        **arrays,
    )
