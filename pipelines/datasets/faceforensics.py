"""Adapter of FaceForensics++ (Roessler et al. 2019), as published and as it is passed on.

original_sequences/youtube/<c>/videos/NNN.mp4
manipulated_sequences/<Method>/<c>/videos/<target>_<source>.mp4
splits/{train,val,test}.json: lists of two-id pairs; a pair covers both reals and both fakes.

Below a method's folder the levels <c> and videos/ may be missing, and folders have any letter case.
Kaggle's copy (kaggle.com/datasets/xdxd003/ff-c23, version 1) is flat: original/NNN.mp4,
<Method>/<target>_<source>.mp4; its csv/ repeats what the folders say.
DeepfakeBench (github.com/SCLBD/DeepfakeBench) keeps the three lists in the root itself.

Method DeepFakeDetection lies in the same folders but is another data set: see dfd.py.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from pipelines.clip import FAKE, ORIGINAL, REAL, SPLITS, Reject, Video
from pipelines.datasets.base import GENERATED, Dataset, DatasetError
from pipelines.datasets.lists import compare, missing_note, read_json
from pipelines.datasets.scan import (
    folders_named,
    named,
    refused,
    require_videos,
    stem,
    subfolders,
    uri,
    video_files,
)

NAME = "faceforensics"
LAYOUT = "original_sequences/youtube/ and manipulated_sequences/ (FaceForensics++)"
METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter")
REALS = "original_sequences/youtube"
FAKES = "manipulated_sequences"
DFD = "DeepFakeDetection"
# The download puts the videos of the manipulated regions beside the compressions, under the
# same names: <Method>/masks/videos/000_003.mp4.
MASKS = "masks"
FLAT_REALS = "original"  # of Kaggle's copy
COMPRESSION = re.compile(r"raw|c\d+", re.IGNORECASE)
REAL_NAME = re.compile(r"(\d+)\.mp4", re.IGNORECASE)
FAKE_NAME = re.compile(r"(\d+)_(\d+)\.mp4", re.IGNORECASE)
LISTS = tuple(f"{split}.json" for split in SPLITS)
Pairs = list[tuple[str, str]]


def matches(root: Path) -> bool:
    """Whether the folder looks like FaceForensics++."""
    return bool(_parts(root))


def find(root: Path) -> Dataset:
    """All videos under `root`. Raises DatasetError where there is none or a list is damaged."""
    official, pairs, notes = official_lists(root)
    videos: list[Video] = []
    rejects: list[Reject] = []
    missing: list[str] = []
    for (method, compression), (folder, files) in _groups(root).items():
        files, masks = without_masks(NAME, root, files)
        make = functools.partial(_video, root, method, compression)
        expected = "NNN.mp4" if method == ORIGINAL else "<target>_<source>.mp4"
        good, bad = named(NAME, root, files, make, expected)
        videos += good
        rejects += bad + masks
        listed = _names(method, pairs)
        if absent := compare(listed, map(stem, files))[0]:
            missing += [f"{folder}/{name}.mp4" for name in absent]
            notes.append(missing_note(root / folder, absent, len(listed)))
    expected = f"FaceForensics++'s {REALS}/<c>/videos/*.mp4 and {FAKES}/<Method>/<c>/videos/*.mp4"
    require_videos(root, videos, expected, rejects, missing)
    return Dataset(
        NAME,
        tuple(sorted(videos)),
        official,
        missing=tuple(sorted(missing)),
        rejects=tuple(sorted(rejects)),
        notes=(*_parts_note(root, videos), *notes),
        generated=(root / GENERATED).is_file(),
    )


def same_compression(name: str) -> str:
    """The name of a compression: the data set calls uncompressed video both raw and c0."""
    return "raw" if name.lower() == "c0" else name.lower()


def compression_of(root: Path, file: str) -> str:
    """That of a file, by the folders it is in, or by the root's name: "FaceForensics++_C23"."""
    return _compression(root, os.path.dirname(file))


@functools.lru_cache(maxsize=1024)
def _compression(root: Path, folder: str) -> str:
    names = [*folder.split("/"), re.split(r"[_ ]", os.path.basename(os.path.abspath(root)))[-1]]
    return next((same_compression(name) for name in names if COMPRESSION.fullmatch(name)), "")


def without_masks(dataset: str, root: Path, files: Iterable[str]) -> tuple[list[str], list[Reject]]:
    """The files that show people, and a reject for each that shows a manipulated region."""
    kept: list[str] = []
    masks: list[Reject] = []
    why = f"It lies in a folder {MASKS}/, whose videos show the manipulated regions, not people."
    for file in files:
        if MASKS in file.lower().split("/")[:-1]:
            masks.append(refused(dataset, root, file, "mask", why))
        else:
            kept.append(file)
    return kept, masks


