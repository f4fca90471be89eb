"""Output folder of a Beam job: its working files, made ready for a run and cleared at its end.

They lie in `job/`, beside the results (pipelines/shards/layout.py): how these were made, and what
a later run resumes from.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from pipelines import storage
from pipelines.shards.layout import INDEX, JOB

OPTIONS = f"{JOB}/options.json"  # the engine
METRICS = f"{JOB}/metrics.json"  # what was done, and how long it took
PLAN = f"{JOB}/plan.jsonl"  # until the job is done
HEADER = f"{JOB}/header.json"  # what dataset_info.json begins with, until the job is done
EARLY_REJECTS = f"{JOB}/rejects.jsonl"  # those from before any work, until the job is done
PARTS = f"{JOB}/parts"  # folder of finished videos, until the shards are made of them
REJECT_MARK = ".reject"  # a file of this suffix stands for a video without a part


def prepare(output: str, done: str, folders: Sequence[str], overwrite: bool, update: bool) -> None:
    """Makes sure of a folder without marks of an earlier run.

    done: the file that marks a finished one. folders: those that the job needs in it. Raises
    ValueError where it is finished and neither `overwrite`, which forgets what was done, nor
    `update`, which resumes from it, was asked for.
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
