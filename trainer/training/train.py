"""Training of a detector on shards into a run folder, new or resumed."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console

from pipelines.atomic import remove_unfinished, write_json, write_text
from pipelines.shards.open import ClipDataset
from trainer import run
from trainer.config import TrainConfig
from trainer.leakage import collect, write_seen
from trainer.settings import settings_text
from trainer.training.loop import Training


def train(
    data: str | os.PathLike,
    out: str | os.PathLike,
    config: TrainConfig | None = None,
    verbose: bool = True,
    overwrite: bool = False,
) -> Path:
    """Trains on the shards in `data`, writes the run folder `out`, and returns it.

    An unfinished run of the same settings is resumed. The run's model has the weights of the epoch
    with the lowest validation loss. Raises FileNotFoundError, ValueError or TrainError where it
    cannot.
    """
    out, config = Path(out), config or TrainConfig()
    dataset = ClipDataset.open(data)
    for split in ("train", "val"):
        if not dataset.clips(split):
            raise ValueError(f"{data} has no {split} clips; training needs them.")
    record = run.describe(config, dataset)
    resume = run.can_resume(out, record, overwrite)
    training = Training(dataset, config, out, Console(quiet=not verbose), resume)
    if not resume:
        run.clear(out)
        write_json(out / run.CONFIG_NAME, {**record, **training.describe()})
        write_json(out / run.VERSIONS_NAME, run.versions())
        write_text(out / run.SETTINGS_NAME, settings_text(config, os.path.abspath(data)))
        write_seen(out, collect(dataset, without=config.held_out))
    remove_unfinished(out)
    training.run()
    return out
