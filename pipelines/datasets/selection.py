"""Which of the videos found are wanted: by method and by compression."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

from pipelines.clip import FAKE, REAL, Video
from pipelines.datasets.base import Dataset, DatasetError
from pipelines.datasets.faceforensics import same_compression


def select(
    datasets: Sequence[Dataset], methods: Sequence[str] = (), compressions: Sequence[str] = ()
) -> list[Dataset]:
    """The datasets with the fakes of these methods and compressions only; none given means all.

    Real videos stay, except in a dataset that loses all its fakes to `methods`: it is left out.
    Letter case is ignored; raw and c0 are the same. Raises DatasetError for a name that no fake
    has.
    """
    fakes = [video for dataset in datasets for video in dataset.videos if video.label == FAKE]
    method_keys = _known("method", methods, {v.method for v in fakes})
    rates = {same_compression(v.compression) for v in fakes}
    rate_keys = _known("compression", map(same_compression, compressions), rates)
    kept = []
    for dataset in datasets:
        videos = dataset.videos
        if methods:
            videos = _without_fakes(videos, lambda v: v.method.lower() not in method_keys)
            if len(videos) < len(dataset.videos) and all(v.label == REAL for v in videos):
                continue
        if rate_keys:
            videos = _without_fakes(
                videos, lambda v: same_compression(v.compression) not in rate_keys
            )
        notes = (*dataset.notes, *_rates_note(dataset.name, videos, rate_keys))
        kept.append(dataclasses.replace(dataset, videos=videos, notes=notes))
    return kept


def _without_fakes(
    videos: Iterable[Video], is_unwanted: Callable[[Video], bool]
) -> tuple[Video, ...]:
    return tuple(v for v in videos if v.label == REAL or not is_unwanted(v))


def _known(kind: str, wanted: Iterable[str], there: set[str]) -> set[str]:
    """The wanted names in lower case, once each is known to be there."""
    wanted = list(wanted)
    keys = {name.lower() for name in there}
    for name in wanted:
        if name.lower() not in keys:
            names = ", ".join(sorted(filter(None, there))) or "none named"
            raise DatasetError(f"No fake has the {kind} {name!r}; there are: {names}.")
    return {name.lower() for name in wanted}


def _rates_note(name: str, videos: Iterable[Video], rates: set[str]) -> list[str]:
    other = {same_compression(v.compression) for v in videos if v.label == REAL} - rates
    if not rates or not other:
        return []
    return [
        f"{name}: real videos of compression {', '.join(sorted(other)) or 'unknown'} stay beside "
        f"fakes of {', '.join(sorted(rates))}; compression alone may tell them apart."
    ]
