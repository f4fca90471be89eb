"""Export of every crop as a file, with a table of them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pipelines.atomic import replacing_folder
from pipelines.clip import LABEL_NAMES, REAL, Clip, Video
from pipelines.csv_cells import csv_line

INDEX_NAME = "index.csv"
INDEX = (
    *("path", "split", "label", "method", "dataset", "video", "clip", "track", "frame"),
    *("time_s", "x1", "y1", "x2", "y2", "confidence"),
)


def require_free(folder: str | Path, overwrite: bool) -> None:
    """Raises ValueError where `export_frames` may not write: only an earlier export is replaced."""
    folder = Path(folder)
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not _is_export(folder):
        raise ValueError(
            f"{folder}: is there and no earlier export (it has no {INDEX_NAME} of one), so it is "
            "not replaced. Give a new or empty folder."
        )
    if not overwrite:
        raise ValueError(
            f"{folder}: holds an earlier export. Give a new folder, or --overwrite to replace it."
        )


def _is_export(folder: Path) -> bool:
    try:
        with open(folder / INDEX_NAME, encoding="utf-8") as handle:
            return handle.readline() == ",".join(INDEX) + "\n"
    except (OSError, UnicodeDecodeError):
        return False


def export_frames(
    clips: Iterable[tuple[Video, Clip]], folder: str | Path, overwrite: bool = False
) -> int:
    """Writes every crop, byte for byte as it is in the shards, and index.csv -> how many crops.

    <split>/<real or the method>/<video>/clip<i>_track<j>_frame<k>.jpg; a video's folder is its id
    in plain letters and eight digits that tell it from all others. The folder appears when all
    of it is written. Raises ValueError as `require_free`, and where there is nothing to write.
    """
    require_free(folder, overwrite)
    folder = Path(os.path.abspath(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(folder) as temporary:
        count = _write_frames(clips, temporary)
        if not count:
            raise ValueError(f"{folder}: no crop was asked for, so it is not written.")
    return count


def _write_frames(clips: Iterable[tuple[Video, Clip]], folder: Path) -> int:
    count = 0
    with open(folder / INDEX_NAME, "w", newline="", encoding="utf-8") as handle:
        handle.write(csv_line(INDEX))
        for video, clip in clips:
            place = Path(video.split, _method(video), _plain(video.id, video.key))
            (folder / place).mkdir(parents=True, exist_ok=True)
            about = (video.split, LABEL_NAMES[video.label], video.method, video.dataset, video.id)
            for t, image in enumerate(clip.images):
                if not image:
                    continue
                name = f"clip{clip.index}_track{clip.track}_frame{t}{_suffix(image)}"
                (folder / place / name).write_bytes(image)
                numbers = [clip.times_s[t], *clip.boxes[t], clip.confidence[t]]
                position = (clip.index, clip.track, t)
                # The shortest digits that give the same float32 again.
                written = map(np.float32, numbers)
                cells = [(place / name).as_posix(), *about, *position, *written]
                handle.write(csv_line(cells))
                count += 1
    return count


def _method(video: Video) -> str:
    if video.label == REAL:
        return "real"
    plain = re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}", video.method)
    taken = video.method.lower() == "real"
    return video.method if plain and not taken else _plain(video.method, video.method)


def _plain(name: str, unique: str) -> str:
    """A file name of the name, told from others by a hash: "a/b" and "a_b" would look alike, and
    some file systems take "A" for "a"."""
    digest = hashlib.sha256(unique.encode()).hexdigest()[:8]
    return f"{re.sub('[^A-Za-z0-9._-]+', '_', name)[-100:].lstrip('.')}-{digest}"


def _suffix(image: bytes) -> str:
    kinds = {b"\xff\xd8": ".jpg", b"\x89P": ".png"}
    if image[:2] not in kinds:
        raise ValueError(
            f"A crop begins with the bytes {image[:4].hex()}; JPEG (ffd8) or PNG (8950) was "
            "expected. Run `dfdetect preprocess` again."
        )
    return kinds[image[:2]]
