"""Accounting for every video file under a root: each is a video, a reject, or in the refusal.

Adapters look where their data set keeps its videos. What lies elsewhere is named here, so that no
part of a data set is left out without a word.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from pipelines.clip import LABEL_NAMES, Reject, Video
from pipelines.datasets.base import Dataset, DatasetError
from pipelines.datasets.face_images import instead_of_videos
from pipelines.datasets.lists import first_few
from pipelines.datasets.scan import refused, uri, video_files

UNCLAIMED = "unclaimed"
MOST_FOLDERS = 40  # in a refusal


def account(root: Path, datasets: Sequence[Dataset], layouts: Sequence[str]) -> list[Dataset]:
    """The datasets with every video file under the folder `root` in one of them.

    A file that several of them take is a video of the first, and only where none does it is a
    reject. One that none knows is an `unclaimed` reject of the first. layouts: what they expect.
    Raises DatasetError for a file that is real to one of them and fake to another.
    """
    where = _place()
    wanted: dict[str, Video] = {}
    for video in (video for dataset in datasets for video in dataset.videos):
        first_taken = wanted.setdefault(where(video.uri), video)
        if first_taken.label != video.label:
            raise DatasetError(
                f"{video.uri}: {LABEL_NAMES[first_taken.label]} as {first_taken.key}, but "
                f"{LABEL_NAMES[video.label]} as {video.key}. Say with --dataset which is meant, or "
                "move one data set out of the folder."
            )
    seen: set[str] = set()
    accounted: list[Dataset] = []
    stray: list[Reject] = []  # of data sets that are left without a video, and of none
    for dataset in datasets:
        videos = [video for video in dataset.videos if where(video.uri) not in seen]
        seen |= {where(video.uri) for video in videos}
        known = seen.union(wanted)
        rejects = [r for r in dataset.rejects if where(r.uri) not in known]
        seen |= {where(reject.uri) for reject in rejects}
        if videos:
            accounted.append(
                dataclasses.replace(dataset, videos=tuple(videos), rejects=tuple(rejects))
            )
        else:
            stray += rejects
    why = (
        f"It lies where no data set keeps its videos; read was {', or '.join(layouts)}. Move it "
        "there, or list it in a CSV manifest."
    )
    stray += [
        refused(datasets[0].name, root, file, UNCLAIMED, why)
        for file in video_files(root)
        if where(uri(root, file)) not in seen
    ]
    first, *others = accounted
    return [dataclasses.replace(first, rejects=tuple(sorted([*first.rejects, *stray]))), *others]


def inventory(root: Path) -> str:
    """Sentences on what a root that cannot be read holds: its video files by the folders they are
    in, or by the root's own folders where they are many, and images or archives in their place."""
    if not root.is_dir():
        return ""
    files = video_files(root)
    counts = Counter(os.path.dirname(file) or "." for file in files)
    if len(counts) > MOST_FOLDERS:
        counts = Counter(file.split("/")[0] if "/" in file else "." for file in files)
    folders = [f"{folder}/ ({count})" for folder, count in sorted(counts.items())]
    there = f" Video files are in {first_few(folders, MOST_FOLDERS)}." if folders else ""
    images = instead_of_videos(root, [""])
    return there + (f" {images}." if images else "")


def _place() -> Callable[[str], str]:
    """Where a file is, whichever linked folders its path goes through."""
    real_folder = functools.cache(os.path.realpath)

    @functools.cache
    def where(file: str) -> str:
        folder, name = os.path.split(file)
        return os.path.join(real_folder(folder), name)

    return where
