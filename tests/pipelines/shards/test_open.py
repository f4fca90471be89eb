"""Opened data sets: what is checked once, and what is handed on."""

import dataclasses
import json

import numpy as np
import pytest

from pipelines.clip import FAKE, REAL, Clip, Video
from pipelines.config import PreprocessConfig
from pipelines.shards.layout import INFO_NAME
from pipelines.shards.open import ClipDataset, read_info
from tests.fixtures.clip_datasets import write_clip_dataset

CONFIG = PreprocessConfig(frames_per_clip=2, crop_size=32)


def clip_of(name: str, label: int, split: str) -> tuple[Video, Clip]:
    zeros = np.zeros
    arrays = zeros(1), zeros((1, 4)), zeros((1, 5, 2)), zeros(1), zeros((1, 2, 3))
    return Video(name, "", label, "set", split=split), Clip(0, 0, 25.0, [b"x"], *arrays)


@pytest.fixture
def folder(tmp_path):
    clips = {
        "train": [clip_of("a", REAL, "train"), clip_of("b", FAKE, "train")],
        "val": [clip_of("c", REAL, "val")],
    }
    return write_clip_dataset(tmp_path, CONFIG, clips, shards=2)


def change(folder, **changes):
    path = folder / INFO_NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_an_opened_data_set_says_what_was_written(folder):
    dataset = ClipDataset.open(folder, CONFIG.fingerprint)
    assert (dataset.config, dataset.fingerprint) == (CONFIG, CONFIG.fingerprint)
    assert [dataset.clips(split) for split in ("train", "val", "test", "dev")] == [2, 1, 0, 0]
    assert dataset.label_counts("train") == {REAL: 1, FAKE: 1}
    assert dataset.label_counts("test") == {REAL: 0, FAKE: 0}


def test_shards_come_in_order_and_without_empty_ones(folder):
    dataset = ClipDataset.open(folder)
    names = [shard.path.name for shard in dataset.shards("train")]
    assert names == [f"train-{i:05d}-of-00002.tfrecord" for i in range(2)]
    assert [shard.records for shard in dataset.shards("val")] == [1]
    assert dataset.shards("test") == []


def test_the_checksum_is_that_of_the_shards_and_of_nothing_else(folder, tmp_path):
    before = ClipDataset.open(folder).sha256
    change(folder, problems=["a note"])
    assert ClipDataset.open(folder).sha256 == before
    dataset = ClipDataset.open(folder)
    shards = {**dataset.info["shards"], "train-00000-of-00002.tfrecord": {"sha256": "0"}}
    other = dataclasses.replace(dataset, info={**dataset.info, "shards": shards})
    assert other.sha256 != before


@pytest.mark.parametrize("generated", [True, False])
def test_whether_a_set_is_generated_is_a_field_and_no_word_in_a_note(folder, generated):
    change(folder, generated=generated, problems=["/data/ai-generated/sample: nothing there"])
    assert ClipDataset.open(folder).generated == generated


def test_crops_of_another_fingerprint_are_refused_with_both_named(folder):
    with pytest.raises(ValueError, match=f"{CONFIG.fingerprint}, the model was trained .* 0123"):
        ClipDataset.open(folder, "0123")


def test_crops_that_this_version_would_make_otherwise_are_refused(folder):
    change(folder, fingerprint="0123")
    with pytest.raises(ValueError, match="fingerprint 0123, this version of the package makes"):
        ClipDataset.open(folder)


def test_a_lost_shard_is_named(folder):
    (folder / "val-00000-of-00002.tfrecord").unlink()
    with pytest.raises(FileNotFoundError, match="val-00000-of-00002.tfrecord.* but missing"):
        ClipDataset.open(folder)
    assert read_info(folder)["splits"]["val"]["clips"] == 1


def test_a_cut_shard_is_refused_with_both_sizes(folder):
    shard = folder / "train-00000-of-00002.tfrecord"
    size = shard.stat().st_size
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(ValueError, match=f"has {size - 1} bytes, {INFO_NAME} says {size}"):
        ClipDataset.open(folder)


@pytest.mark.parametrize("key", ["generated", "splits", "shards", "fingerprint"])
def test_what_an_earlier_version_wrote_is_refused_with_what_to_run(folder, key):
    info = json.loads((folder / INFO_NAME).read_text())
    del info[key]
    (folder / INFO_NAME).write_text(json.dumps(info))
    with pytest.raises(ValueError, match=f"'{key}'.*preprocess` again, with --update"):
        ClipDataset.open(folder)


def test_a_remote_folder_is_refused(folder):
    with pytest.raises(ValueError, match="gs://bucket/data: is remote"):
        ClipDataset.open("gs://bucket/data")
