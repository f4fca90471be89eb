"""Dataset adapters: from a root folder, or a CSV manifest, to Video records."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from types import ModuleType

from pipelines.clip import LABEL_NAMES, Reject, Video
from pipelines.datasets import celeb_df, dfd, dfdc, faceforensics, folder, manifest
from pipelines.datasets.base import Dataset, DatasetError
from pipelines.datasets.lists import first_few
from pipelines.datasets.manifest import write_manifest
from pipelines.datasets.selection import select

ADAPTERS: dict[str, ModuleType] = {
    module.NAME: module for module in (faceforensics, dfd, celeb_df, dfdc, folder, manifest)
}
LAYOUTS = {  # adapter -> what it reads, in short
    faceforensics.NAME: "original_sequences/youtube/ and manipulated_sequences/ (FaceForensics++)",
    dfd.NAME: "actors/ and DeepFakeDetection/ (DeepFakeDetection)",
    celeb_df.NAME: "Celeb-real/, Celeb-synthesis/ and YouTube-real/ (Celeb-DF)",
    dfdc.NAME: "dfdc_train_part_<N>/ with metadata.json, test/ with labels.csv (DFDC)",
    folder.NAME: "real/ and fake/",
    manifest.NAME: "a CSV file with the columns uri and label",
}

__all__ = ["ADAPTERS", "Dataset", "DatasetError", "find_videos", "select", "write_manifest"]


def find_videos(root: str | Path, adapter: str = "auto") -> list[Dataset]:
    """The datasets under `root`, read by the named adapter or by each one that fits.

    root: a folder or a CSV manifest, local or on any of Beam's file systems. Raises DatasetError
    where nothing fits or a data set's own list is damaged.
    """
    if "://" in str(root):
        from pipelines.datasets.remote import in_terms_of, mirrored  # loads Beam

        with mirrored(str(root)) as mirror:
            return [in_terms_of(str(root), mirror, d) for d in find_videos(mirror, adapter)]
    root = Path(root)
    if not root.exists():
        raise DatasetError(
            f"{root}: no such folder or file. Give the dataset's root folder or a CSV manifest."
        )
    return [_without_twins(module.find(root)) for module in _fitting(root, adapter)]


def _fitting(root: Path, adapter: str) -> list[ModuleType]:
    if adapter not in ("auto", *ADAPTERS):
        raise DatasetError(f"No adapter {adapter!r}; there are: auto, {', '.join(ADAPTERS)}.")
    wanted = ADAPTERS if adapter == "auto" else {adapter: ADAPTERS[adapter]}
    fitting = [module for module in wanted.values() if module.matches(root)]
    if fitting:
        return fitting
    names = sorted(os.listdir(root)) if root.is_dir() else []
    found = f"holds {first_few(names, 8) or 'nothing'}" if root.is_dir() else "is a file"
    expected = ", or ".join(LAYOUTS[name] for name in wanted)
    raise DatasetError(f"{root}: {found}; expected {expected}.")


def _without_twins(dataset: Dataset) -> Dataset:
    """The dataset with each id once, and a note where a class is lacking."""
    kept: dict[str, Video] = {}
    twins = []
    for video in sorted(dataset.videos):
        first = kept.setdefault(video.key, video)
        if first is not video:
            why = f"Its id is also that of {first.uri}, which is kept. Rename or remove one."
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
