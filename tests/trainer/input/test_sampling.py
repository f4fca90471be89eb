"""Sampling of training clips: order, balance, self-blending, labels, resuming at a step."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from pipelines.clip import FAKE, REAL
from pipelines.shards.open import ClipDataset
from trainer.config import TrainConfig
from trainer.input import sampling
from trainer.input.clips import count_labels, read_clips
from trainer.input.sampling import (
    TrainingClips,
    nearest_frame,
    plan_sampling,
    to_fit,
    validation_batches,
)

PLAIN = TrainConfig(batch_size=4, augment=False)


def batches(data, config: TrainConfig, first: int, count: int) -> list[tuple]:
    """The pixels, labels and weights of some batches."""
    taken = (
        TrainingClips(ClipDataset.open(data), config).batches(first).take(count).as_numpy_iterator()
    )
    return [(x["clips"], y["logit"], w["logit"]) for x, y, w in taken]


def test_every_clip_is_shown_once_in_an_epoch_but_for_the_last_incomplete_batch(sample_shards):
    clips = TrainingClips(ClipDataset.open(sample_shards), dataclasses.replace(PLAIN, batch_size=1))
    drawn = Counter(
        x["clips"].tobytes()
        for x, _, _ in clips.batches().take(clips.steps_per_epoch).as_numpy_iterator()
    )
    there = [c for c in read_clips(ClipDataset.open(sample_shards), "train").as_numpy_iterator()]
    assert len(drawn) == len(there) == clips.steps_per_epoch
    assert set(drawn.values()) == {1}


def test_another_seed_gives_another_order(sample_shards):
    one, other = (
        batches(sample_shards, dataclasses.replace(PLAIN, seed=seed), 0, 2) for seed in (0, 1)
    )
    assert any((a[0] != b[0]).any() for a, b in zip(one, other, strict=True))


def test_each_epoch_has_an_order_of_its_own(sample_shards):
    config = dataclasses.replace(PLAIN, batch_size=1)
    steps = TrainingClips(ClipDataset.open(sample_shards), config).steps_per_epoch
    drawn = [pixels.tobytes() for pixels, _, _ in batches(sample_shards, config, 0, 2 * steps)]
    assert drawn[:steps] != drawn[steps:] and set(drawn[:steps]) == set(drawn[steps:])


@pytest.mark.parametrize("balance", ["weights", "sampling"])
def test_beginning_at_a_step_gives_what_would_have_come_there(sample_shards, balance):
    config = dataclasses.replace(PLAIN, balance=balance)
    steps = TrainingClips(ClipDataset.open(sample_shards), config).steps_per_epoch
    whole = batches(sample_shards, config, 0, steps + 3)
    for first in (1, steps, steps + 2):
        np.testing.assert_array_equal(
            batches(sample_shards, config, first, 1)[0][0], whole[first][0]
        )


def test_blending_and_augmentation_are_the_same_whenever_a_step_is_made(sample_shards):
    config = dataclasses.replace(PLAIN, augment=True, fakes="both")
    whole = batches(sample_shards, config, 0, 4)
    for a, b in zip(batches(sample_shards, config, 2, 2), whole[2:], strict=True):
        np.testing.assert_array_equal(a[0], b[0])


def test_balanced_sampling_shows_as_many_real_clips_as_fakes(sample_shards):
    config = dataclasses.replace(PLAIN, balance="sampling", batch_size=1)
    clips = TrainingClips(ClipDataset.open(sample_shards), config)
    labels = [label[0] for _, label, _ in batches(sample_shards, config, 0, clips.plan.clips)]
    counts = ClipDataset.open(sample_shards).label_counts("train")
    assert clips.plan.clips == 2 * max(counts.values())
    assert 0.4 < np.mean(labels) < 0.6 and clips.plan.weights == (1.0, 1.0)


def test_self_blending_needs_real_clips_only_and_makes_a_fake_of_each(sample_shards):
    config = dataclasses.replace(PLAIN, fakes="self-blend", batch_size=1)
    clips = TrainingClips(ClipDataset.open(sample_shards), config)
    real = {
        clip["clips"].tobytes()
        for clip in read_clips(ClipDataset.open(sample_shards), "train").as_numpy_iterator()
        if clip["label"] == REAL
    }
    assert clips.plan.clips == 2 * len(real)
    drawn = batches(sample_shards, config, 0, clips.plan.clips)
    shown = [pixels.tobytes() for pixels, label, _ in drawn if label[0] == REAL]
    blended = [pixels.tobytes() for pixels, label, _ in drawn if label[0] == FAKE]
    assert len(set(shown)) == len(blended) == len(real)
    assert not set(blended) & (real | set(shown))
    assert set(shown) & real and set(shown) - real  # half of the targets are restyled


CORNER = 12  # px; no mask reaches so far


def test_a_clip_and_its_blend_follow_each_other_and_differ_within_the_face_only(sample_shards):
    config = dataclasses.replace(PLAIN, fakes="self-blend", batch_size=2)
    clips = TrainingClips(ClipDataset.open(sample_shards), config)
    for pixels, labels, _ in batches(sample_shards, config, 0, clips.steps_per_epoch):
        assert labels.tolist() == [REAL, FAKE]
        real, fake = pixels
        assert (real != fake).any()
        np.testing.assert_array_equal(real[:, :CORNER, :CORNER], fake[:, :CORNER, :CORNER])


@pytest.mark.parametrize("fakes", ["self-blend", "both"])
def test_corners_do_not_tell_blends_from_real_clips(sample_shards, fakes):
    config = dataclasses.replace(PLAIN, fakes=fakes, batch_size=4, seed=1)
    steps = 12 * TrainingClips(ClipDataset.open(sample_shards), config).steps_per_epoch
    sharpness, labels = [], []
    for pixels, targets, _ in batches(sample_shards, config, 0, steps):
        grey = pixels[:, :, :CORNER, :CORNER].mean(axis=-1)  # (B, T, h, w)
        sharpness += np.abs(np.diff(grey, axis=3)).mean(axis=(1, 2, 3)).tolist()
        labels += targets.tolist()
    # Some targets are sharper than usual and some less: how far from it is what could tell.
    unusual = np.abs(np.log(sharpness) - np.median(np.log(sharpness)))
    auc, real = roc_auc_score(labels, unusual), labels.count(REAL)
    fake = len(labels) - real
    # Standard error of an AUC of 0.5 (Hanley and McNeil 1982).
    error = np.sqrt((real + fake + 1) / (12 * real * fake))
    assert real > 20 and abs(auc - 0.5) <= 2 * error


@given(
    real=st.integers(1, 500),
    fake=st.integers(1, 500),
    fakes=st.sampled_from(["dataset", "self-blend", "both"]),
    balance=st.sampled_from(["weights", "sampling"]),
)
def test_real_and_fake_count_the_same_however_they_are_balanced(real, fake, fakes, balance):
    got = plan_sampling(TrainConfig(fakes=fakes, balance=balance), {REAL: real, FAKE: fake})
    real_sum = got.weights[REAL] * got.real * real
    fake_sum = got.weights[FAKE] * (got.blended * real + got.fake * fake)
    assert real_sum == pytest.approx(fake_sum)
    assert min(got.real, got.blended or 1, got.fake or 1) >= 1  # no clip is left out


@pytest.mark.parametrize(
    ("counts", "fakes", "advice"),
    [
        ({REAL: 3, FAKE: 0}, "dataset", "--fakes self-blend makes some"),
        ({REAL: 0, FAKE: 3}, "self-blend", "needs real ones"),
        ({REAL: 0, FAKE: 3}, "both", "needs real ones"),
    ],
)
def test_a_split_without_a_label_is_refused_with_what_to_do(counts, fakes, advice):
    with pytest.raises(ValueError, match=advice):
        plan_sampling(TrainConfig(fakes=fakes), counts)


@settings(deadline=None)  # the first call waits for TensorFlow
@given(st.lists(st.booleans(), min_size=1, max_size=9))
def test_a_lost_frame_shows_the_nearest_one_with_a_face(mask):
    got = nearest_frame(tf.constant(mask)).numpy()
    for place, index in enumerate(got):
        real = [i for i, is_real in enumerate(mask) if is_real]
        assert abs(index - place) == min((abs(i - place) for i in real), default=0)
        assert mask[index] or not real


def test_targets_are_smoothed_and_frames_without_a_face_have_none():
    batch = {
        "clips": tf.zeros((2, 2, 8, 8, 3), tf.uint8),
        "mask": tf.constant([[True, False], [True, True]]),
        "label": tf.constant([FAKE, REAL], tf.int64),
    }
    _, targets, weights = to_fit(batch, (1.0, 3.0), smoothing=0.1)
    np.testing.assert_allclose(targets["logit"], [0.9, 0.1])
    np.testing.assert_allclose(targets["frame_logit"], [[0.9, -1], [0.1, 0.1]])
    np.testing.assert_allclose(weights["logit"], [3, 1])


def test_shuffled_labels_keep_the_balance_and_follow_the_seed(sample_shards):
    paths = [str(shard.path) for shard in ClipDataset.open(sample_shards).shards("train")]
    a, b, c = (sampling.permuted_labels(paths, seed) for seed in (0, 0, 1))
    assert a == b != c and sorted(a.values()) == sorted(c.values())
    config = dataclasses.replace(PLAIN, shuffle_labels=True, batch_size=1)
    by_pixels = {
        clip["clips"].tobytes(): clip["video"].decode()
        for clip in read_clips(ClipDataset.open(sample_shards), "train").as_numpy_iterator()
    }
    drawn = batches(sample_shards, config, 0, len(by_pixels))
    assert all(label[0] == a[by_pixels[pixels.tobytes()]] for pixels, label, _ in drawn)


def methods_of(data, split: str, without: tuple[str, ...]) -> Counter:
    clips = read_clips(ClipDataset.open(data), split, without).as_numpy_iterator()
    return Counter(clip["method"].decode() for clip in clips)


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("name", ["FaceSwap", "faceswap"])
def test_fakes_of_a_method_that_is_left_out_are_not_read_and_all_else_is(
    sample_shards, split, name
):
    whole = methods_of(sample_shards, split, ())
    assert whole["FaceSwap"] and methods_of(sample_shards, split, (name,)) == Counter(
        {method: count for method, count in whole.items() if method != "FaceSwap"}
    )


@pytest.mark.parametrize("balance", ["weights", "sampling"])
def test_an_epoch_shows_no_fake_of_a_method_that_is_left_out(sample_shards, balance):
    config = dataclasses.replace(PLAIN, batch_size=1, balance=balance, without_methods="FaceSwap")
    dataset = ClipDataset.open(sample_shards)
    clips = TrainingClips(dataset, config)
    drawn = batches(sample_shards, config, 0, clips.steps_per_epoch)
    there = {
        c["clips"].tobytes()
        for c in read_clips(dataset, "train", ("FaceSwap",)).as_numpy_iterator()
    }
    assert {pixels.tobytes() for pixels, _, _ in drawn} == there
    counts = count_labels(dataset, "train", ("FaceSwap",))
    assert clips.plan == plan_sampling(config, counts) and 0 < counts[FAKE] < sum(
        dataset.label_counts("train").values()
    )


def test_without_any_fake_left_validation_is_on_pairs_of_blends(sample_shards):
    config = dataclasses.replace(
        PLAIN, fakes="self-blend", batch_size=1, without_methods="FaceSwap, SelfBlend"
    )
    dataset = ClipDataset.open(sample_shards)
    real = dataset.label_counts("val")[REAL]
    labels = [
        y["logit"][0] for _, y, _ in validation_batches(dataset, config, 1).as_numpy_iterator()
    ]
    assert sorted(labels) == [REAL] * real + [FAKE] * real


def test_a_method_that_no_fake_has_is_refused_with_those_that_are_there(sample_shards):
    dataset = ClipDataset.open(sample_shards)
    for name in ("Face2Face", "original"):
        with pytest.raises(ValueError, match=f"'{name}'; there are: FaceSwap, SelfBlend"):
            TrainingClips(dataset, dataclasses.replace(PLAIN, without_methods=name))


def test_shuffled_labels_are_those_of_the_videos_that_are_shown(sample_shards):
    paths = [str(shard.path) for shard in ClipDataset.open(sample_shards).shards("train")]
    labels = sampling.permuted_labels(paths, 0, ("FaceSwap",))
    assert labels and not any("/FaceSwap/" in video for video in labels)


def test_validation_shows_the_split_as_it_is(sample_shards):
    config = dataclasses.replace(PLAIN, augment=True, label_smoothing=0.1, fakes="both")
    got = [
        (pixels.tobytes(), target)
        for x, y, _ in validation_batches(
            ClipDataset.open(sample_shards), config, 1
        ).as_numpy_iterator()
        for pixels, target in zip(x["clips"], y["logit"], strict=True)
    ]
    there = read_clips(ClipDataset.open(sample_shards), "val").as_numpy_iterator()
    assert got == [(clip["clips"].tobytes(), clip["label"]) for clip in there]


def test_a_dataset_info_of_an_earlier_version_says_what_to_run(sample_shards, tmp_path):
    info = json.loads((sample_shards / "dataset_info.json").read_text())
    del info["splits"]["train"]["clip_labels"]
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(ValueError, match="preprocess` again, with --update"):
        ClipDataset.open(tmp_path)
