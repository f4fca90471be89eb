"""Leakage audit of splits: identities and source recordings that are in more than one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from pipelines.clip import LABEL_NAMES, SPLITS, Video


def audit(videos: Iterable[Video], official: Iterable[str] = ()) -> dict:
    """What the splits hold and which identities or sources cross them, as plain JSON.

    official: keys of the videos whose split is the data set's own choice.

    {"splits": {split: {"videos", "identities", "sources", "labels", "methods"}},
     "crossings": [{"kind", "dataset", "name", "splits", "official"}]}; a crossing is "official"
    where there is none without the official videos.
    """
    videos, official = list(videos), set(official)
    splits = {split: _counts([v for v in videos if v.split == split]) for split in SPLITS}
    everywhere = _splits_by_name(videos)
    dealt = _splits_by_name(video for video in videos if video.key not in official)
    crossings = [
        {
            "kind": kind,
            "dataset": dataset,
            "name": name,
            "splits": sorted(crossed),
            "official": len(dealt.get((kind, dataset, name), ())) < 2,
        }
        for (kind, dataset, name), crossed in sorted(everywhere.items())
        if len(crossed) > 1
    ]
    return {"splits": splits, "crossings": crossings}


def _counts(videos: Sequence[Video]) -> dict:
    return {
        "videos": len(videos),
        "identities": len({(v.dataset, i) for v in videos for i in v.identities}),
        "sources": len({(v.dataset, v.source_id) for v in videos if v.source_id}),
        "labels": {
            name: sum(video.label == label for video in videos)
            for label, name in LABEL_NAMES.items()
        },
        "methods": dict(sorted(Counter(video.method for video in videos).items())),
    }


def _splits_by_name(videos: Iterable[Video]) -> dict[tuple[str, str, str], set[str]]:
    """The splits of each (kind, data set, name) of identity and source."""
    splits: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for video in videos:
        for identity in video.identities:
            splits["identity", video.dataset, identity].add(video.split)
        if video.source_id:
            splits["source", video.dataset, video.source_id].add(video.split)
    return splits
