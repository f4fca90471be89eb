"""Splits: nobody is in two of them, whatever the data set looks like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.clip import Video
from pipelines.split import audit, split_videos


def video(target: int, donor: int | None = None) -> Video:
    ids = (str(target),) if donor is None else (str(target), str(donor))
    name = "_".join(ids)
    return Video(name, f"{name}.mp4", int(donor is not None), "set", "m", "", ids, str(target))


video_sets = st.sets(
    st.tuples(st.integers(0, 60), st.none() | st.integers(0, 60)), min_size=1, max_size=80
).map(lambda pairs: [video(*pair) for pair in sorted(pairs, key=str)])


@given(video_sets, st.integers(0, 5))
def test_no_identity_and_no_source_is_in_two_splits(videos, seed):
    placed, left_out = split_videos(videos, seed=seed)
    assert len(placed) == len(videos) and not left_out
    assert audit(placed)["crossings"] == []


@given(video_sets, st.randoms())
def test_the_order_of_the_input_is_irrelevant(videos, random):
    shuffled = videos[:]
    random.shuffle(shuffled)
    assert split_videos(videos) == split_videos(shuffled)


def test_independent_videos_keep_their_split_when_others_are_added():
    few, _ = split_videos([video(i) for i in range(50)])
    many = {v.id: v.split for v in split_videos([video(i) for i in range(200)])[0]}
    assert all(many[v.id] == v.split for v in few)


def test_shares_come_out_as_asked_for():
    placed, _ = split_videos([video(i) for i in range(2000)], fractions=(0.6, 0.2, 0.2))
    counts = {s: sum(v.split == s for v in placed) / 2000 for s in ("train", "val", "test")}
    assert counts == pytest.approx({"train": 0.6, "val": 0.2, "test": 0.2}, abs=0.04)


def test_official_splits_are_used_and_a_fake_across_them_is_left_out_by_name():
    videos = [video(1), video(2), video(3), video(1, 2), video(1, 3)]
    placed, left_out = split_videos(videos, {"1": "train", "2": "train", "3": "test"})
    assert {v.id: v.split for v in placed} == {
        "1": "train",
        "2": "train",
        "1_2": "train",
        "3": "test",
    }
    assert [(v.id, why) for v, why in left_out] == [("1_3", "its identities are in test and train")]


def test_a_video_that_no_official_list_names_is_left_out():
    _, ((left, why),) = split_videos([video(9)], {"1": "train"})
    assert left.id == "9" and "not in the official" in why


def test_the_audit_names_who_crosses():
    from dataclasses import replace

    videos = [replace(video(1), split="train"), replace(video(1, 2), split="test")]
    crossings = audit(videos)["crossings"]
    assert {"kind": "identity", "name": "set/1", "splits": ["test", "train"]} in crossings


def test_fractions_that_do_not_add_up_are_refused():
    with pytest.raises(ValueError, match="add up to 1"):
        split_videos([video(1)], fractions=(0.5, 0.2, 0.2))
