"""Dataset adapters: from a root folder to Video records."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from pipelines.datasets import faceforensics, folder
from pipelines.datasets.base import Dataset, DatasetError

ADAPTERS: dict[str, ModuleType] = {m.NAME: m for m in (faceforensics, folder)}

__all__ = ["ADAPTERS", "Dataset", "DatasetError", "find_videos"]


def find_videos(root: str | Path, adapter: str = "auto") -> Dataset:
    """The dataset under `root`, read by the named adapter or by the one that fits.

    Raises DatasetError where nothing fits, or an id occurs twice.
    """
    root = Path(root)
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder. Give the dataset's root folder.")
    if adapter == "auto":
        fitting = [module for module in ADAPTERS.values() if module.matches(root)]
        if not fitting:
            found = ", ".join(sorted(p.name for p in root.iterdir())[:8]) or "nothing"
            raise DatasetError(
                f"{root}: holds {found}; expected original_sequences/ and "
                "manipulated_sequences/ (FaceForensics++), or real/ and fake/."
            )
        module = fitting[0]
    else:
        module = ADAPTERS[adapter]
    dataset: Dataset = module.find(root)
    ids: set[str] = set()
    for video in dataset.videos:
        if video.key in ids:
            raise DatasetError(f"{video.uri}: its id {video.key} occurs twice. Rename one.")
        ids.add(video.key)
    return dataset
