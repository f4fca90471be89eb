"""The command `dfdetect train`."""

from __future__ import annotations

import argparse

from dfdetect.commands import local, make_parser
from pipelines.flags import add_flags, from_flags
from trainer.config import TrainConfig
from trainer.settings import read_settings, settings_text


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "train",
        "Trains a detector on preprocessed shards. The same command again resumes an unfinished "
        "run.",
    )
    parser.add_argument("--data", help="folder of shards from `dfdetect preprocess`")
    parser.add_argument("--out", type=local, help="folder for the run")
    parser.add_argument("--overwrite", action="store_true", help="begin anew in --out")
    parser.add_argument(
        "--config", help="YAML file of settings, such as a run's config.yaml; flags go before it"
    )
    parser.add_argument(
        "--print-config", action="store_true", help="print all settings as YAML, and stop"
    )
    add_flags(parser, TrainConfig)
    return parser


def main(argv: list[str]) -> int:
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        if args.config:
            # They become the defaults, as text, so that each is read and checked like a flag.
            parser.set_defaults(**read_settings(args.config))
            args = parser.parse_args(argv)
        config = from_flags(TrainConfig, args)
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    if args.print_config:
        print(settings_text(config, args.data), end="")
        return 0
    if not (args.data and args.out):
        parser.error("--data and --out are needed; --config may give --data.")

    from trainer.training.train import train

    train(args.data, args.out, config, overwrite=args.overwrite)
    return 0
