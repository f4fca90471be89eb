"""Identity-disjoint assignment of videos to train, val and test splits."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from scipy.cluster.hierarchy import DisjointSet

from pipelines.clip import SPLITS, Reject, Video
from pipelines.datasets.base import Dataset
from pipelines.splits.rule import is_distribution

UNLISTED = ""  # the split of what no official list names

Ties = Callable[[Video], set[str]]


@dataclasses.dataclass(frozen=True)
class Assignment:
    """Videos with their split set, and those that belong to none, each with the reason."""

    videos: tuple[Video, ...]
    rejects: tuple[Reject, ...]


def split_videos(
    dataset: Dataset,
    fractions: tuple[float, float, float] = (0.7, 0.15, 0.15),
    seed: int = 0,
    group_by: str = "identity",
    keep: Mapping[str, str] | None = None,
) -> Assignment:
    """Deals a data set's videos to train, val and test.

    What the data set's own lists say stands. Of the rest, everything that shares an identity or a
    source, directly or in a chain, stays together (`Dataset.deal` "component"), or people are
    dealt one by one and fakes of two people in two splits are left out ("identity").
    group_by "source" ties by the original recording only.

    keep: video key -> split of an earlier data set. Those videos stay where they were, what is
    tied to them joins them, and a new video that would tie two splits together is left out.

    Deterministic, whatever the order of the input: groups are dealt by size, then by their hash
    with the seed. Raises ValueError where the fractions are no distribution.
    """
    if not is_distribution(fractions):
        raise ValueError(f"fractions are {fractions}; three shares that add up to 1 are needed.")
    ties = _ties(dataset, group_by)
    open_videos = sorted(v for v in dataset.videos if not v.split)
    kept: dict[str, str] = {}
    if dataset.official:
        split_of = {f"{dataset.name}/{name}": split for name, split in dataset.official.items()}
    else:
        kept = {v.key: keep[v.key] for v in open_videos if keep and v.key in keep}
        shares = _open_shares(dataset, fractions)
        by_person = _is_by_person(dataset, group_by)
        split_of = _split_ties(open_videos, ties, by_person, shares, seed, kept)
    videos: list[Video] = []
    rejects: list[Reject] = []
    for video in sorted(dataset.videos):
        splits = {split_of.get(tie, UNLISTED) for tie in ties(video)}
        split = video.split or kept.get(video.key) or (splits.pop() if len(splits) == 1 else None)
        if split:
            videos.append(dataclasses.replace(video, split=split))
        else:
            rejects.append(_left_out(video, splits))
    return Assignment(tuple(videos), tuple(rejects))


def why_empty(
    dataset: Dataset,
    placed: Iterable[Video],
    fractions: tuple[float, float, float],
    group_by: str = "identity",
) -> str:
    """Which splits that were to get videos got none, and why, as a sentence; "" where all have.

    placed: the data set's videos with their split, as `split_videos` gives them.
    """
    there = {video.split for video in placed}
    wanted = [split for split, share in zip(SPLITS, fractions, strict=True) if share > 0]
    empty = [split for split in wanted if split not in there]
    if not empty:
        return ""
    none = f"{dataset.name}: no video in {' and '.join(empty)}"
    dealt = [video for video in dataset.videos if not video.split]
    if dataset.official or not dealt or not set(empty) & set(dataset.open_splits):
        return f"{none}: the data set's own lists put none of its {len(dataset.videos)} there."
    ties = _ties(dataset, group_by)
    if _is_by_person(dataset, group_by):
        people = len(_people(dealt, ties))
        return f"{none}: its {len(dealt)} videos are of {people} people. Add videos of others."
    groups = _components(dealt, ties)
    largest = max(groups, key=lambda group: len(group.videos))
    shared = Counter(name for video in largest.videos for name in sorted(ties(video)))
    (name, times), *_ = shared.most_common(1)
    return (
        f"{none}: its {len(dealt)} videos are {len(groups)} group(s) that share people or sources, "
        f"in a chain, and are never divided. The largest has {len(largest.videos)}, {times} of "
        f"them with {name}. Add videos of other people, or name the people in a CSV manifest."
    )


def _is_by_person(dataset: Dataset, group_by: str) -> bool:
    return dataset.deal == "identity" and group_by == "identity"


def _left_out(video: Video, splits: set[str]) -> Reject:
    tied = sorted(splits - {UNLISTED})
    if len(tied) > 1:
        reason, detail = "across_splits", f"its people or sources are in {' and '.join(tied)}"
    else:
        reason, detail = "unlisted", "not in the official split lists"
    return Reject(video.key, video.uri, reason, "split", f"{detail}; left out.")


def _ties(dataset: Dataset, group_by: str) -> Ties:
    """What ties a video to others, by data set and name; at least its own key."""

    def ties(video: Video) -> set[str]:
        names = set(video.identities)
        if group_by == "source":
            names = {video.source_id}
        elif not dataset.official and dataset.deal == "component":
            names.add(video.source_id)
        return {f"{video.dataset}/{name}" for name in names if name} or {video.key}

    return ties


def _open_shares(dataset: Dataset, fractions: Sequence[float]) -> dict[str, float]:
    shares = {s: f for s, f in zip(SPLITS, fractions, strict=True) if s in dataset.open_splits}
    total = sum(shares.values())
    if total <= 0:
        raise ValueError(
            f"fractions are {tuple(fractions)}, but {dataset.name} has a list of its own for all "
            f"but {' and '.join(dataset.open_splits)}: give one of these a share."
        )
    return {split: share / total for split, share in shares.items()}


@dataclasses.dataclass
class _Group:
    """What is dealt as a whole. names: its ties. videos: what it weighs."""

    names: set[str]
    videos: list[Video]


def _split_ties(
    videos: list[Video],
    ties: Ties,
    by_person: bool,
    shares: Mapping[str, float],
    seed: int,
    kept: Mapping[str, str],
) -> dict[str, str]:
    """Tie -> split for the ties of the videos."""
    split_of: dict[str, str] = {}
    for video in videos:
        if video.key in kept:
            for tie in ties(video):
                split_of.setdefault(tie, kept[video.key])
    if by_person:
        groups = _people(videos, ties)
    else:
        _spread(videos, ties, split_of)
        crossing = {v.key for v in videos if len(_splits(ties(v), split_of)) > 1}
        groups = _components([v for v in videos if v.key not in crossing], ties)
    waiting = [group for group in groups if not _splits(group.names, split_of)]
    placed = [(video, kept[video.key]) for video in videos if video.key in kept]
    for group, split in _deal(waiting, shares, seed, placed):
        split_of.update(dict.fromkeys(group.names, split))
    return split_of


def _splits(names: set[str], split_of: Mapping[str, str]) -> set[str]:
    """The splits of those names that have one."""
    return {split_of[name] for name in names if name in split_of}


def _spread(videos: list[Video], ties: Ties, split_of: dict[str, str]) -> None:
    """Lets everything that is tied to one split alone join it, in a chain."""
    growing = bool(split_of)
    while growing:
        growing = False
        for video in videos:
            names = ties(video)
            splits = _splits(names, split_of)
            if len(splits) == 1 and not split_of.keys() >= names:
                split_of.update(dict.fromkeys(names, *splits))
                growing = True


def _people(videos: list[Video], ties: Ties) -> list[_Group]:
    """Each person a group; a fake weighs where its target is."""
    groups: dict[str, _Group] = {}
    for video in videos:
        target = f"{video.dataset}/{video.identities[0]}" if video.identities else video.key
        for name in sorted(ties(video)):
            group = groups.setdefault(name, _Group({name}, []))
            if name == target:
                group.videos.append(video)
    return list(groups.values())


def _components(videos: list[Video], ties: Ties) -> list[_Group]:
    """Groups of videos joined, directly or in a chain, by a tie."""
    joined = DisjointSet()
    for video in videos:
        first, *rest = ties(video)
        joined.add(first)
        for name in rest:
            joined.add(name)
            joined.merge(first, name)
    groups: dict[str, _Group] = {}
    for video in videos:
        names = ties(video)
        group = groups.setdefault(joined[min(names)], _Group(set(), []))
        group.names |= names
        group.videos.append(video)
    return list(groups.values())


def _deal(
    groups: list[_Group],
    shares: Mapping[str, float],
    seed: int,
    placed: Iterable[tuple[Video, str]],
) -> list[tuple[_Group, str]]:
    """Each group with a split, largest first, to where its labels and methods lack most.

    After Sechidis et al. 2011, "On the Stratification of Multi-Label Data". No split gets more
    than its share and the largest group. placed: what has its split already.
    """
    counts: dict[str, Counter] = {split: Counter() for split in shares}
    for video, split in placed:
        counts.setdefault(split, Counter())[_stratum(video)] += 1
    held = [Counter(map(_stratum, group.videos)) for group in groups]
    total = sum(held, sum(counts.values(), Counter()))
    whole = total.total()

    def order(index: int) -> tuple[int, bytes]:
        name = f"{seed}/{min(groups[index].names)}"
        return -len(groups[index].videos), hashlib.sha256(name.encode()).digest()

    dealt = []
    for index in sorted(range(len(groups)), key=order):
        lacks = {split: shares[split] * whole - counts[split].total() for split in shares}
        # Rounding apart, some split lacks as many videos as are left to deal.
        below = [split for split in shares if lacks[split] > 1e-9] or [
            max(lacks, key=lambda split: lacks[split])
        ]

        def need(split: str, here: Counter = held[index]) -> tuple[float, float]:
            gap = {k: shares[split] * total[k] - counts[split][k] for k in here}
            return sum(n * gap[k] / total[k] for k, n in here.items()), lacks[split]  # noqa: B023

        chosen = max(below, key=need)
        counts[chosen] += held[index]
        dealt.append((groups[index], chosen))
    return dealt


def _stratum(video: Video) -> tuple[int, str]:
    return video.label, video.method
