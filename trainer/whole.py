"""Whether a split's shards are whole: of a part of the videos every figure would be another."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
AGAIN = "`dfdetect inspect` says what is wrong; copy the shards again, or preprocess again."


def check_sizes(data: str | os.PathLike, info: Mapping[str, Any], split: str) -> None:
    """Raises ValueError where a shard of the split is not as large as it was when written.

    Takes no time, and finds copies that were broken off, also between two records, where reading
    would just end early.
    """
    for name, facts in sorted(info["shards"].items()):
        path, expected = Path(data) / name, facts.get("bytes")
        if not name.startswith(f"{split}-") or expected is None:
            continue
        if (found := os.path.getsize(path)) != expected:
            raise ValueError(
                f"{path}: has {found} bytes, dataset_info.json says {expected}. {AGAIN}"
            )


def readable(batches: Iterable[T], data: str | os.PathLike) -> Iterator[T]:
    """The batches of a tf.data pipeline. Raises ValueError where one cannot be read."""
    import tensorflow as tf

    damage = (
        tf.errors.DataLossError,
        tf.errors.InvalidArgumentError,
        tf.errors.FailedPreconditionError,  # fewer records than are listed
    )
    try:
        yield from batches
    except damage as error:
        raise ValueError(f"{data}: a record is damaged or missing. {AGAIN}") from error
