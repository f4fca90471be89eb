"""Selection of a data set's videos by manipulation method and by compression."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from pipelines.clip import FAKE, REAL
from pipelines.datasets.base import Dataset, DatasetError
from pipelines.datasets.faceforensics import same_compression


def select(
    datasets: Sequence[Dataset], methods: Sequence[str] = (), compressions: Sequence[str] = ()
) -> list[Dataset]:
    """The datasets with the fakes of these methods only, and with the videos, real and fake, of
    these compressions only; none given means all.

    A dataset that loses all its videos, or all its fakes to `methods`, is left out. Letter case
    is ignored; raw and c0 are the same. Raises DatasetError for a name that is not there.
    """
    videos = [video for dataset in datasets for video in dataset.videos]
    wanted = _check_names("method", methods, {v.method for v in videos if v.label == FAKE})
    rates = _check_names(
        "compression",
        map(same_compression, compressions),
        {same_compression(v.compression) for v in videos},
    )
    kept = []
    for dataset in datasets:
        chosen = [
            video
            for video in dataset.videos
            if (not wanted or video.label == REAL or video.method.lower() in wanted)
            and (not rates or same_compression(video.compression).lower() in rates)
        ]
        had_fakes = any(video.label == FAKE for video in dataset.videos)
        lost = wanted and had_fakes and all(video.label == REAL for video in chosen)
        if chosen and not lost:
            kept.append(dataclasses.replace(dataset, videos=tuple(chosen)))
    return kept


def _check_names(kind: str, wanted: Iterable[str], there: set[str]) -> set[str]:
    """The wanted names in lower case. Raises DatasetError for one that is not there."""
    wanted = list(wanted)
    keys = {name.lower() for name in there}
    for name in wanted:
        if name.lower() not in keys:
            names = ", ".join(sorted(filter(None, there))) or "none named"
            raise DatasetError(f"No video has the {kind} {name!r}; there are: {names}.")
    return {name.lower() for name in wanted}
