"""Sampling of training and validation batches: shuffling, class balance, self-blending, labels.

All of it follows from the seed, the epoch and the place within the epoch, so that a training can
resume at any step as if it had never stopped.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pipelines.clip import FAKE, REAL
from pipelines.shards.open import ClipDataset
from trainer.config import TrainConfig
from trainer.input.augment import augment_clip
from trainer.input.clips import (
    check_methods,
    count_labels,
    label_of,
    leave_out,
    parse_clip,
    read_clips,
    read_records,
)
from trainer.input.self_blend import blend_target, self_blend

SHUFFLE_BYTES = 512 << 20  # of encoded clips that are mixed at a time


@dataclasses.dataclass(frozen=True)
class SamplingPlan:
    """Sampling rates and loss weights by which real and fake clips are balanced.

    A rate is how often an epoch shows each clip of a kind on average.
    """

    real: float  # rate of a real clip as it is
    blended: float  # rate of a real clip blended with itself
    fake: float  # rate of a fake of the data set
    clips: int  # in an epoch
    weights: tuple[float, float]  # of REAL and of FAKE in the loss


def plan_sampling(config: TrainConfig, counts: Mapping[int, int]) -> SamplingPlan:
    """The plan for a training split with so many clips of each label.

    Raises ValueError where a label would not occur at all.
    """
    blended, fake = config.fakes != "dataset", config.fakes != "self-blend"
    real_clips = counts[REAL]
    fake_clips = blended * counts[REAL] + fake * counts[FAKE]
    if not real_clips or not fake_clips:
        raise ValueError(
            f"The training split has {counts[REAL]} real and {counts[FAKE]} fake clips; "
            f"--fakes {config.fakes} needs "
            + ("real ones." if blended else "both. Without fakes, --fakes self-blend makes some.")
        )
    more = max(real_clips, fake_clips)
    of_real, of_fake, weights = 1.0, 1.0, (1.0, 1.0)
    if config.balance == "sampling":
        of_real, of_fake = more / real_clips, more / fake_clips
    elif config.balance == "weights":
        both = real_clips + fake_clips
        weights = (both / (2 * real_clips), both / (2 * fake_clips))
    return SamplingPlan(
        real=of_real,
        blended=of_fake * blended,
        fake=of_fake * fake,
        clips=round(of_real * real_clips + of_fake * fake_clips),
        weights=weights,
    )


def permuted_labels(paths: list[str], seed: int, without: Sequence[str] = ()) -> dict[str, int]:
    """Labels of the shards' videos, but for fakes of some methods, permuted at random: video ->
    label."""
    labels: dict[str, int] = {}
    for record in leave_out(tf.data.TFRecordDataset(paths), without).as_numpy_iterator():
        context = tf.train.SequenceExample.FromString(record).context.feature
        dataset, video = (
            context[name].bytes_list.value[0].decode() for name in ("video/dataset", "video/id")
        )
        labels[f"{dataset}/{video}"] = context["label"].int64_list.value[0]
    videos = sorted(labels)
    dealt = np.random.default_rng(seed).permutation([labels[video] for video in videos])
    return dict(zip(videos, dealt.tolist(), strict=True))


def nearest_frame(mask: tf.Tensor) -> tf.Tensor:
    """For each of T frames the index of the nearest one with a face; its own where none has one.

    In training a frame without a face shows the nearest one instead of black: it counts nowhere,
    but it is part of the batch whose statistics batch normalization takes.
    """
    place = tf.range(tf.size(mask))
    lost = tf.where(mask, 0, 2 * tf.size(mask))
    return tf.argmin(tf.abs(place[:, None] - place[None]) + lost[None], axis=1)


class TrainingClips:
    """The clips of a data set's training split, epoch by epoch."""

    def __init__(self, dataset: ClipDataset, config: TrainConfig):
        self._shards = dataset.shards("train")
        self._paths = [str(shard.path) for shard in self._shards]
        self._crops = dataset.config
        self._config = config
        check_methods(dataset, config.held_out)
        self.plan = plan_sampling(config, count_labels(dataset, "train", config.held_out))
        self.batch_size = min(config.batch_size, self.plan.clips)
        self.steps_per_epoch = config.epoch_steps or self.plan.clips // self.batch_size
        self._labels = (
            permuted_labels(self._paths, config.seed, config.held_out)
            if config.shuffle_labels
            else None
        )

    def batches(self, first_step: int = 0) -> tf.data.Dataset:
        """Full batches without end, from a step on, in what `Model.fit` takes (see `to_fit`)."""
        first, done = divmod(first_step, self.steps_per_epoch)
        epochs = tf.data.Dataset.counter(first)
        skipped = tf.constant(done * self.batch_size, tf.int64)  # of the first epoch
        records = epochs.flat_map(
            lambda epoch: self._records_of_epoch(epoch, tf.where(epoch == first, skipped, 0))
        )
        clips = records.map(self._clip, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        if self._labels:
            clips = _with_labels(clips, self._labels)
        batches = clips.batch(self.batch_size, drop_remainder=True)
        smoothing, weights = self._config.label_smoothing, self.plan.weights
        return batches.map(lambda b: to_fit(b, weights, smoothing)).prefetch(2)

    def _records_of_epoch(self, epoch: tf.Tensor, skipped: tf.Tensor) -> tf.data.Dataset:
        """(seed of the clip (2,), record, whether to blend it) from the `skipped`-th on.

        A clip and its blend have one seed and follow each other.
        """
        seed = _fold((self._config.seed, 0), epoch)
        # How often a clip is shown is drawn, so one pass may have some too few, or too many.
        passes = tf.data.Dataset.counter().flat_map(lambda i: self._pass(_fold(seed, i)))
        seeds = _fold((self._config.seed, 1), epoch)
        clips = passes.enumerate().flat_map(
            lambda i, element: _blends(element[1]).map(
                lambda blended: (_fold(seeds, i), element[0], blended)
            )
        )
        return clips.take(self.steps_per_epoch * self.batch_size).skip(skipped)

    def _pass(self, seed: tf.Tensor) -> tf.data.Dataset:
        """(record, (as it is?, blended?)) for one pass over the shards, in an order by the seed.

        Stateless, unlike tf.data's own shuffling: shards are mixed, and what is read of them is
        mixed again, a block at a time.
        """
        shards = tf.random.experimental.stateless_shuffle(self._paths, seed)
        copies = (
            leave_out(read_records(shards), self._config.held_out)
            .enumerate()
            .flat_map(lambda i, record: self._copies(_fold(seed, i), record))
        )
        blocks = copies.batch(self._block()).enumerate()
        return blocks.flat_map(lambda i, block: _shuffled(block, _fold(seed, -1 - i)))

    def _copies(self, seed: tf.Tensor, record: tf.Tensor) -> tf.data.Dataset:
        """(record, (as it is?, blended?)), (2,) bool, as often as the plan says: both if it can."""
        real = label_of(record)[0] == REAL
        original = tf.where(real, self.plan.real, self.plan.fake)
        blended = tf.where(real, self.plan.blended, 0.0)
        drawn = tf.random.stateless_uniform([2], seed)
        copies = tf.cast(tf.floor(tf.stack([original, blended]) + drawn), tf.int32)
        kinds = tf.range(tf.reduce_max(copies))[:, None] < copies  # (units, 2)
        return tf.data.Dataset.from_tensor_slices(kinds).map(lambda kind: (record, kind))

    def _block(self) -> int:
        """Records that are mixed at a time."""
        records = sum(shard.records for shard in self._shards)
        mean = sum(shard.bytes for shard in self._shards) / records
        return max(1, min(self.plan.clips, int(SHUFFLE_BYTES / mean)))

    def _clip(self, seed: tf.Tensor, record: tf.Tensor, blended: tf.Tensor) -> dict[str, tf.Tensor]:
        clip = parse_clip(record, self._crops.crop_size, self._crops.frames_per_clip)
        nearest = nearest_frame(clip["mask"])
        pixels, landmarks = (tf.gather(clip[name], nearest) for name in ("clips", "landmarks"))
        if self._config.fakes != "dataset":
            # A data set's fakes, too: what the restyling of targets leaves is no sign of either.
            pixels = tf.cond(
                blended,
                lambda: self_blend(pixels, landmarks, _fold(seed, 0)),
                lambda: blend_target(pixels, _fold(seed, 0)),
            )
        if self._config.augment:
            pixels = augment_clip(pixels, landmarks, _fold(seed, 1))
        label = tf.where(blended, tf.cast(FAKE, tf.int64), clip["label"])
        return {**clip, "clips": pixels, "label": label}


def _blends(kinds: tf.Tensor) -> tf.data.Dataset:
    """Whether to blend it, for each of the kinds (as it is?, blended?) that are wanted."""
    return tf.data.Dataset.from_tensor_slices(tf.boolean_mask([False, True], kinds))


def _shuffled(block: tuple[tf.Tensor, ...], seed: tf.Tensor) -> tf.data.Dataset:
    order = tf.random.experimental.stateless_shuffle(tf.range(tf.shape(block[0])[0]), seed)
    return tf.data.Dataset.from_tensor_slices(tuple(tf.gather(part, order) for part in block))


def _fold(seed: Any, data: tf.Tensor | int) -> tf.Tensor:
    """A seed (2,) of its own for each `data`, an integer."""
    return tf.random.experimental.stateless_fold_in(
        tf.cast(tf.stack(seed), tf.int64), tf.cast(data, tf.int64)
    )


def _with_labels(clips: tf.data.Dataset, labels: Mapping[str, int]) -> tf.data.Dataset:
    table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(
            tf.constant(list(labels)), tf.constant(list(labels.values()), tf.int64)
        ),
        default_value=-1,
    )
    return clips.map(lambda clip: {**clip, "label": table.lookup(clip["video"])})


