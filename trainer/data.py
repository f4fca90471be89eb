"""Shards -> batches of decoded clips."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from pipelines import schema
from pipelines.clip import FAKE, REAL
from pipelines.config import PreprocessConfig
from trainer.augment import augment_clip

INFO_NAME = "dataset_info.json"
CACHE_LIMIT_BYTES = 2 << 30


def load_dataset_info(data: str | os.PathLike, fingerprint: str | None = None) -> dict[str, Any]:
    """What `dfdetect preprocess` wrote about its shards.

    Raises FileNotFoundError where there are none, ValueError where they do not match the given
    fingerprint, this package, or their own list of files.
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
    return info


def shard_paths(data: str | os.PathLike, info: Mapping[str, Any], split: str) -> list[str]:
    """The split's shards that hold records, in order."""
    return [
        str(Path(data) / name)
        for name, facts in sorted(info["shards"].items())
        if name.startswith(f"{split}-") and facts["records"]
    ]


def class_weights(info: Mapping[str, Any]) -> dict[int, float]:
    """Weight of each label so that both count the same in training. Raises ValueError when the
    training split lacks a label."""
    labels = info["splits"]["train"]["labels"]
    counts = {REAL: labels["real"], FAKE: labels["fake"]}
    if not all(counts.values()):
        raise ValueError(
            f"The training split has {counts[REAL]} real and {counts[FAKE]} fake videos; "
            "it needs both."
        )
    return {label: sum(counts.values()) / (2 * count) for label, count in counts.items()}


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


def _parse(record: tf.Tensor, side: int, frames: int) -> dict[str, tf.Tensor]:
    context_spec, frame_spec = schema.feature_spec()
    wanted = ("video/id", "video/dataset", "video/method", "clip/index", "track/id", "label")
    context, sequence, _ = tf.io.parse_sequence_example(
        record[None],
        {name: context_spec[name] for name in wanted},
        {"frame/image": frame_spec["frame/image"]},
    )
    images = sequence["frame/image"][0, :frames]
    images = tf.pad(images, [[0, frames - tf.shape(images)[0]]])  # pads with ""
    images = tf.ensure_shape(images, (frames,))
    clip, found = decode_frames(images, side)
    return {
        "clips": tf.ensure_shape(clip, (frames, side, side, 3)),
        "mask": found,
        "label": context["label"][0],
        "video": context["video/dataset"][0] + "/" + context["video/id"][0],
        "method": context["video/method"][0],
        "track": context["track/id"][0],
        "clip": context["clip/index"][0],
    }


def permuted_labels(paths: list[str], seed: int) -> dict[str, int]:
    """Labels of the shards' videos, dealt out anew at random: video -> label."""
    labels: dict[str, int] = {}
    for record in tf.data.TFRecordDataset(paths).as_numpy_iterator():
        context = tf.train.SequenceExample.FromString(record).context.feature
        dataset, video = (
            context[name].bytes_list.value[0].decode() for name in ("video/dataset", "video/id")
        )
        labels[f"{dataset}/{video}"] = context["label"].int64_list.value[0]
    videos = sorted(labels)
    dealt = np.random.default_rng(seed).permutation([labels[video] for video in videos])
    return dict(zip(videos, dealt.tolist(), strict=True))


def _with_labels(dataset: tf.data.Dataset, labels: Mapping[str, int]) -> tf.data.Dataset:
    table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(
            tf.constant(list(labels)), tf.constant(list(labels.values()), tf.int64)
        ),
        default_value=-1,
    )
    return dataset.map(lambda clip: {**clip, "label": table.lookup(clip["video"])})


def clips_dataset(
    data: str | os.PathLike,
    split: str,
    *,
    shuffle_seed: int | None = None,
    cache: bool = False,
    augment: bool = False,
    shuffle_labels: bool = False,
) -> tf.data.Dataset:
    """Single clips of a split as dicts: clips uint8 (T, H, W, 3), mask bool (T,), label, video,
    method, track, clip. With a seed the order is shuffled anew, but repeatably, in each pass."""
    info = load_dataset_info(data)
    side, frames = info["config"]["crop_size"], info["config"]["frames_per_clip"]
    paths = shard_paths(data, info, split)
    if not paths:
        raise ValueError(f"{data} has no {split} clips.")
    files = tf.data.Dataset.from_tensor_slices(paths)
    dataset = files.interleave(
        tf.data.TFRecordDataset,
        cycle_length=min(4, len(paths)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    count = info["splits"][split]["clips"]
    fits = count * frames * side * side * 3 < CACHE_LIMIT_BYTES
    keep = cache and fits
    if shuffle_seed is not None and not keep:  # encoded clips are small to hold in the buffer
        dataset = dataset.shuffle(min(count, 2048), seed=shuffle_seed)
    dataset = dataset.map(
        lambda record: _parse(record, side, frames),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    if shuffle_labels:
        dataset = _with_labels(dataset, permuted_labels(paths, shuffle_seed or 0))
    if keep:
        dataset = dataset.cache()
        if shuffle_seed is not None:
            dataset = dataset.shuffle(count, seed=shuffle_seed)
    if augment:
        seeds = tf.data.Dataset.random(seed=shuffle_seed, rerandomize_each_iteration=True)
        seeds = seeds.batch(2, drop_remainder=True)
        dataset = tf.data.Dataset.zip(dataset, seeds).map(
            lambda clip, seed: {**clip, "clips": augment_clip(clip["clips"], seed)},
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
    records = sum(info["shards"][Path(path).name]["records"] for path in paths)
    return dataset.apply(tf.data.experimental.assert_cardinality(records))


def training_batches(
    clips: tf.data.Dataset, batch_size: int, weights: Mapping[int, float] | None = None
) -> tf.data.Dataset:
    """What `Model.fit` takes: (inputs, targets, sample weights).

    The target of "frame_logit" (B, T) is the clip's label, or -1 where there is no frame.
    """
    scale = tf.constant([weights[REAL], weights[FAKE]] if weights else [1.0, 1.0], tf.float32)

    def prepare(batch):
        label = tf.cast(batch["label"], tf.float32)
        frame_label = tf.where(batch["mask"], label[:, None], -1.0)
        weight = tf.gather(scale, batch["label"])
        return (
            {"clips": batch["clips"], "mask": batch["mask"]},
            {"logit": label, "frame_logit": frame_label},
            {"logit": weight, "frame_logit": weight},
        )

    return clips.batch(batch_size).map(prepare).prefetch(2)
