"""Settings of Beam jobs, whatever engine runs them. Loads no Beam."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from pipelines import datasets
from pipelines.clip import SPLITS
from pipelines.config import DECODE_LIMIT_S
from pipelines.flags import check_fields, option
from pipelines.splits.rule import GROUPINGS, is_distribution


@dataclasses.dataclass(frozen=True)
class JobSettings:
    """How to go about a job; none of it changes what comes out of a video."""

    shards: int = option(4, "files that the results are dealt out to, for each split or kind")
    time_limit: float = option(DECODE_LIMIT_S, "seconds that decoding may take for one video")
    threads: int = option(
        0, "threads of a worker process; 0: one with several worker processes, else one per core"
    )
    update: bool = option(
        False, "extend the finished result in --output: only what is new or changed"
    )
    overwrite: bool = option(False, "replace a finished result")

    BOUNDS: ClassVar[Mapping[str, tuple[float, float]]] = {
        "shards": (1, 99999),
        "time_limit": (0.001, 1e6),
        "threads": (0, 1024),
    }

    def __post_init__(self) -> None:
        check_fields(self)
        if self.update and self.overwrite:
            raise ValueError("--update keeps what --overwrite would remove; leave one out.")


@dataclasses.dataclass(frozen=True)
class PreprocessSettings(JobSettings):
    """What to take and how to go about it; none of it changes what a crop looks like."""

    dataset: str = option(
        "auto", "how to read the input; auto: whatever fits", ("auto", *datasets.ADAPTERS)
    )
    methods: str = option("", "manipulations to take, separated by commas; empty: all")
    compression: str = option("", "compressions to take, such as c23,c40; empty: all")
    split_fractions: str = option("0.7,0.15,0.15", "shares of train, val and test")
    seed: int = option(0, "another seed, other splits")
    group_by: str = option(
        "identity", "what may not be in two splits: people and sources, or sources only", GROUPINGS
    )
    splits: str = option(
        "train,val,test", "splits to write, separated by commas; all videos are dealt"
    )
    keep_splits: str = option("", "an earlier data set whose videos keep their splits")
    audit_duplicates: bool = option(
        False, "leave out copies, and look for near-duplicates across splits"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            shares = self.fractions
        except ValueError:
            shares = (-1.0, -1.0, -1.0)
        if not is_distribution(shares):
            raise ValueError(
                f"--split-fractions is {self.split_fractions}; three shares that add up to 1 are "
                "needed, such as 0.7,0.15,0.15."
            )
        if not self.written_splits or not set(self.written_splits) <= set(SPLITS):
            raise ValueError(
                f"--splits is {self.splits}; give one or several of {', '.join(SPLITS)}, separated "
                "by commas."
            )

    @property
    def written_splits(self) -> tuple[str, ...]:
        return tuple(word.strip() for word in self.splits.split(",") if word.strip())

    @property
    def fractions(self) -> tuple[float, float, float]:
        train, val, test = map(float, self.split_fractions.split(","))
        return train, val, test
