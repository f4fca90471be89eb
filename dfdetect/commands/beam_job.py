"""What the commands that run Beam jobs share: their parser, and Beam's own flags after `--`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import beam_options
from dfdetect.commands import make_parser
from pipelines.errors import UsageError
from pipelines.flags import from_flags

# Flags, the values of the settings, Beam's flags -> exit code.
Work = Callable[[argparse.Namespace, list[Any], Sequence[str]], int]


def make_job_parser(name: str, description: str) -> argparse.ArgumentParser:
    """The parser of `dfdetect NAME`, which says where Beam's flags go."""
    sets = ", ".join("@" + name for name in beam_options.names())
    return make_parser(
        name,
        description,
        epilog="Beam's own flags go after --, for example: -- @multiprocess. "
        f"Sets of flags: {sets}",
    )


def run_job(
    parser: argparse.ArgumentParser, argv: Sequence[str], settings: Sequence[type], work: Work
) -> int:
    """Parses a job's command line and does its work.

    settings: the dataclasses whose values the flags give. What its work finds wrong with flags is
    wrong usage too.
    """
    cut = argv.index("--") if "--" in argv else len(argv)
    args = parser.parse_args(argv[:cut])
    try:
        values: list[Any] = [from_flags(each, args) for each in settings]
    except ValueError as error:
        parser.error(str(error))
    try:
        return work(args, values, argv[cut + 1 :])
    except UsageError as error:
        parser.error(str(error))
