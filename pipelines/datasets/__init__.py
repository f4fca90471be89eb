"""Data sets: the registry of adapters, which read a root folder or CSV manifest into Videos."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from pipelines.clip import LABEL_NAMES, Reject, Video
from pipelines.datasets import (
    celeb_df,
    deeperforensics,
    df40,
    dfd,
    dfdc,
    faceforensics,
    folder,
    forgerynet,
    manifest,
    wild_deepfake,
)
from pipelines.datasets.accounting import account, inventory
from pipelines.datasets.base import Adapter, Dataset, DatasetError, NoVideosError
from pipelines.datasets.lists import first_few
from pipelines.datasets.manifest import write_manifest
from pipelines.datasets.same_file import one_per_file
from pipelines.datasets.selection import select
from pipelines.datasets.text_names import in_text
from pipelines.names import escape

_MODULES: tuple[Adapter, ...] = (
    faceforensics,
    dfd,
    celeb_df,
    dfdc,
    deeperforensics,
    df40,
    forgerynet,
    wild_deepfake,
    folder,
    manifest,
)
ADAPTERS = {adapter.NAME: adapter for adapter in _MODULES}

__all__ = ["ADAPTERS", "Dataset", "DatasetError", "find_videos", "select", "write_manifest"]


def find_videos(root: str | Path, adapter: str = "auto") -> list[Dataset]:
    """The datasets under `root`, read by the named adapter or by each one that fits.

    root: a folder or a CSV manifest, local or on any of Beam's file systems. Raises DatasetError
    where nothing fits or a data set's own list is damaged. Every video file under a folder is a
    video of one of them, or a reject.
    """
    if "://" in str(root):
        # Here, for it loads Beam (1.3 s), and the adapters' names are in the commands' help.
        from pipelines.datasets.remote import in_terms_of, mirrored

        with mirrored(str(root)) as mirror:
            return [in_terms_of(str(root), mirror, d) for d in find_videos(mirror, adapter)]
    root = Path(root)
    if not root.exists():
        raise DatasetError(
            f"{root}: no such folder or file. Give the dataset's root folder or a CSV manifest."
        )
    fitting = _fitting(root, adapter)
    datasets: list[Dataset] = []
    empty: list[str] = []
    for candidate in fitting:
        try:
            datasets.append(_without_twins(_one_per_file(candidate, root)))
        except NoVideosError as error:
            empty.append(str(error))
    if not datasets:
        raise NoVideosError(" ".join(empty) + inventory(root))
    if root.is_dir():
        datasets = account(root, datasets, [candidate.LAYOUT for candidate in fitting])
        datasets = [in_text(dataset) for dataset in datasets]
    datasets[0] = dataclasses.replace(datasets[0], notes=(*datasets[0].notes, *empty))
    return datasets


def _one_per_file(adapter: Adapter, root: Path) -> Dataset:
    """What the adapter finds, each file once."""
    dataset = adapter.find(root)
    if adapter is manifest:  # which knows the lines of files that are there twice
        return dataset
    videos, twins = one_per_file((escape(video.uri), video) for video in sorted(dataset.videos))
    return dataclasses.replace(dataset, videos=tuple(videos), rejects=(*dataset.rejects, *twins))


def _fitting(root: Path, adapter: str) -> list[Adapter]:
    if adapter not in ("auto", *ADAPTERS):
        raise DatasetError(f"No adapter {adapter!r}; there are: auto, {', '.join(ADAPTERS)}.")
    wanted = ADAPTERS if adapter == "auto" else {adapter: ADAPTERS[adapter]}
    fitting = [candidate for candidate in wanted.values() if candidate.matches(root)]
    if fitting:
        return fitting
    names = sorted(os.listdir(root)) if root.is_dir() else []
    contents = f"holds {first_few(names, 8) or 'nothing'}" if root.is_dir() else "is a file"
    expected = ", or ".join(candidate.LAYOUT for candidate in wanted.values())
    raise DatasetError(f"{root}: {contents}; expected {expected}." + inventory(root))


def _without_twins(dataset: Dataset) -> Dataset:
    """The dataset with each id once, and a note where a class is lacking."""
    kept: dict[str, Video] = {}
    twins = []
    for video in sorted(dataset.videos):
        first = kept.setdefault(video.key, video)
        if first is not video:
            why = (
                f"Its id is also that of {escape(first.uri)}, which is kept. Rename or remove one."
            )
            twins.append(Reject(video.key, video.uri, "duplicate_id", "dataset", why))
    there = {video.label for video in kept.values()}
    notes = [
        f"{dataset.name}: no {word} videos; both classes are needed to train."
        for label, word in LABEL_NAMES.items()
        if label not in there
    ]
    return dataclasses.replace(
        dataset,
        videos=tuple(kept.values()),
        rejects=tuple(sorted([*dataset.rejects, *twins])),
        notes=(*dataset.notes, *notes),
    )
