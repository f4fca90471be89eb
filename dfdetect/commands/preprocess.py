"""The command `dfdetect preprocess`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

from dfdetect.commands.beam_job import make_job_parser, run_job
from pipelines.beam.settings import PreprocessSettings
from pipelines.config import PreprocessConfig
from pipelines.flags import add_flags


def main(argv: list[str]) -> int:
    parser = make_job_parser("preprocess", "Raw dataset videos to face-clip TFRecord shards.")
    parser.add_argument(
        "--input",
        required=True,
        help="a data set's folder or CSV file, of videos or still pictures; also gs://",
    )
    parser.add_argument("--output", required=True, help="folder for the shards")
    add_flags(parser.add_argument_group("what to take and how to run"), PreprocessSettings)
    add_flags(parser.add_argument_group("how crops are made"), PreprocessConfig)
    return run_job(parser, argv, (PreprocessConfig, PreprocessSettings), _work)


def _work(args: argparse.Namespace, settings: list[Any], beam_flags: Sequence[str]) -> int:
    from rich.console import Console

    from pipelines import preprocess

    console, started = Console(), time.monotonic()
    config, job = settings
    info = preprocess.preprocess(args.input, args.output, config, job, beam_flags, console)
    if info:  # none of a dry run
        preprocess.print_summary(console, args.output, info, time.monotonic() - started)
        preprocess.require_clips(args.input, args.output, info)
    return 0
