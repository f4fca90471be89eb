"""Shards -> a trained model, with everything needed to know how it was made."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from pipelines.config import add_flags, from_flags
from trainer import run
from trainer.config import TrainConfig
from trainer.errors import TrainError


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

    from trainer.data import load_dataset_info
    from trainer.seen import collect, write_seen
    from trainer.training import Training

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
        run.write_json(out / run.CONFIG_NAME, {**facts, **training.facts()})
        run.write_json(out / "versions.json", run.versions())
        run.write_settings(out / run.SETTINGS_NAME, config, data)
        write_seen(out, collect(data))
    training.run()
    return out


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dfdetect train",
        description="Trains a detector on preprocessed shards. The same command again goes on "
        "with an unfinished run.",
        allow_abbrev=False,
    )
    parser.add_argument("--data", help="folder of shards from `dfdetect preprocess`")
    parser.add_argument("--out", help="folder for the run")
    parser.add_argument("--overwrite", action="store_true", help="begin anew in --out")
    parser.add_argument(
        "--config", help="YAML file of settings, such as a run's config.yaml; flags go before it"
    )
    parser.add_argument(
        "--print-config", action="store_true", help="print all settings as YAML, and stop"
    )
    add_flags(parser, TrainConfig)
    return parser


def main(argv: list[str] | None = None) -> int:
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        if args.config:
            # Those of the file become the defaults, as text, so that each is read like a flag.
            settings = run.read_settings(args.config)
            parser.set_defaults(
                **{
                    k: v if isinstance(v, bool) or v is None else str(v)
                    for k, v in settings.items()
                }
            )
            args = parser.parse_args(argv)
        config = from_flags(TrainConfig, args)
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    if args.print_config:
        print(run.settings_text(config, args.data), end="")
        return 0
    if not (args.data and args.out):
        parser.error("--data and --out are needed; --config may give --data.")
    try:
        train(args.data, args.out, config, overwrite=args.overwrite)
    except (FileNotFoundError, ValueError, TrainError) as error:
        print(f"dfdetect train: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
