"""Who goes where: identity-disjoint train, val and test splits, and the audit of them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping

from pipelines.clip import SPLITS, Video


def split_videos(
    videos: Iterable[Video],
    official: Mapping[str, str] | None = None,
    fractions: tuple[float, float, float] = (0.7, 0.15, 0.15),
    seed: int = 0,
) -> tuple[list[Video], list[tuple[Video, str]]]:
    """Videos with their split set, and those left out, each with the reason.

    With official splits (identity -> split) a video belongs where all its identities do.
    Otherwise videos joined by an identity or a source form a component, and the hash of a
    component's smallest identity deals it: no identity crosses, input order is irrelevant.
    Raises ValueError where the fractions are no distribution.
    """
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"fractions are {fractions}; three shares that add up to 1 are needed.")
    if official:
        return _official(videos, official)
    placed: list[Video] = []
    for component in _components(videos):
        name = min(i for video in component for i in _names(video))
        split = _deal(f"{seed}/{name}", fractions)
        placed.extend(dataclasses.replace(video, split=split) for video in component)
    return sorted(placed), []


def _official(
    videos: Iterable[Video], official: Mapping[str, str]
) -> tuple[list[Video], list[tuple[Video, str]]]:
    placed, left_out = [], []
    for video in videos:
        splits = {official.get(identity, "") for identity in video.identities}
        if len(splits) == 1 and "" not in splits:
            placed.append(dataclasses.replace(video, split=splits.pop()))
        elif "" in splits:
            left_out.append((video, "not in the official split lists"))
        else:
            left_out.append((video, f"its identities are in {' and '.join(sorted(splits))}"))
    return sorted(placed), sorted(left_out)


def _names(video: Video) -> set[str]:
    """What ties a video to others, told apart by dataset."""
    ties = {f"{video.dataset}/{i}" for i in (*video.identities, video.source_id) if i}
    return ties or {video.key}


def _components(videos: Iterable[Video]) -> list[list[Video]]:
    """Groups of videos joined, directly or in a chain, by a shared identity or source."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    videos = list(videos)
    for video in videos:
        first, *rest = sorted(_names(video))
        for name in rest:
            parent[root(name)] = root(first)
    groups: dict[str, list[Video]] = defaultdict(list)
    for video in videos:
        groups[root(min(_names(video)))].append(video)
    return list(groups.values())


def _deal(name: str, fractions: tuple[float, float, float]) -> str:
    point = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64
    for split, end in zip(SPLITS, (fractions[0], fractions[0] + fractions[1]), strict=False):
        if point < end:
            return split
    return SPLITS[-1]


def audit(videos: Iterable[Video]) -> dict:
    """What the splits hold and which identities or sources cross them, as plain JSON.

    {"splits": {split: {"videos", "identities", "sources", "methods"}}, "crossings": [...]}
    """
    videos = list(videos)
    where: dict[tuple[str, str], set[str]] = defaultdict(set)
    for video in videos:
        for identity in video.identities:
            where["identity", f"{video.dataset}/{identity}"].add(video.split)
        if video.source_id:
            where["source", f"{video.dataset}/{video.source_id}"].add(video.split)
    splits = {}
    for split in SPLITS:
        members = [video for video in videos if video.split == split]
        methods: dict[str, int] = defaultdict(int)
        for video in members:
            methods[video.method] += 1
        splits[split] = {
            "videos": len(members),
            "identities": len({i for video in members for i in video.identities}),
            "sources": len({video.source_id for video in members if video.source_id}),
            "methods": dict(sorted(methods.items())),
        }
    crossings = [
        {"kind": kind, "name": name, "splits": sorted(found)}
        for (kind, name), found in sorted(where.items())
        if len(found) > 1
    ]
    return {"splits": splits, "crossings": crossings}