def validation_batches(
    dataset: ClipDataset, config: TrainConfig, batch_size: int, devices: int = 1
) -> tf.data.Dataset:
    """The validation split in what `Model.fit` takes: nothing is augmented, weighted or smoothed.

    Where the split has no fakes and training makes its own, pairs of real clips and their blends
    stand for it, the same ones every time. Several devices want full batches: a last one that
    is not full is left out. Raises ValueError where there are no clips, or not enough.
    """
    counts = count_labels(dataset, "val", config.held_out)
    clips = read_clips(dataset, "val", config.held_out)
    if config.fakes != "dataset" and not counts[FAKE]:
        numbered = clips.enumerate()
        targets, blends = (
            numbered.map(functools.partial(_paired, blended), tf.data.AUTOTUNE)
            for blended in (False, True)
        )
        clips = targets.concatenate(blends)
    if devices > 1:
        count = sum(counts.values())
        batch_size = min(batch_size, count - count % devices)
        if not batch_size:
            raise ValueError(
                f"{dataset.folder} has {count} val clips; {devices} devices need one each."
            )
    batches = clips.batch(batch_size, drop_remainder=devices > 1)
    return batches.map(lambda batch: to_fit(batch)).prefetch(2)


def _paired(blended: bool, index: tf.Tensor, clip: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """A real clip as one half of a pair, the target of a blend or the blend."""
    seed = _fold((0, 2), index)
    if not blended:
        return {**clip, "clips": blend_target(clip["clips"], seed)}
    pixels = self_blend(clip["clips"], clip["landmarks"], seed)
    return {**clip, "clips": pixels, "label": tf.cast(FAKE, tf.int64)}


def to_fit(
    batch: Mapping[str, tf.Tensor],
    weights: tuple[float, float] = (1.0, 1.0),
    smoothing: float = 0.0,
) -> tuple[dict, dict, dict]:
    """A batch of clips -> (inputs, targets, sample weights) of `Model.fit`.

    The target of "frame_logit" (B, T) is the clip's label, or -1 where there is no frame.
    weights: of REAL and of FAKE. smoothing: how far targets are moved towards 0.5.
    """
    target = tf.cast(batch["label"], tf.float32) * (1 - 2 * smoothing) + smoothing
    frame_target = tf.where(batch["mask"], target[:, None], -1.0)
    weight = tf.gather(tf.constant(weights, tf.float32), batch["label"])
    return (
        # Not bool: Keras averages a batch over the devices before it begins, which bool forbids.
        {"clips": batch["clips"], "mask": tf.cast(batch["mask"], tf.uint8)},
        {"logit": target, "frame_logit": frame_target},
        {"logit": weight, "frame_logit": weight},
    )
