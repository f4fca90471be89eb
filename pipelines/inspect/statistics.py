"""Statistics of a data set: sizes, class balance, faces, rejects, the leakage audit in short."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.clip import LABEL_NAMES, SPLITS, Clip, Video
from pipelines.shards.layout import AUDIT_NAME, REJECTS_NAME, split_of
from pipelines.shards.open import read_json_object

FIRST = 3  # names given of the rejects for a reason
FEW = 0.1  # a class with a smaller share of a split's videos is warned of


@dataclasses.dataclass
class Tally:
    """What the records of a split hold."""

    videos: dict[str, Video] = dataclasses.field(default_factory=dict)  # by key
    clip_labels: Counter[int] = dataclasses.field(default_factory=Counter)
    frames_with_face: int = 0
    lengths: Counter[int] = dataclasses.field(default_factory=Counter)  # frames of a clip
    sides_px: Counter[int] = dataclasses.field(default_factory=Counter)  # longer side of a box

    def add(self, video: Video, clip: Clip) -> None:
        self.videos[video.key] = video
        self.clip_labels[video.label] += 1
        self.lengths[len(clip.images)] += 1
        boxes = clip.boxes[clip.has_crop]
        self.frames_with_face += len(boxes)
        sides = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
        self.sides_px.update(np.rint(sides).astype(int).tolist())

    def counts(self) -> dict[str, Any]:
        """In the shape of `info["splits"][split]`."""
        videos = self.videos.values()
        labels = Counter(video.label for video in videos)
        return {
            "videos": len(videos),
            "clips": self.clip_labels.total(),
            "identities": len({(v.dataset, name) for v in videos for name in v.identities}),
            "sources": len({v.source_key for v in videos}),
            "labels": {word: labels[label] for label, word in LABEL_NAMES.items()},
            "clip_labels": {word: self.clip_labels[label] for label, word in LABEL_NAMES.items()},
            "methods": dict(Counter(video.method for video in videos)),
            "datasets": dict(Counter(video.dataset for video in videos)),
        }

    def statistics(self) -> dict[str, Any]:
        frames = sum(length * count for length, count in self.lengths.items())
        return {
            "frames_per_clip": quantiles(self.lengths, min=0.0, median=0.5, max=1.0),
            "found_share": self.frames_with_face / frames if frames else None,
            "face_side_px": quantiles(self.sides_px, p10=0.1, median=0.5, p90=0.9),
        }


def quantiles(counts: Counter[int], **shares: float) -> dict[str, int | None]:
    """For each share the smallest value that so many of the counted do not exceed; else None."""
    values = sorted(counts)
    up_to = np.cumsum([counts[value] for value in values])
    return {
        name: values[np.searchsorted(up_to, share * up_to[-1])] if values else None
        for name, share in shares.items()
    }


def statistics(folder: Path, info: dict[str, Any]) -> dict[str, Any]:
    """Sizes, class balance, rejects and the audit in short: what needs no record."""
    splits = {}
    for split in SPLITS:
        size = sum(
            shard["bytes"] for name, shard in info["shards"].items() if split_of(name) == split
        )
        part = info["splits"][split]
        splits[split] = {
            "bytes": size,
            "bytes_per_clip": size / part["clips"] if part["clips"] else None,
            "fake_share": part["labels"]["fake"] / part["videos"] if part["videos"] else None,
        }
    return {
        "splits": splits,
        "rejects": rejects_by_reason(folder / REJECTS_NAME),
        "audit": _audit(folder / AUDIT_NAME),
        "warnings": list(imbalances(info)),
    }


def imbalances(info: dict[str, Any]) -> Iterator[str]:
    """Splits that lack a class or nearly so."""
    for split in SPLITS:
        part = info["splits"][split]
        videos = part["videos"]
        if not videos:
            yield f"split {split} is empty; see --split-fractions of `dfdetect preprocess`."
        for word, count in part["labels"].items() if videos else ():
            if count < FEW * videos:
                use = "what is measured there says little" if count else "it needs both classes"
                yield (
                    f"split {split}: {count} of {videos} videos are {word} ({count / videos:.0%}); "
                    f"{use}. Add {word} videos."
                )


def rejects_by_reason(path: Path) -> dict[str, Any]:
    """Reason -> how many, and the first few videos' names."""
    reasons: dict[str, Any] = {}
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    for number, line in enumerate(lines, 1):
        try:
            reason, video = (str(json.loads(line)[key]) for key in ("reason", "video"))
        except (ValueError, KeyError, TypeError):
            reason, video = "not a reject", f"line {number}"  # so that the counts do not agree
        about = reasons.setdefault(reason, {"count": 0, "first": []})
        about["count"] += 1
        about["first"] += [video] if about["count"] <= FIRST else []
    return reasons


def _audit(path: Path) -> dict[str, int | None] | None:
    """How much of split_audit.json speaks against the splits; None where it is not there.

    near_duplicates is None where they were not looked for.
    """
    if not path.is_file():
        return None
    audit = read_json_object(path)
    crossings, duplicates = audit.get("crossings", []), audit.get("duplicates")
    official = sum(bool(crossing.get("official")) for crossing in crossings)
    return {
        "crossings": len(crossings) - official,
        "official_crossings": official,
        "near_duplicates": None if duplicates is None else len(duplicates["pairs"]),
        "missing_videos": sum(map(len, audit.get("missing", {}).values())),
    }
