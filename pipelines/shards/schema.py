"""Record schema: one SequenceExample per (video, clip, face track). Names live only here.

Format: https://www.tensorflow.org/api_docs/python/tf/train/SequenceExample
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from pipelines.clip import Clip, Video
from pipelines.config import RECORD_VERSION as VERSION

# Context features: name -> (kind, is a list).
CONTEXT: dict[str, tuple[type, bool]] = {
    "video/id": (bytes, False),
    "video/dataset": (bytes, False),
    "video/method": (bytes, False),
    "video/compression": (bytes, False),
    "video/fps": (float, False),
    "clip/index": (int, False),
    "track/id": (int, False),
    "label": (int, False),
    "split": (bytes, False),
    "identities": (bytes, True),
    "source_id": (bytes, False),
    "config/fingerprint": (bytes, False),
    "schema/version": (int, False),
}
# One entry per frame: name -> (kind, shape of an entry).
FRAMES: dict[str, tuple[type, tuple[int, ...]]] = {
    "frame/image": (bytes, ()),
    "frame/time_s": (float, ()),
    "frame/box": (float, (4,)),
    "frame/landmarks": (float, (5, 2)),
    "frame/confidence": (float, ()),
    "frame/crop_transform": (float, (2, 3)),
}
_TF_TYPE = {bytes: tf.string, int: tf.int64, float: tf.float32}


def _feature(kind: type, values: list) -> tf.train.Feature:
    if kind is bytes:
        encoded = [v.encode() if isinstance(v, str) else v for v in values]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=encoded))
    if kind is int:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def _values(kind: type, feature: tf.train.Feature) -> list:
    if kind is bytes:
        return list(feature.bytes_list.value)
    return list(feature.int64_list.value if kind is int else feature.float_list.value)


def serialize(video: Video, clip: Clip, fingerprint: str) -> bytes:
    """The record of a clip. The same input gives the same bytes."""
    context: dict[str, Any] = {
        "video/id": video.id,
        "video/dataset": video.dataset,
        "video/method": video.method,
        "video/compression": video.compression,
        "video/fps": clip.fps,
        "clip/index": clip.index,
        "track/id": clip.track,
        "label": video.label,
        "split": video.split,
        "identities": list(video.identities),
        "source_id": video.source_id,
        "config/fingerprint": fingerprint,
        "schema/version": VERSION,
    }
    frames: dict[str, Any] = {
        "frame/image": clip.images,
        "frame/time_s": clip.times_s,
        "frame/box": clip.boxes,
        "frame/landmarks": clip.landmarks,
        "frame/confidence": clip.confidence,
        "frame/crop_transform": clip.transforms,
    }
    example = tf.train.SequenceExample()
    for name, (kind, is_list) in CONTEXT.items():
        value = context[name]
        example.context.feature[name].CopyFrom(_feature(kind, value if is_list else [value]))
    for name, (kind, _) in FRAMES.items():
        for entry in frames[name]:
            values = [entry] if kind is bytes else np.ravel(entry).tolist()
            example.feature_lists.feature_list[name].feature.append(_feature(kind, values))
    return example.SerializeToString(deterministic=True)


def parse(record: bytes) -> tuple[Video, Clip, str]:
    """Inverse of `serialize`: the video, its clip, and the config fingerprint.

    Raises ValueError where the record is not of this schema version.
    """
    example = tf.train.SequenceExample.FromString(record)
    context: dict[str, Any] = {}
    for name, (kind, is_list) in CONTEXT.items():
        values = _values(kind, example.context.feature[name])
        values = [v.decode() for v in values] if kind is bytes else values
        context[name] = values if is_list else (values[0] if values else None)
    if context["schema/version"] != VERSION:
        raise ValueError(
            f"A record has schema version {context['schema/version']}, this package reads "
            f"{VERSION}. Run the preprocessing again."
        )
    frames: dict[str, Any] = {}
    for name, (kind, shape) in FRAMES.items():
        entries = [_values(kind, f) for f in example.feature_lists.feature_list[name].feature]
        frames[name] = (
            [entry[0] for entry in entries]
            if kind is bytes
            else np.array(entries, np.float32).reshape(len(entries), *shape)
        )
    video = Video(
        id=context["video/id"],
        uri="",  # where the file lay is not part of the record
        label=context["label"],
        dataset=context["video/dataset"],
        method=context["video/method"],
        compression=context["video/compression"],
        identities=tuple(context["identities"]),
        source_id=context["source_id"],
        split=context["split"],
    )
    clip = Clip(
        index=context["clip/index"],
        track=context["track/id"],
        fps=context["video/fps"],
        images=frames["frame/image"],
        times_s=frames["frame/time_s"],
        boxes=frames["frame/box"],
        landmarks=frames["frame/landmarks"],
        confidence=frames["frame/confidence"],
        transforms=frames["frame/crop_transform"],
    )
    return video, clip, context["config/fingerprint"]


def feature_spec() -> tuple[dict[str, Any], dict[str, Any]]:
    """(context, sequence) feature specs for `tf.io.parse_sequence_example`."""
    context = {
        name: tf.io.RaggedFeature(_TF_TYPE[kind])
        if is_list
        else tf.io.FixedLenFeature([], _TF_TYPE[kind])
        for name, (kind, is_list) in CONTEXT.items()
    }
    frames = {
        name: tf.io.FixedLenSequenceFeature(shape, _TF_TYPE[kind])
        for name, (kind, shape) in FRAMES.items()
    }
    return context, frames
