"""Splits: nobody is in two of them, whatever the data set looks like."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.clip import SPLITS, Video
from pipelines.datasets.base import Dataset
from pipelines.splits.assign import split_videos, why_empty
from pipelines.splits.audit import audit

FRACTIONS = (0.7, 0.15, 0.15)


def video(target: int, donor: int | None = None, method: str = "Swap") -> Video:
    ids = (str(target),) if donor is None else (str(target), str(donor))
    name = "_".join(ids) + ("" if donor is None else f"_{method}")
    method = "original" if donor is None else method
    return Video(name, f"{name}.mp4", int(donor is not None), "set", method, "", ids, str(target))


def dataset(videos, **facts) -> Dataset:
    return Dataset("set", tuple(videos), **facts)


people = st.integers(0, 60)
video_sets = st.sets(
    st.tuples(people, st.none() | people, st.sampled_from(["Swap", "Mask"])),
    min_size=1,
    max_size=80,
).map(lambda rows: list({v.id: v for v in (video(*row) for row in sorted(rows, key=str))}.values()))


def components(videos) -> list[set[str]]:
    """Video ids joined by shared people, by the slow and obvious way."""
    groups: list[tuple[set[str], set[str]]] = []
    for v in videos:
        people, ids = set(v.identities), {v.id}
        apart = []
        for other, members in groups:
            if other & people:
                people, ids = people | other, ids | members
            else:
                apart.append((other, members))
        groups = [*apart, (people, ids)]
    return [ids for _, ids in groups]


@given(video_sets, st.integers(0, 5))
def test_no_component_of_people_and_sources_is_in_two_splits(videos, seed):
    placed = split_videos(dataset(videos), seed=seed)
    assert len(placed.videos) == len(videos) and not placed.rejects
    where = {v.id: v.split for v in placed.videos}
    assert all(len({where[i] for i in ids}) == 1 for ids in components(videos))
    assert audit(placed.videos)["crossings"] == []


@given(video_sets, st.randoms())
def test_the_order_of_the_input_is_irrelevant(videos, random):
    shuffled = videos[:]
    random.shuffle(shuffled)
    assert split_videos(dataset(videos)) == split_videos(dataset(shuffled))


@given(video_sets, st.sampled_from([FRACTIONS, (0.5, 0.5, 0.0), (0.2, 0.3, 0.5), (1, 0, 0)]))
def test_no_split_misses_its_share_by_more_than_the_largest_components(videos, fractions):
    placed = split_videos(dataset(videos), fractions)
    largest = max(len(ids) for ids in components(videos))
    count = Counter(v.split for v in placed.videos)
    for split, share in zip(SPLITS, fractions, strict=True):
        assert count[split] <= share * len(videos) + largest
        assert count[split] >= share * len(videos) - 2 * largest
        assert count[split] == 0 or share > 0


def test_labels_and_methods_come_out_in_the_same_shares():
    pairs = [(i, i + 1) for i in range(0, 400, 2)]
    videos = [video(i) for pair in pairs for i in pair]
    # Half the pairs were swapped by one method and half by the other.
    videos += [video(a, b, "Swap" if a % 4 else "Mask") for a, b in pairs]
    placed = split_videos(dataset(videos), (0.6, 0.2, 0.2)).videos
    for split, share in zip(SPLITS, (0.6, 0.2, 0.2), strict=True):
        counts = Counter(v.method for v in placed if v.split == split)
        assert counts["original"] == pytest.approx(400 * share, abs=4)
        assert counts["Swap"] == pytest.approx(100 * share, abs=2)
        assert counts["Mask"] == pytest.approx(100 * share, abs=2)


@given(video_sets, st.sampled_from([FRACTIONS, (0.5, 0.5, 0.0), (1, 0, 0)]))
def test_a_split_without_videos_is_named_with_how_many_groups_there_are(videos, fractions):
    placed = split_videos(dataset(videos), fractions)
    there = {v.split for v in placed.videos}
    empty = [s for s, share in zip(SPLITS, fractions, strict=True) if share and s not in there]
    note = why_empty(dataset(videos), placed.videos, fractions)
    assert bool(note) == bool(empty)
    if empty:
        assert note.startswith(f"set: no video in {' and '.join(empty)}: ")
        assert f"are {len(components(videos))} group(s)" in note


def test_people_who_are_dealt_one_by_one_are_counted_where_a_split_is_empty():
    swapped = dataset([video(1), video(2), video(1, 2)], deal="identity")
    note = why_empty(swapped, split_videos(swapped).videos, FRACTIONS)
    assert "its 3 videos are of 2 people" in note


def test_a_list_of_the_data_set_s_own_that_leaves_a_split_empty_is_named():
    people = {str(i): "train" for i in range(3)}
    listed = dataset([video(i) for i in range(3)], official=people)
    note = why_empty(listed, split_videos(listed).videos, FRACTIONS)
    assert note == (
        "set: no video in val and test: the data set's own lists put none of its 3 there."
    )


def test_another_seed_deals_otherwise():
    videos = [video(i) for i in range(40)]
    assert split_videos(dataset(videos), seed=0) != split_videos(dataset(videos), seed=1)


@given(video_sets, video_sets, st.integers(0, 3))
def test_videos_of_an_earlier_set_keep_their_split_when_others_are_added(old, new, seed):
    before = {v.key: v.split for v in split_videos(dataset(old), seed=seed).videos}
    grown = list({v.id: v for v in [*old, *new]}.values())
    after = split_videos(dataset(grown), seed=seed + 1, keep=before)
    assert {v.key: v.split for v in after.videos if v.key in before} == before
    assert audit(after.videos)["crossings"] == []
    assert len(after.videos) + len(after.rejects) == len(grown)
    assert {reject.reason for reject in after.rejects} <= {"across_splits"}


def test_a_new_fake_of_two_people_in_two_splits_is_left_out_and_newcomers_join_their_friends():
    keep = {"set/1": "train", "set/2": "test"}
    videos = [video(1), video(2), video(1, 2), video(1, 3), video(3)]
    placed = split_videos(dataset(videos), keep=keep)
    assert {v.id: v.split for v in placed.videos} == {
        "1": "train",
        "2": "test",
        "1_3_Swap": "train",
        "3": "train",
    }
    (left_out,) = placed.rejects
    assert (left_out.video, left_out.reason) == ("set/1_2_Swap", "across_splits")
    assert "test and train" in left_out.detail


def test_official_people_decide_and_a_fake_across_their_splits_is_left_out_by_name():
    videos = [video(1), video(2), video(3), video(1, 2), video(1, 3), video(9)]
    official = {"1": "train", "2": "train", "3": "test"}
    placed = split_videos(dataset(videos, official=official), keep={"set/1": "val"})
    assert {v.id: v.split for v in placed.videos} == {
        "1": "train",
        "2": "train",
        "1_2_Swap": "train",
        "3": "test",
    }
    assert [(r.video, r.reason) for r in placed.rejects] == [
        ("set/1_3_Swap", "across_splits"),
        ("set/9", "unlisted"),
    ]


def test_people_dealt_one_by_one_lose_only_the_fakes_across_splits():
    videos = [video(a) for a in range(28)] + [video(a, b) for a in range(28) for b in range(a)]
    placed = split_videos(dataset(videos, deal="identity"))
    assert audit(placed.videos)["crossings"] == []
    where = {v.identities[0]: v.split for v in placed.videos if v.label == 0}
    assert len(where) == 28
    people = Counter(where.values())
    assert people["train"] > people["val"] > 0 and people["test"] > 0
    kept = {v.id for v in placed.videos}
    for fake in videos[28:]:
        assert (fake.id in kept) == (len({where[i] for i in fake.identities}) == 1)
    assert {r.reason for r in placed.rejects} == {"across_splits"}
    assert len(kept) + len(placed.rejects) == len(videos)


def test_videos_that_an_official_list_names_stay_and_the_rest_goes_to_the_open_splits():
    tests = [replace(video(i), split="test") for i in range(10)]
    placed = split_videos(
        dataset([*tests, *(video(i) for i in range(10, 110))], open_splits=("train", "val"))
    )
    count = Counter(v.split for v in placed.videos)
    assert count["test"] == 10 and all(v.split == "test" for v in placed.videos if int(v.id) < 10)
    assert count["train"] == pytest.approx(100 * 0.7 / 0.85, abs=1)


def test_grouping_by_source_lets_people_cross_but_no_recording():
    # One person in many recordings, each with its fake.
    videos = [replace(video(1), id=f"real{i}", source_id=f"real{i}") for i in range(20)]
    videos += [replace(video(1, 2), id=f"fake{i}", source_id=f"real{i}") for i in range(20)]
    together = split_videos(dataset(videos))
    assert {v.split for v in together.videos} == {"train"}
    apart = split_videos(dataset(videos), group_by="source")
    assert {v.split for v in apart.videos} == set(SPLITS)
    assert {c["kind"] for c in audit(apart.videos)["crossings"]} == {"identity"}


def test_the_audit_names_who_crosses_and_whether_the_official_list_did_it():
    videos = [
        replace(video(1), split="train"),
        replace(video(1, 2), split="test"),
        replace(video(2), split="val"),
    ]
    both = audit(videos)["crossings"]
    assert [(c["kind"], c["name"], c["splits"], c["official"]) for c in both] == [
        ("identity", "1", ["test", "train"], False),
        ("identity", "2", ["test", "val"], False),
        ("source", "1", ["test", "train"], False),
    ]
    listed = audit(videos, official=["set/1_2_Swap"])["crossings"]
    assert len(listed) == 3 and all(c["official"] for c in listed)


def test_the_audit_counts_videos_people_sources_labels_and_methods():
    placed = [replace(v, split="val") for v in (video(1), video(1, 2), video(1, 2, "Mask"))]
    assert audit(placed)["splits"]["val"] == {
        "videos": 3,
        "identities": 2,
        "sources": 1,
        "labels": {"real": 1, "fake": 2},
        "methods": {"Mask": 1, "Swap": 1, "original": 1},
    }


@pytest.mark.parametrize("fractions", [(0.5, 0.2, 0.2), (1.5, -0.5, 0.0)])
def test_fractions_that_are_no_distribution_are_refused(fractions):
    with pytest.raises(ValueError, match="add up to 1"):
        split_videos(dataset([video(1)]), fractions)


def test_a_share_for_official_splits_only_is_refused():
    with pytest.raises(ValueError, match="give one of these a share"):
        split_videos(dataset([video(1)], open_splits=("train", "val")), (0, 0, 1))