def _parts(root: Path) -> list[tuple[str, str]]:
    """(method, the folder below `root` that holds its videos)."""
    flat = [(method, folder) for method in METHODS for folder in folders_named(root, method)]
    if flat or folders_named(root, DFD):
        flat += [(ORIGINAL, folder) for folder in folders_named(root, FLAT_REALS)]
    published = [(ORIGINAL, folder) for folder in folders_named(root, REALS)]
    as_published = {method.lower(): method for method in METHODS}
    published += [
        (as_published.get(name.lower(), name), f"{fakes}/{name}")
        for fakes in folders_named(root, FAKES)
        for name in subfolders(root / fakes)
        if name.lower() != DFD.lower()
    ]
    return published + flat


def _groups(root: Path) -> dict[tuple[str, str], tuple[str, list[str]]]:
    """(method, compression) -> (the folder that holds its videos, or the last of them; files)."""
    homes: dict[tuple[str, str], str] = {}
    files: dict[tuple[str, str], list[str]] = defaultdict(list)
    for method, part in _parts(root):
        for name in subfolders(root / part):  # of which nothing may be there but the folder
            if COMPRESSION.fullmatch(name):
                homes[method, same_compression(name)] = f"{part}/{name}/videos"
        for file in video_files(root, part):
            group = method, compression_of(root, file.removeprefix(f"{part}/"))
            homes[group] = os.path.dirname(file)
            files[group].append(file)
    return {group: (home, files[group]) for group, home in homes.items()}


def _video(root: Path, method: str, compression: str, file: str) -> Video | None:
    """None where the file's name is not of the method's pattern."""
    pattern = REAL_NAME if method == ORIGINAL else FAKE_NAME
    match = pattern.fullmatch(os.path.basename(file))
    if match is None:
        return None
    return Video(
        id="/".join(part for part in (method, compression, stem(file)) if part),
        uri=uri(root, file),
        label=REAL if method == ORIGINAL else FAKE,
        dataset=NAME,
        method=method,
        compression=compression,
        identities=tuple(dict.fromkeys(match.groups())),
        source_id=match[1],
    )


def _names(method: str, pairs: Pairs) -> set[str]:
    """The names that the lists give a method's videos; of other methods they say nothing."""
    if method == ORIGINAL:
        return {name for pair in pairs for name in pair}
    if method not in METHODS:
        return set()
    return {name for a, b in pairs for name in (f"{a}_{b}", f"{b}_{a}")}


def _parts_note(root: Path, videos: Iterable[Video]) -> list[str]:
    """What kind of set this is: generated, or lacking parts of the published one."""
    if (root / GENERATED).is_file():
        return [
            f"{root}: a generated set (dfdetect sample-data); it says nothing about real deepfakes."
        ]
    there = {video.method for video in videos}
    absent = [method for method in METHODS if method not in there]
    if ORIGINAL not in there:
        absent.insert(0, f"the real videos ({REALS})")
    return [f"{root}: nothing there of {', '.join(absent)}."] if absent else []


def official_lists(root: Path) -> tuple[dict[str, str], Pairs, list[str]]:
    """Identity -> split, the listed pairs, and a note where the three lists are not there."""
    places = (root / "splits", root, Path(os.path.abspath(root)).parent / "splits")
    there = (place for place in places if any((place / name).is_file() for name in LISTS))
    folder = next(there, places[0])
    if absent := [name for name in LISTS if not (folder / name).is_file()]:
        note = f"{folder}: no {', '.join(absent)}; the data set's own splits need all three lists."
        return {}, [], [note]
    official: dict[str, str] = {}
    pairs: Pairs = []
    for split, name in zip(SPLITS, LISTS, strict=True):
        path = folder / name
        listed = _pairs(path)
        pairs += listed
        for identity in itertools.chain.from_iterable(listed):
            if official.setdefault(identity, split) != split:
                raise DatasetError(
                    f"{path}: id {identity} is in {official[identity]} as well; an id must be in "
                    "one split. Take the lists from the FaceForensics repository again."
                )
    return official, pairs, []


def _pairs(path: Path) -> Pairs:
    pairs = read_json(path)
    if not isinstance(pairs, list):
        pairs = [pairs]  # no pair, so that it is named below
    for pair in pairs:
        if not (isinstance(pair, list) and [type(name) for name in pair] == [str, str]):
            raise DatasetError(
                f"{path}: holds {str(pair)[:60]!r}; expected a JSON list of pairs of ids such as "
                '["000", "003"]. Take the file from the FaceForensics repository again.'
            )
    return [(a, b) for a, b in pairs]
