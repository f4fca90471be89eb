"""Metrics of slices of the videos: by data set, method, compression, split and face size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pipelines.clip import FAKE, REAL, Video
from pipelines.verdict import Verdict
from trainer.evaluation.bootstrap import Bootstrap
from trainer.evaluation.labelled_scores import LabelledScores
from trainer.evaluation.measurement import SliceMeasurement, measure
from trainer.evaluation.metrics import metrics_of_slices
from trainer.evaluation.result import Slice, Slices
from trainer.evaluation.scored import ScoredVideo

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
) -> SliceMeasurement:
    """The metrics of a slice. own: its videos, with and without a score. compared: what is
    measured, its own videos or, for fakes alone, these and the originals of their data set."""
    metrics = metrics_of_slices()
    measured = measure(LabelledScores.of_videos(compared, threshold), bootstrap, metrics)
    return SliceMeasurement(
        videos=len(own),
        real=measured.real,
        fake=measured.fake,
        inconclusive=sum(video.verdict == Verdict.INCONCLUSIVE for video in own),
        no_face=sum(video.score is None for video in own),
        too_small=sum(video.score is not None for video in own) < SMALL,
        not_defined=measured.not_defined,
        values={metric.name: measured.value(metric) for metric in metrics},
        intervals={metric.name: measured.interval(metric) for metric in metrics},
    )


def measure_slices(videos: Sequence[ScoredVideo], threshold: float, bootstrap: Bootstrap) -> Slices:
    """The videos cut by data set, method, compression, method and compression, split and face
    size; of methods only fakes are slices, compared with originals of their data set."""
    several = len({video.video.dataset for video in videos}) > 1

    def named(video: Video, name: str) -> str:
        return f"{video.dataset}/{name or 'unknown'}" if several else name or "unknown"

    def cut(
        chosen: Sequence[ScoredVideo], name_of: Callable[[ScoredVideo], str], with_originals: bool
    ) -> tuple[Slice, ...]:
        groups: dict[str, list[ScoredVideo]] = {}
        for video in chosen:
            groups.setdefault(name_of(video), []).append(video)
        slices = []
        for name, own in sorted(groups.items(), key=_order):
            compared = [*_originals(own, videos), *own] if with_originals else own
            measured = measure_slice(own, compared, threshold, bootstrap)
            slices.append(Slice(name=name, **vars(measured)))
        return tuple(slices)

    fakes = [video for video in videos if video.video.label == FAKE]
    scored = [video for video in videos if video.score is not None]
    return Slices(
        dataset=cut(videos, lambda v: v.video.dataset, False),
        method=cut(fakes, lambda v: named(v.video, v.video.method), True),
        compression=cut(videos, lambda v: named(v.video, v.video.compression), False),
        method_compression=cut(
            fakes,
            lambda v: named(v.video, f"{v.video.method} {v.video.compression or 'unknown'}"),
            True,
        ),
        split=cut(videos, lambda v: v.video.split, False),
        face_size=cut(scored, _face_size, False),
    )


def _order(group: tuple[str, Any]) -> tuple[int, str]:
    """By name, but sizes from small to large."""
    sizes = list(FACE_SIZES.values())
    return (sizes.index(group[0]) if group[0] in sizes else -1, group[0])


def _originals(fakes: Sequence[ScoredVideo], videos: Sequence[ScoredVideo]) -> list[ScoredVideo]:
    """The real videos that fakes are compared with: of the same dataset and, where there are some,
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
