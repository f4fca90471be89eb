"""Who goes where: identity-disjoint train, val and test splits, and the audit of them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from pipelines.clip import LABEL_NAMES, SPLITS, Reject, Video
from pipelines.datasets.base import Dataset

GROUPINGS = ("identity", "source")
NOWHERE = ""  # the split of what no official list names

Ties = Callable[[Video], set[str]]


@dataclasses.dataclass(frozen=True)
class Placement:
    """Videos with their split set, and those that belong to none, each with the reason."""

    videos: tuple[Video, ...]
    rejects: tuple[Reject, ...]


def is_distribution(fractions: Sequence[float]) -> bool:
    """Whether they are shares of one whole."""
    return min(fractions) >= 0 and abs(sum(fractions) - 1) <= 1e-6


def split_videos(
    dataset: Dataset,
    fractions: tuple[float, float, float] = (0.7, 0.15, 0.15),
    seed: int = 0,
    group_by: str = "identity",
    keep: Mapping[str, str] | None = None,
) -> Placement:
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
        where = {f"{dataset.name}/{name}": split for name, split in dataset.official.items()}
    else:
        kept = {v.key: keep[v.key] for v in open_videos if keep and v.key in keep}
        shares = _open_shares(dataset, fractions)
        by_person = dataset.deal == "identity" and group_by == "identity"
        where = _places(open_videos, ties, by_person, shares, seed, kept)
    videos: list[Video] = []
    rejects: list[Reject] = []
    for video in sorted(dataset.videos):
        splits = {where.get(tie, NOWHERE) for tie in ties(video)}
        split = video.split or kept.get(video.key) or (splits.pop() if len(splits) == 1 else None)
        if split:
            videos.append(dataclasses.replace(video, split=split))
        else:
            rejects.append(_left_out(video, splits))
    return Placement(tuple(videos), tuple(rejects))


def _left_out(video: Video, splits: set[str]) -> Reject:
    known = sorted(splits - {NOWHERE})
    if len(known) > 1:
        reason, detail = "across_splits", f"its people or sources are in {' and '.join(known)}"
    else:
        reason, detail = "unlisted", "not in the official split lists"
    return Reject(video.key, video.uri, reason, "split", f"{detail}; left out.")


def _ties(dataset: Dataset, group_by: str) -> Ties:
    """What ties a video to others, told apart by data set; at least its own name."""

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


def _places(
    videos: list[Video],
    ties: Ties,
    by_person: bool,
    shares: Mapping[str, float],
    seed: int,
    kept: Mapping[str, str],
) -> dict[str, str]:
    """Tie -> split for the ties of the videos."""
    where: dict[str, str] = {}
    for video in videos:
        if video.key in kept:
            for tie in ties(video):
                where.setdefault(tie, kept[video.key])
    if by_person:
        groups = _people(videos, ties)
    else:
        _spread(videos, ties, where)
        crossing = {v.key for v in videos if len(_known(ties(v), where)) > 1}
        groups = _components([v for v in videos if v.key not in crossing], ties)
    waiting = [group for group in groups if not _known(group.names, where)]
    placed = [(video, kept[video.key]) for video in videos if video.key in kept]
    for group, split in _deal(waiting, shares, seed, placed):
        where.update(dict.fromkeys(group.names, split))
    return where


def _known(names: set[str], where: Mapping[str, str]) -> set[str]:
    """The splits of those names that have one."""
    return {where[name] for name in names if name in where}


def _spread(videos: list[Video], ties: Ties, where: dict[str, str]) -> None:
    """Lets everything that is tied to one split alone join it, in a chain."""
    growing = bool(where)
    while growing:
        growing = False
        for video in videos:
            names = ties(video)
            known = _known(names, where)
            if len(known) == 1 and not where.keys() >= names:
                where.update(dict.fromkeys(names, *known))
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
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for video in videos:
        first, *rest = sorted(ties(video))
        for name in rest:
            parent[root(name)] = root(first)
    groups: dict[str, _Group] = {}
    for video in videos:
        names = ties(video)
        group = groups.setdefault(root(min(names)), _Group(set(), []))
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


def audit(videos: Iterable[Video], official: Iterable[str] = ()) -> dict:
    """What the splits hold and which identities or sources cross them, as plain JSON.

    official: keys of the videos whose split is the data set's own choice.

    {"splits": {split: {"videos", "identities", "sources", "labels", "methods"}},
     "crossings": [{"kind", "dataset", "name", "splits", "official"}]}; a crossing is "official"
    where there is none without the official videos.
    """
    videos, official = list(videos), set(official)
    splits = {}
    for split in SPLITS:
        members = [video for video in videos if video.split == split]
        splits[split] = {
            "videos": len(members),
            "identities": len({(v.dataset, i) for v in members for i in v.identities}),
            "sources": len({(v.dataset, v.source_id) for v in members if v.source_id}),
            "labels": {
                name: sum(video.label == label for video in members)
                for label, name in LABEL_NAMES.items()
            },
            "methods": dict(sorted(Counter(video.method for video in members).items())),
        }
    everywhere = _whereabouts(videos)
    dealt = _whereabouts(video for video in videos if video.key not in official)
    crossings = [
        {
            "kind": kind,
            "dataset": dataset,
            "name": name,
            "splits": sorted(found),
            "official": len(dealt.get((kind, dataset, name), ())) < 2,
        }
        for (kind, dataset, name), found in sorted(everywhere.items())
        if len(found) > 1
    ]
    return {"splits": splits, "crossings": crossings}


def _whereabouts(videos: Iterable[Video]) -> dict[tuple[str, str, str], set[str]]:
    """The splits of each (kind, data set, name) of identity and source."""
    where: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for video in videos:
        for identity in video.identities:
            where["identity", video.dataset, identity].add(video.split)
        if video.source_id:
            where["source", video.dataset, video.source_id].add(video.split)
    return where
