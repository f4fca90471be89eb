"""The figures of parts of a data set: by method, compression, size of the face and so on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pipelines.clip import FAKE, REAL, Video
from pipelines.verdict import Verdict
from trainer.evaluation.bootstrap import Bootstrap
from trainer.evaluation.metrics import score_metrics
from trainer.evaluation.scored import ScoredVideo

SLICE_METRICS = (
    "roc_auc",
    "average_precision",
    "eer",
    "tpr_at_fpr_05",
    "accuracy",
    "precision",
    "recall",
    "f1",
    "false_alarm_rate",
    "brier",
)
SMALL = 20  # videos with a score: a slice of fewer is marked
FACE_SIZES = {  # from so many px
    0: "under 64 px",
    64: "64 to 128 px",
    128: "128 to 256 px",
    256: "256 px or more",
}


def measure_slice(
    own: Sequence[ScoredVideo],
    compared: Sequence[ScoredVideo],
    threshold: float,
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    """The figures of a slice. own: its videos, with and without a score. compared: what is
    measured, its own videos or, for fakes alone, these and the originals they are told from."""
    scored = [video for video in compared if video.score is not None]
    labels = np.array([video.video.label for video in scored], int)
    scores = np.array([video.score for video in scored], float)
    sources = [video.video.source_key for video in scored]
    values = score_metrics(labels, scores, threshold)
    intervals = bootstrap.intervals(labels, scores, sources, threshold)
    return {
        "videos": len(own),
        "real": values["real"],
        "fake": values["fake"],
        "inconclusive": sum(video.verdict == Verdict.INCONCLUSIVE for video in own),
        "no_face": sum(video.score is None for video in own),
        "too_small": sum(video.score is not None for video in own) < SMALL,
        "not_defined": values["not_defined"],
        **{name: values[name] for name in SLICE_METRICS},
        "intervals": {name: intervals.get(name) for name in SLICE_METRICS},
    }


def slices(
    videos: Sequence[ScoredVideo], threshold: float, bootstrap: Bootstrap
) -> dict[str, list[dict[str, Any]]]:
    """The figures by dataset, method, compression, method and compression, split and face size."""
    several = len({video.video.dataset for video in videos}) > 1

    def named(video: Video, name: str) -> str:
        return f"{video.dataset}/{name or 'unknown'}" if several else name or "unknown"

    fakes = [video for video in videos if video.video.label == FAKE]
    names: dict[str, tuple[Sequence[ScoredVideo], Callable[[ScoredVideo], str]]] = {
        "dataset": (videos, lambda v: v.video.dataset),
        "method": (fakes, lambda v: named(v.video, v.video.method)),
        "compression": (videos, lambda v: named(v.video, v.video.compression)),
        "method_compression": (
            fakes,
            lambda v: named(v.video, f"{v.video.method} {v.video.compression or 'unknown'}"),
        ),
        "split": (videos, lambda v: v.video.split),
        "face_size": ([v for v in videos if v.score is not None], _face_size),
    }
    result = {}
    for dimension, (chosen, name_of) in names.items():
        groups: dict[str, list[ScoredVideo]] = {}
        for video in chosen:
            groups.setdefault(name_of(video), []).append(video)
        result[dimension] = [
            {
                "name": name,
                **measure_slice(
                    own,
                    [*_originals(own, videos), *own] if chosen is fakes else own,
                    threshold,
                    bootstrap,
                ),
            }
            for name, own in sorted(groups.items(), key=_order)
        ]
    return result


def _order(group: tuple[str, Any]) -> tuple[int, str]:
    """By name, but sizes from small to large."""
    sizes = list(FACE_SIZES.values())
    return (sizes.index(group[0]) if group[0] in sizes else -1, group[0])


def _originals(fakes: Sequence[ScoredVideo], videos: Sequence[ScoredVideo]) -> list[ScoredVideo]:
    """The real videos that fakes are told from: of the same dataset and, where there are some,
    of the same compression, for else the compression could give the fakes away."""
    datasets = {video.video.dataset for video in fakes}
    coded = {(video.video.dataset, video.video.compression) for video in fakes}
    real = [v for v in videos if v.video.label == REAL and v.video.dataset in datasets]
    alike = [v for v in real if (v.video.dataset, v.video.compression) in coded]
    return alike or real


def _face_size(video: ScoredVideo) -> str:
    if video.face_px is None:
        return "unknown"
    return FACE_SIZES[max(bound for bound in FACE_SIZES if video.face_px >= bound)]
