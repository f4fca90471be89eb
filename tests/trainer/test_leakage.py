"""Leakage audit: hashes of what a training has seen, collected, kept and compared."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.clip import FAKE, REAL, Clip, Video
from pipelines.config import PreprocessConfig
from pipelines.shards.open import ClipDataset
from tests.fixtures.clip_datasets import write_clip_dataset
from trainer import leakage

NAMES = st.text(max_size=6)


def video(name, label, split, identities=(), source="", dataset="set"):
    method = "Swap" if label == FAKE else "original"
    return Video(name, "", label, dataset, method, "", identities, source, split)


VIDEOS = [
    video("a", REAL, "train", ("ann",), "a"),
    video("a", REAL, "train", ("ann",), "a", dataset="other"),
    video("a_b", FAKE, "train", ("ann", "bob"), "a"),
    video("unsourced", FAKE, "train"),
    video("a_c", FAKE, "test", ("ann", "cid"), "a"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    clip = Clip(0, 0, 25.0, [b"x"], *([[0.0]] * 2), [[[0.0] * 2] * 5], [0.0], [[0.0]])
    splits = {  # two clips each
        split: [(v, clip) for v in VIDEOS if v.split == split for _ in range(2)]
        for split in ("train", "test")
    }
    root = write_clip_dataset(tmp_path_factory.mktemp("shards"), PreprocessConfig(), splits)
    return ClipDataset.open(root)


def keys(kind, *names):
    return {leakage.hash_key(kind, dataset, name) for dataset, name in names}


def test_fakes_of_a_method_that_was_left_out_are_not_seen_but_their_originals_are(data):
    seen = leakage.collect(data, without=("Swap",))
    assert seen.videos == keys("video", ("set", "a"), ("other", "a"))
    assert seen.identities == keys("identity", ("set", "ann"), ("other", "ann"))


def test_a_hash_is_the_first_16_digits_of_a_sha256():
    expected = hashlib.sha256(b'["video", "set", "a"]').hexdigest()[:16]
    assert leakage.hash_key("video", "set", "a") == expected


@given(*[st.tuples(st.sampled_from(leakage.KINDS), NAMES, NAMES)] * 2)
def test_only_the_same_thing_has_the_same_hash(one, other):
    assert (leakage.hash_key(*one) == leakage.hash_key(*other)) == (one == other)


def test_another_kind_is_refused():
    with pytest.raises(ValueError, match="kind is 'person'; expected one of video, source"):
        leakage.hash_key("person", "set", "a")


def test_videos_sources_and_people_of_a_split_are_collected_by_data_set(data):
    seen = leakage.collect(data)
    named = ("set", "a"), ("other", "a"), ("set", "a_b"), ("set", "unsourced")
    assert seen.videos == keys("video", *named)
    assert seen.sources == keys("source", ("set", "a"), ("other", "a"))
    assert seen.identities == keys("identity", ("set", "ann"), ("other", "ann"), ("set", "bob"))


def test_an_empty_split_has_shown_nothing(data):
    assert leakage.collect(data, "val") == leakage.Seen(frozenset(), frozenset(), frozenset())


def test_what_two_splits_share_is_found(data):
    common = leakage.collect(data).common(leakage.collect(data, "test"))
    assert not common.videos
    assert common.sources == keys("source", ("set", "a"))
    assert common.identities == keys("identity", ("set", "ann"))


@given(st.builds(leakage.Seen, *[st.frozensets(NAMES)] * 3))
def test_a_record_is_read_as_it_was_written(tmp_path_factory, record):
    run = tmp_path_factory.mktemp("run")
    leakage.write_seen(run, record)
    assert leakage.read_seen(run) == record
    assert [path.name for path in run.iterdir()] == ["seen.json"]


def test_the_file_holds_sorted_lists(tmp_path):
    leakage.write_seen(tmp_path, leakage.Seen(frozenset("cab"), frozenset(), frozenset("x")))
    written = json.loads((tmp_path / "seen.json").read_text())
    assert written == {"videos": ["a", "b", "c"], "sources": [], "identities": ["x"]}


def test_a_run_without_a_record_has_none(tmp_path):
    assert leakage.read_seen(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", '{"videos": []}', '{"videos": 1}'])
def test_a_damaged_record_is_an_error_and_not_an_empty_one(tmp_path, text):
    (tmp_path / "seen.json").write_text(text)
    with pytest.raises(ValueError, match="seen.json: is not what `dfdetect train` writes"):
        leakage.read_seen(tmp_path)
