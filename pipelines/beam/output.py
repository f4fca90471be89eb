"""What lies where in an output folder, and its life: made ready, gone on with, finished.

Beside the results there is `job/`: how they were made, and what a later run goes on from.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from pipelines import storage

JOB = "job"  # the only files that may differ between two runs over the same input
OPTIONS = f"{JOB}/options.json"  # the engine
METRICS = f"{JOB}/metrics.json"  # what was done, and how long it took
PLAN = f"{JOB}/plan.jsonl"  # until the job is done
HEADER = f"{JOB}/header.json"  # what dataset_info.json begins with, until the job is done
EARLY_REJECTS = f"{JOB}/rejects.jsonl"  # those known before any work, until the job is done
INDEX = f"{JOB}/index"  # folder: which video's records lie where in a shard
PARTS = f"{JOB}/parts"  # folder of finished videos, until the shards are made of them
REJECT_MARK = ".reject"  # a file of this suffix stands for a video without a part


def prepare(output: str, done: str, folders: Sequence[str], overwrite: bool, update: bool) -> None:
    """Makes sure of a folder without marks of an earlier run.

    done: the file that marks a finished one. folders: those that the job needs in it. Raises
    ValueError where it is finished and neither `overwrite`, which forgets what was done, nor
    `update`, which goes on from it, was asked for.
    """
    mark = storage.join(output, done)
    if storage.exists(mark):
        if not (overwrite or update):
            raise ValueError(
                f"{output}: holds a finished result ({done}). Give another --output, --update to "
                "take up what is new, or --overwrite to make it all again."
            )
        storage.remove(mark)
        if overwrite:
            storage.delete(storage.join(output, INDEX), "*.json")
    for folder in folders:
        storage.make_folder(storage.join(output, folder))
    storage.delete(storage.join(output, PARTS), f"*{REJECT_MARK}")
    storage.delete(storage.join(output, JOB), "**.tmp")
    storage.delete(output, "*.tmp")


def clear(output: str) -> None:
    """Removes what only an unfinished job needs."""
    storage.delete(storage.join(output, PARTS), "*")
    storage.remove(*(storage.join(output, name) for name in (PLAN, HEADER, EARLY_REJECTS)))
    if not storage.is_remote(output):
        os.rmdir(os.path.join(output, PARTS))
