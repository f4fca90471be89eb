"""Shards -> decoded clips."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tensorflow as tf

from pipelines.clip import LABEL_NAMES
from pipelines.config import PreprocessConfig
from pipelines.shards import schema

T = TypeVar("T")

INFO_NAME = "dataset_info.json"
AGAIN = "`dfdetect inspect` says what is wrong; copy the shards again, or preprocess again."
READERS = 8  # shards read at the same time
# What is read of a record.
CONTEXT = ("video/id", "video/dataset", "video/method", "clip/index", "track/id", "label")
FRAMES = ("frame/image", "frame/landmarks", "frame/crop_transform")


def load_dataset_info(data: str | os.PathLike, fingerprint: str | None = None) -> dict[str, Any]:
    """What `dfdetect preprocess` wrote about its shards.

    Raises FileNotFoundError where there are none or not all, ValueError where they do not match
    the given fingerprint, this package, or the sizes that they had when they were written.
    """
    path = Path(data) / INFO_NAME
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: run `dfdetect preprocess` first.")
    try:
        info = json.loads(path.read_text())
        found = info["fingerprint"]
        config = PreprocessConfig.from_dict(info["config"])
        names = list(info["shards"])
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not what `dfdetect preprocess` writes ({error!r}): run it again."
        ) from error
    if found != config.fingerprint:
        raise ValueError(
            f"{path}: the crops have fingerprint {found}, this version of the package makes "
            f"{config.fingerprint} from the same settings. Run `dfdetect preprocess` again."
        )
    if fingerprint is not None and found != fingerprint:
        raise ValueError(
            f"{path}: the crops have fingerprint {found}, the model was trained on crops of "
            f"{fingerprint}. Preprocess these videos with the model's settings."
        )
    missing = [name for name in names if not (Path(data) / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{data}: shards {missing} are listed in {INFO_NAME} but missing. "
            "Run `dfdetect preprocess` again."
        )
    for name, facts in info["shards"].items():
        # A copy that broke off between two records would just end early.
        size, expected = (Path(data) / name).stat().st_size, facts.get("bytes")
        if expected not in (None, size):
            raise ValueError(
                f"{Path(data) / name}: has {size} bytes, {INFO_NAME} says {expected}. {AGAIN}"
            )
    return info


def readable(batches: Iterable[T], data: str | os.PathLike) -> Iterator[T]:
    """The batches of a tf.data pipeline. Raises ValueError where one cannot be read."""
    damage = (
        tf.errors.DataLossError,
        tf.errors.InvalidArgumentError,
        tf.errors.FailedPreconditionError,  # fewer records than are listed
    )
    try:
        yield from batches
    except damage as error:
        raise ValueError(f"{data}: a record is damaged or missing. {AGAIN}") from error


def shard_paths(data: str | os.PathLike, info: Mapping[str, Any], split: str) -> list[str]:
    """The split's shards that hold records, in order."""
    return [
        str(Path(data) / name)
        for name, facts in sorted(info["shards"].items())
        if name.startswith(f"{split}-") and facts["records"]
    ]


def clip_counts(data: str | os.PathLike, info: Mapping[str, Any], split: str) -> dict[int, int]:
    """Clips of each label in a split. Raises ValueError where an older version wrote the info."""
    try:
        counts = info["splits"][split]["clip_labels"]
    except KeyError as error:
        raise ValueError(
            f"{Path(data) / INFO_NAME}: says nothing of a split's clips by label ({error}); an "
            "earlier version wrote it. Run `dfdetect preprocess` again with --update."
        ) from error
    return {label: counts[name] for label, name in LABEL_NAMES.items()}


def decode_frames(images: tf.Tensor, side: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Encoded crops (T,) -> uint8 (T, side, side, 3) and found (T,) bool; "" gives a black frame.

    Only found frames are decoded. JPEGs are decoded with the accurate integer transform, so that
    every machine sees the same pixels.
    """
    found = tf.strings.length(images) > 0
    where = tf.where(found)  # (F, 1)

    def decode(image):
        is_jpeg = tf.strings.substr(image, 0, 2) == b"\xff\xd8"
        pixels = tf.cond(
            is_jpeg,
            lambda: tf.io.decode_jpeg(image, channels=3, dct_method="INTEGER_ACCURATE"),
            lambda: tf.io.decode_png(image, channels=3),
        )
        return tf.ensure_shape(pixels, (side, side, 3))

    decoded = tf.map_fn(
        decode,
        tf.gather_nd(images, where),
        fn_output_signature=tf.TensorSpec((side, side, 3), tf.uint8),
    )
    shape = tf.stack([tf.size(images, tf.int64), side, side, 3])
    return tf.scatter_nd(where, decoded, shape), found


def parse_clip(record: tf.Tensor, side: int, frames: int) -> dict[str, tf.Tensor]:
    """A record -> clips uint8 (T, H, W, 3), mask bool (T,), landmarks float32 (T, 5, 2) in crop
    px, label, video, method, track, clip. Missing frames at the end are padded."""
    context_spec, frame_spec = schema.feature_spec()
    context, sequence, _ = tf.io.parse_sequence_example(
        record[None],
        {name: context_spec[name] for name in CONTEXT},
        {name: frame_spec[name] for name in FRAMES},
    )
    images, landmarks, transforms = (to_length(sequence[name][0], frames) for name in FRAMES)
    clip, found = decode_frames(images, side)
    return {
        "clips": tf.ensure_shape(clip, (frames, side, side, 3)),
        "mask": found,
        "landmarks": tf.einsum("tij,tpj->tpi", transforms[..., :2], landmarks)
        + transforms[:, None, :, 2],
        "label": context["label"][0],
        "video": context["video/dataset"][0] + "/" + context["video/id"][0],
        "method": context["video/method"][0],
        "track": context["track/id"][0],
        "clip": context["clip/index"][0],
    }


def to_length(values: tf.Tensor, frames: int) -> tf.Tensor:
    """(N, ...) -> (frames, ...): cut, or padded with zeros or ""."""
    values = values[:frames]
    rest = [[0, 0]] * (values.shape.rank - 1)
    padded = tf.pad(values, [[0, frames - tf.shape(values)[0]], *rest])
    return tf.ensure_shape(padded, (frames, *values.shape[1:]))


def read_records(paths: Sequence[str] | tf.Tensor) -> tf.data.Dataset:
    """Serialized records of several shards by turns, in an order that the paths decide."""
    return tf.data.Dataset.from_tensor_slices(paths).interleave(
        tf.data.TFRecordDataset,
        cycle_length=READERS,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def clips_dataset(data: str | os.PathLike, split: str) -> tf.data.Dataset:
    """All clips of a split, one by one, always in the same order: dicts as `parse_clip` gives."""
    info = load_dataset_info(data)
    side, frames = info["config"]["crop_size"], info["config"]["frames_per_clip"]
    paths = shard_paths(data, info, split)
    if not paths:
        raise ValueError(f"{data} has no {split} clips.")
    dataset = read_records(paths).map(
        lambda record: parse_clip(record, side, frames),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    records = sum(info["shards"][Path(path).name]["records"] for path in paths)
    return dataset.apply(tf.data.experimental.assert_cardinality(records))
