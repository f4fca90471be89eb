"""An opened set of shards: dataset_info.json read and checked once, then passed on as an object."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
from operator import itemgetter
from pathlib import Path
from typing import Any

from pipelines.clip import LABEL_NAMES, SPLITS
from pipelines.config import PreprocessConfig
from pipelines.shards.layout import INFO_NAME

COPY_AGAIN = (
    "Copy the file again from where it was made, or run `dfdetect preprocess` again, with --update "
    "where an earlier version wrote it."
)
KEYS = ("config", "dataset", "fingerprint", "generated", "problems", "rejects", "split_rule")
COUNTS = (
    *("videos", "clips", "identities", "sources"),
    *("labels", "clip_labels", "methods", "datasets"),
)


@dataclasses.dataclass(frozen=True)
class Shard:
    """A TFRecord file of a split, as dataset_info.json lists it."""

    path: Path
    records: int
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class ClipDataset:
    """The shards that `dfdetect preprocess` wrote to a folder, with what it says of them.

    info: dataset_info.json, see docs/preprocessing.md. config: how the crops were made.
    """

    folder: Path
    info: dict[str, Any]
    config: PreprocessConfig

    @classmethod
    def open(cls, folder: str | os.PathLike, fingerprint: str | None = None) -> ClipDataset:
        """A data set whose shards can be read. fingerprint: of the crops that a model takes.

        Raises FileNotFoundError where there are no shards or not all, ValueError where they do
        not match the fingerprint, this package, or the sizes that they had when they were written.
        """
        info = read_info(folder)
        path = Path(folder) / INFO_NAME
        stored, config = info["fingerprint"], PreprocessConfig.from_dict(info["config"])
        if stored != config.fingerprint:
            raise ValueError(
                f"{path}: the crops have fingerprint {stored}, this version of the package makes "
                f"{config.fingerprint} from the same settings. Run `dfdetect preprocess` again."
            )
        if fingerprint is not None and stored != fingerprint:
            raise ValueError(
                f"{path}: the crops have fingerprint {stored}, the model was trained on crops of "
                f"{fingerprint}. Preprocess these videos with the model's settings."
            )
        dataset = cls(Path(folder), info, config)
        dataset._check_files()
        return dataset

    def _check_files(self) -> None:
        shards = [shard for split in SPLITS for shard in self._listed(split)]
        missing = [shard.path.name for shard in shards if not shard.path.is_file()]
        if missing:
            raise FileNotFoundError(
                f"{self.folder}: shards {missing} are listed in {INFO_NAME} but missing. "
                "Run `dfdetect preprocess` again."
            )
        for shard in shards:
            # A copy that broke off between two records would just end early.
            size = shard.path.stat().st_size
            if size != shard.bytes:
                raise ValueError(
                    f"{shard.path}: has {size} bytes, {INFO_NAME} says {shard.bytes}. {COPY_AGAIN}"
                )

    def _listed(self, split: str) -> list[Shard]:
        return [
            Shard(self.folder / name, shard["records"], shard["bytes"], shard["sha256"])
            for name, shard in sorted(self.info["shards"].items())
            if name.startswith(f"{split}-")
        ]

    def shards(self, split: str) -> list[Shard]:
        """The split's shards that hold records, in order."""
        return [shard for shard in self._listed(split) if shard.records]

    def clips(self, split: str) -> int:
        """Clips in a split; 0 of a split that is not there."""
        return self.info["splits"].get(split, {}).get("clips", 0)

    def label_counts(self, split: str) -> dict[int, int]:
        """Clips of each label in a split."""
        counts = self.info["splits"][split]["clip_labels"]
        return {label: counts[name] for label, name in LABEL_NAMES.items()}

    @property
    def fingerprint(self) -> str:
        """That of the crops: `PreprocessConfig.fingerprint`."""
        return self.config.fingerprint

    @property
    def generated(self) -> bool:
        """Whether the videos are those of `dfdetect sample-data`, which say nothing of others."""
        return self.info["generated"]

    @property
    def splits(self) -> dict[str, Any]:
        """Counts by split, as dataset_info.json gives them."""
        return self.info["splits"]

    @functools.cached_property
    def sha256(self) -> str:
        """Of the shards' names and checksums: the same for the same records in the same files."""
        checksums = {name: shard["sha256"] for name, shard in sorted(self.info["shards"].items())}
        return hashlib.sha256(json.dumps(checksums).encode()).hexdigest()


def read_info(folder: str | os.PathLike) -> dict[str, Any]:
    """dataset_info.json, whether its shards are there or not.

    Raises FileNotFoundError where the folder holds no finished set, and ValueError where the file
    is not what this version of the preprocessing writes.
    """
    if "://" in str(folder):
        raise ValueError(
            f"{folder}: is remote; shards are read from local and mounted folders. Copy or mount "
            "it."
        )
    path = Path(folder) / INFO_NAME
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: not there, so {folder} holds no finished data set. Run "
            "`dfdetect preprocess` first."
        )
    info = read_json_object(path)
    try:
        itemgetter(*KEYS)(info)
        for split in SPLITS:
            itemgetter("real", "fake")(info["splits"][split]["labels"])
            itemgetter(*COUNTS)(info["splits"][split])
        for shard in info["shards"].values():
            itemgetter("bytes", "records", "sha256")(shard)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: was changed or damaged ({error!r} is missing). {COPY_AGAIN}"
        ) from error
    return info


def read_json_object(path: Path) -> dict[str, Any]:
    """Raises ValueError for a file that holds anything else."""
    try:
        value = json.loads(path.read_text("utf-8"))
        if not isinstance(value, dict):
            raise ValueError("a list or a single value")
    except ValueError as error:
        raise ValueError(f"{path}: is no JSON object ({error}). {COPY_AGAIN}") from error
    return value
