"""Shards -> a trained model, with everything needed to know how it was made."""

from __future__ import annotations

import os
from pathlib import Path

from pipelines import atomic
from trainer import run
from trainer.config import TrainConfig


def train(
    data: str | os.PathLike,
    out: str | os.PathLike,
    config: TrainConfig | None = None,
    verbose: bool = True,
    overwrite: bool = False,
) -> Path:
    """Trains on the shards in `data`, writes the run folder `out`, and returns it.

    An unfinished run of the same settings is gone on with. The run's model has the weights of
    the epoch with the lowest validation loss. Raises FileNotFoundError, ValueError or TrainError
    where it cannot.
    """
    from rich.console import Console

    from trainer.input.clips import load_dataset_info
    from trainer.leakage import collect, write_seen
    from trainer.training.loop import Training

    out, config = Path(out), config or TrainConfig()
    console = Console(quiet=not verbose)
    info = load_dataset_info(data)
    for split in ("train", "val"):
        if not info["splits"].get(split, {}).get("clips"):
            raise ValueError(f"{data} has no {split} clips; training needs them.")
    facts = run.describe(config, data, info)
    going_on = run.can_go_on(out, facts, overwrite)
    training = Training(data, info, config, out, console, going_on)
    if not going_on:
        run.begin(out)
        atomic.write_json(out / run.CONFIG_NAME, {**facts, **training.facts()})
        atomic.write_json(out / "versions.json", run.versions())
        run.write_settings(out / run.SETTINGS_NAME, config, data)
        write_seen(out, collect(data))
    atomic.remove_unfinished(out)
    training.run()
    return out
