"""Face images in the place of videos: what a refusal says of data sets that are passed on so."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pipelines.datasets.lists import first_few
from pipelines.datasets.scan import is_picture, walk

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip", ".7z", ".rar")


def instead_of_videos(root: Path, folders: Iterable[str]) -> str:
    """A sentence on the folders of images and the archives under `folders`; empty without any.

    Those of which a video or a folder of the same name is there are done with.
    """
    images: list[str] = []
    archives: list[str] = []
    for folder in folders:
        for below, names in walk(root, folder):
            has_images = any(map(is_picture, names))
            if has_images and not (root / f"{below}.mkv").exists():
                images.append(f"{below or '.'}/")
            archives += [
                os.path.join(below, name)
                for name in names
                if name.lower().endswith(ARCHIVES) and not (root / below / _name(name)).is_dir()
            ]
    there = []
    if images:
        there.append(
            f"{len(images)} folders of images ({first_few(images)}): make a video of each, in its "
            "place, with examples/images_to_videos.py"
        )
    if archives:
        there.append(f"{len(archives)} archives ({first_few(archives)}): unpack them in place")
    return f"Not read are {', and '.join(there)}" if there else ""


def _name(archive: str) -> str:
    return archive.split(".")[0]
