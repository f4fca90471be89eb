"""FaceForensics++ (Roessler et al. 2019) as published.

original_sequences/youtube/<c>/videos/NNN.mp4
manipulated_sequences/<Method>/<c>/videos/<target>_<source>.mp4
splits/{train,val,test}.json: lists of two-id pairs; a pair covers both reals and both fakes.
"""

from __future__ import annotations

import json
from pathlib import Path

from pipelines.clip import FAKE, ORIGINAL, REAL, SPLITS, Video
from pipelines.datasets.base import Dataset, DatasetError

NAME = "faceforensics"


def matches(root: Path) -> bool:
    """Whether the folder looks like FaceForensics++."""
    return (root / "original_sequences").is_dir() or (root / "manipulated_sequences").is_dir()


def find(root: Path) -> Dataset:
    """All videos under `root`. Raises DatasetError where there is none."""
    videos: list[Video] = []
    problems: list[str] = []
    for path in sorted(root.glob("original_sequences/youtube/*/videos/*.mp4")):
        compression = path.parts[-3]
        videos.append(_video(path, REAL, ORIGINAL, compression, (path.stem,)))
    for path in sorted(root.glob("manipulated_sequences/*/*/videos/*.mp4")):
        method, compression = path.parts[-4], path.parts[-3]
        ids = tuple(path.stem.split("_"))
        if len(ids) != 2:
            problems.append(f"{path}: named {path.name}, expected <target>_<source>.mp4; left out.")
            continue
        videos.append(_video(path, FAKE, method, compression, tuple(dict.fromkeys(ids))))
    if not videos:
        raise DatasetError(
            f"{root}: no videos found. Expected FaceForensics++'s "
            "original_sequences/youtube/<c>/videos/*.mp4 and "
            "manipulated_sequences/<Method>/<c>/videos/*.mp4."
        )
    if (root / "sample-data.json").is_file():
        problems.append(
            f"{root}: a generated set (dfdetect sample-data); it says nothing about real deepfakes."
        )
    official = _splits(root, problems)
    if official:
        present = {v.identities[0] for v in videos if v.label == REAL}
        missing = sorted(set(official) - present)
        if missing:
            problems.append(
                f"{root / 'splits'}: {len(missing)} listed real videos are not there, "
                f"first {missing[0]}."
            )
    return Dataset(NAME, tuple(videos), official, tuple(problems))


def _video(
    path: Path, label: int, method: str, compression: str, identities: tuple[str, ...]
) -> Video:
    return Video(
        id=f"{method}/{compression}/{path.stem}",
        uri=str(path),
        label=label,
        dataset=NAME,
        method=method,
        compression=compression,
        identities=identities,
        source_id=identities[0],
    )


def _splits(root: Path, problems: list[str]) -> dict[str, str]:
    """Identity -> split from the official lists; empty where there are none."""
    official: dict[str, str] = {}
    for split in SPLITS:
        path = root / "splits" / f"{split}.json"
        if not path.is_file():
            problems.append(f"{path}: no official list; splits are made by identity instead.")
            return {}
        try:
            pairs = json.loads(path.read_text())
            ids = [str(i) for a, b in pairs for i in (a, b)]
        except (ValueError, TypeError) as error:
            raise DatasetError(
                f"{path}: expected a JSON list of two-id pairs ({error}). "
                "Take the file from the FaceForensics repository again."
            ) from error
        for identity in ids:
            if official.setdefault(identity, split) != split:
                raise DatasetError(
                    f"{path}: id {identity} is in {official[identity]} as well; "
                    "an id must be in one split."
                )
    return official
