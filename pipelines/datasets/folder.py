"""Any videos of one's own: a `real/` and a `fake/` folder, each searched to any depth.

Nothing is known of who is shown, so each real video is an identity of its own and a fake
named `<target>_<donor>...` after two real videos joins theirs.
"""

from __future__ import annotations

from pathlib import Path

from pipelines.clip import FAKE, ORIGINAL, REAL, Video
from pipelines.datasets.base import VIDEO_SUFFIXES, Dataset, DatasetError

NAME = "folder"


def matches(root: Path) -> bool:
    """Whether the folder has a real/ or a fake/ folder."""
    return (root / "real").is_dir() or (root / "fake").is_dir()


def find(root: Path) -> Dataset:
    """All videos under `root`. Raises DatasetError where there is none."""
    real = [_video(root, path, REAL) for path in _files(root / "real")]
    known = {Path(video.id).stem for video in real}
    fake = [_video(root, path, FAKE, known) for path in _files(root / "fake")]
    if not real and not fake:
        raise DatasetError(
            f"{root}: no videos found. Expected real/ and fake/ folders with "
            f"{', '.join(VIDEO_SUFFIXES)} files."
        )
    problems = tuple(
        f"{root / name}: no videos; both classes are needed to train."
        for name, videos in (("real", real), ("fake", fake))
        if not videos
    )
    return Dataset(NAME, tuple(real + fake), {}, problems)


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES)


def _video(root: Path, path: Path, label: int, known: set[str] | None = None) -> Video:
    parts = path.stem.split("_")
    named = tuple(part for part in parts[:2] if part in (known or ()))
    identities = named or (path.stem,)
    return Video(
        id=path.relative_to(root).as_posix(),
        uri=str(path),
        label=label,
        dataset=NAME,
        method=ORIGINAL if label == REAL else "fake",
        identities=identities,
        source_id=identities[0],
    )
