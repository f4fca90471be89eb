"""Reading of shards with tf.data: TFRecord files to clips of pixels, masks and landmarks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import tensorflow as tf

from pipelines.clip import FAKE, ORIGINAL, REAL
from pipelines.shards import schema
from pipelines.shards.open import ClipDataset

T = TypeVar("T")

ADVICE = "`dfdetect inspect` says what is wrong; copy the shards again, or preprocess again."
READERS = 8  # shards read at the same time
# What is read of a record.
CONTEXT = ("video/id", "video/dataset", "video/method", "clip/index", "track/id", "label")
FRAMES = ("frame/image", "frame/landmarks", "frame/crop_transform")


def readable(batches: Iterable[T], folder: str | os.PathLike) -> Iterator[T]:
    """The batches of a tf.data pipeline over the shards in a folder.

    Raises ValueError where one cannot be read.
    """
    damage = (
        tf.errors.DataLossError,
        tf.errors.InvalidArgumentError,
        tf.errors.FailedPreconditionError,  # fewer records than are listed
    )
    try:
        yield from batches
    except damage as error:
        raise ValueError(f"{folder}: a record is damaged or missing. {ADVICE}") from error


def decode_frames(images: tf.Tensor, side: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Encoded crops (T,) -> uint8 (T, side, side, 3) and mask (T,) bool; "" gives a black frame.

    Frames that the mask leaves out are not decoded. JPEGs are decoded with the accurate integer
    transform, so that every machine sees the same pixels.
    """
    mask = tf.strings.length(images) > 0
    indices = tf.where(mask)  # (F, 1)

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
        tf.gather_nd(images, indices),
        fn_output_signature=tf.TensorSpec((side, side, 3), tf.uint8),
    )
    shape = tf.stack([tf.size(images, tf.int64), side, side, 3])
    return tf.scatter_nd(indices, decoded, shape), mask


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
    clip, mask = decode_frames(images, side)
    return {
        "clips": tf.ensure_shape(clip, (frames, side, side, 3)),
        "mask": mask,
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


def label_of(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The label, int64, and the method of a serialized record, without a look at its frames."""
    names = ("label", "video/method")
    context, _ = tf.io.parse_single_sequence_example(
        record, {name: schema.feature_spec()[0][name] for name in names}
    )
    return context["label"], context["video/method"]


def leave_out(records: tf.data.Dataset, methods: Sequence[str]) -> tf.data.Dataset:
    """Serialized records without the fakes of these methods, in any letter case."""
    if not methods:
        return records
    names = tf.constant([method.lower() for method in methods])

    def is_kept(record: tf.Tensor) -> tf.Tensor:
        label, method = label_of(record)
        return (label != FAKE) | tf.reduce_all(tf.strings.lower(method) != names)

    return records.filter(is_kept)


def check_methods(dataset: ClipDataset, methods: Sequence[str]) -> None:
    """Raises ValueError for a method that has no fake in the splits that training reads."""
    there = {name for split in ("train", "val") for name in dataset.splits[split]["methods"]} - {
        ORIGINAL
    }
    for method in methods:
        if method.lower() not in {name.lower() for name in there}:
            names = ", ".join(sorted(filter(None, there))) or "none named"
            raise ValueError(
                f"--without-methods: no training or validation video of {dataset.folder} has the "
                f"method {method!r}; there are: {names}."
            )


def count_labels(dataset: ClipDataset, split: str, without: Sequence[str] = ()) -> dict[int, int]:
    """Clips of each label in a split, without the fakes of some methods, for which its records
    are read."""
    counts = dataset.label_counts(split)
    if not (without and counts[FAKE]):
        return counts
    records = leave_out(read_records([str(shard.path) for shard in dataset.shards(split)]), without)
    fakes = records.map(lambda record: label_of(record)[0] == FAKE, tf.data.AUTOTUNE).batch(1024)
    count = sum(int(tf.math.count_nonzero(batch)) for batch in readable(fakes, dataset.folder))
    return {REAL: counts[REAL], FAKE: count}


def read_clips(dataset: ClipDataset, split: str, without: Sequence[str] = ()) -> tf.data.Dataset:
    """All clips of a split, one by one, always in the same order: dicts as `parse_clip` gives;
    without the fakes of some methods.

    Raises ValueError where there are none.
    """
    shards = dataset.shards(split)
    if not shards:
        raise ValueError(f"{dataset.folder} has no {split} clips.")
    side, frames = dataset.config.crop_size, dataset.config.frames_per_clip
    count = sum(shard.records for shard in shards)
    records = read_records([str(shard.path) for shard in shards]).apply(
        tf.data.experimental.assert_cardinality(count)
    )
    return leave_out(records, without).map(
        lambda record: parse_clip(record, side, frames),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
