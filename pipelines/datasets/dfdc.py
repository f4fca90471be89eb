"""Adapter of the Deepfake Detection Challenge set, DFDC (Dolhansky et al. 2020), as published.

dfdc_train_part_<N>/metadata.json: {"x.mp4": {"label": "FAKE", "split": "train",
  "original": "y.mp4"}}; an actor appears in one part only, so a part goes to one split.
test*/labels.csv, or beside that folder: filename,label[,original] where 1 is fake.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.clip import FAKE, ORIGINAL, REAL, SPLITS, Video
from pipelines.datasets.base import Dataset, DatasetError
from pipelines.datasets.lists import LABELS, compare, missing_note, read_json, read_table
from pipelines.datasets.scan import is_video, refused, require_videos, stem, subfolders, uri, walk

NAME = "dfdc"
LAYOUT = "dfdc_train_part_<N>/ with metadata.json, test/ with labels.csv (DFDC)"
METADATA, LABELS_NAME = "metadata.json", "labels.csv"
PART = re.compile(r"dfdc_train_part_(\d+)", re.IGNORECASE)
SAMPLE = "train_sample_videos"  # the challenge's own excerpt of the training set
TEST = re.compile(r"(dfdc[_-])?test([_-].*)?", re.IGNORECASE)
TEST_GROUP = "test"
Tree = Mapping[str, list[str]]  # folder below the root -> names of its files


def matches(root: Path) -> bool:
    """Whether the folder holds parts of the challenge set, or is one."""
    if not root.is_dir():
        return False
    names = set(os.listdir(root))
    if names & {METADATA, LABELS_NAME} and any(map(is_video, names)):
        return True
    folders = subfolders(root)
    return any(PART.fullmatch(name) or name == SAMPLE for name in folders) or any(
        LABELS_NAME in names or (root / name / listing).is_file()
        for name in folders
        if TEST.fullmatch(name)
        for listing in (METADATA, LABELS_NAME)
    )


def find(root: Path) -> Dataset:
    """All videos under `root`. Raises DatasetError where there is none or a list is damaged."""
    tree = dict(walk(root))
    tests = _test_folders(tree)
    listed = _from_labels(root, tree, tests) | _from_metadata(root, tree, tests)
    present = [
        _join(folder, name) for folder, names in tree.items() for name in names if is_video(name)
    ]
    missing, unlisted = compare(listed, present)
    why = f"No {METADATA} or {LABELS_NAME} says whether it is real. Get the list, or remove it."
    rejects = [refused(NAME, root, file, "unlisted", why) for file in unlisted]
    videos = sorted(listed[file] for file in set(present) - set(unlisted))
    require_videos(
        root, videos, f"dfdc_train_part_<N>/ with *.mp4 and {METADATA}", rejects, missing
    )
    has_test = any(video.split for video in listed.values())
    return Dataset(
        NAME,
        tuple(videos),
        open_splits=("train", "val") if has_test else SPLITS,
        missing=tuple(missing),
        rejects=tuple(sorted(rejects)),
        notes=(missing_note(root, missing, len(listed)),) if missing else (),
    )


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _test_folders(tree: Tree) -> dict[str, list[str]]:
    """labels.csv below the root -> the folders whose videos it describes."""
    lists: dict[str, list[str]] = {}
    for folder, names in tree.items():
        if LABELS_NAME in names and TEST.fullmatch(os.path.basename(folder)):
            lists[_join(folder, LABELS_NAME)] = [folder]
    if LABELS_NAME in tree[""]:
        taken = {folder for folders in lists.values() for folder in folders}
        beside = [name for name in tree if TEST.fullmatch(name) and name not in taken]
        itself = METADATA not in tree[""] and any(map(is_video, tree[""]))
        lists[LABELS_NAME] = beside or ([""] if itself else [TEST_GROUP])
    return lists


def _from_labels(root: Path, tree: Tree, tests: Mapping[str, list[str]]) -> dict[str, Video]:
    """Path below the root -> test video, for each row of the lists."""
    listed: dict[str, Video] = {}
    for path, folders in tests.items():
        for line, row in read_table(root / path, ("filename", "label")):
            name, word = row["filename"], row["label"]
            place = f"{root / path}:{line}"
            label = _label(word, place)
            folder = next((f for f in folders if name in tree.get(f, ())), folders[0])
            file = _join(folder, name)
            video = _video(root, file, TEST_GROUP, label, row.get("original", ""))
            if listed.setdefault(file, video).label != label:
                raise DatasetError(f"{place}: {name} is both real and fake. Correct the list.")
    return listed


def _from_metadata(root: Path, tree: Tree, tests: Mapping[str, list[str]]) -> dict[str, Video]:
    """Path below the root -> video, for each entry of each metadata.json."""
    listed: dict[str, Video] = {}
    labelled = {folder for folders in tests.values() for folder in folders}
    for folder, names in tree.items():
        if METADATA not in names or folder in labelled:  # labels.csv decides
            continue
        path = root / folder / METADATA
        entries = read_json(path)
        if not isinstance(entries, dict):
            raise DatasetError(
                f"{path}: holds a {type(entries).__name__}; expected an object that gives each "
                "file name its label. Take the file from the data set again."
            )
        for name, entry in entries.items():
            group = _group(root, folder)
            file = _join(folder, name)
            listed[file] = _entry(root, file, group, entry, f"{path}: entry {name}")
    return listed


def _entry(root: Path, file: str, group: str, entry: Any, place: str) -> Video:
    if not isinstance(entry, dict):
        raise DatasetError(f"{place}: is {entry!r}; expected an object with a label.")
    label = _label(entry.get("label"), place)
    split = entry.get("split", "train")
    if group == TEST_GROUP and split != TEST_GROUP:
        raise DatasetError(
            f"{place}: split is {split!r} in a test folder; expected 'test'. Give the test "
            f"folder's {LABELS_NAME}, or rename the folder."
        )
    group = TEST_GROUP if split == TEST_GROUP else group
    return _video(root, file, group, label, str(entry.get("original") or ""))


def _label(word: Any, place: str) -> int:
    label = LABELS.get(str(word).lower())
    if label is None:
        raise DatasetError(
            f"{place}: label is {word!r}; expected REAL or FAKE, or 0 or 1. Correct the list."
        )
    return label


def _group(root: Path, folder: str) -> str:
    """What ties the people of a folder's videos together: its part, or the test set."""
    for name in reversed(folder.split("/")):
        if match := PART.fullmatch(name):
            return f"part_{int(match[1])}"
        if TEST.fullmatch(name):
            return TEST_GROUP
    name = os.path.basename(folder) or os.path.basename(os.path.abspath(root))
    match = PART.fullmatch(name)
    return f"part_{int(match[1])}" if match else name


def _video(root: Path, file: str, group: str, label: int, original: str) -> Video:
    is_test = group == TEST_GROUP
    return Video(
        id=f"{group}/{stem(file)}",
        uri=uri(root, file),
        label=label,
        dataset=NAME,
        method=ORIGINAL if label == REAL else NAME,
        identities=() if is_test else (group,),
        source_id=stem(original) if label == FAKE else stem(file),
        split="test" if is_test else "",
    )
