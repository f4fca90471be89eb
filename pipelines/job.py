"""What the Beam jobs have in common: settings, a command line, a run that can be gone on with."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import logging
import sys
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, ClassVar

import apache_beam as beam
from rich.console import Console

import beam_options
from beam_options import engine
from pipelines import metrics, progress, storage
from pipelines.config import DECODE_LIMIT_S, check_fields, from_flags, option
from pipelines.output import METRICS, PARTS


class JobError(RuntimeError):
    """A job that cannot be done: where, what was found, and what to do."""


@dataclasses.dataclass(frozen=True)
class JobSettings:
    """How to go about a job; none of it changes what comes out of a video."""

    shards: int = option(4, "files that the results are dealt out to, for each split or kind")
    time_limit: float = option(DECODE_LIMIT_S, "seconds that decoding may take for one video")
    threads: int = option(
        0, "threads of a worker process; 0: one with several worker processes, else one per core"
    )
    update: bool = option(
        False, "go on from the finished result in --output: what is new or changed, no more"
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
            raise ValueError("--update goes on from what --overwrite would remove; leave one out.")


def run(
    pipeline: beam.Pipeline,
    output: str,
    keys: Set[str],
    suffix: str,
    kept: int,
    console: Console | None,
) -> None:
    """Runs a job's pipeline to its end, shows how far it is, and stores its metrics.

    keys, suffix, kept: as `progress.shown` takes them. Raises JobError where the work stops.
    """
    shown: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if console and not storage.is_remote(output):
        shown = progress.shown(storage.join(output, PARTS), keys, suffix, kept, console)
    try:
        with shown:
            result = engine.run(pipeline)
    except Exception as error:
        raise stopped(output, error) from error
    metrics.report(result, storage.join(output, METRICS), console)


def stopped(output: str, error: Exception) -> JobError:
    """What to say of a job that ended with an error."""
    cause = (str(error).strip() or type(error).__name__).splitlines()[-1]
    return JobError(
        f"{output}: the job stopped: {cause}. Finished videos are kept; mend the cause and "
        "run the same command again to go on."
    )


def parser(name: str, description: str) -> argparse.ArgumentParser:
    """Of `dfdetect NAME`."""
    return argparse.ArgumentParser(
        prog=f"dfdetect {name}",
        description=description,
        epilog="Beam's own flags go after --, for example: -- @multiprocess. Sets of flags: "
        + ", ".join("@" + name for name in beam_options.names()),
        allow_abbrev=False,
    )


def command(
    flags: argparse.ArgumentParser,
    settings: Sequence[type],
    argv: Sequence[str] | None,
    work: Callable[[argparse.Namespace, list[Any], Sequence[str], Console], int],
) -> int:
    """Parses a job's command line and does its work. Exit codes as of every command.

    settings: the dataclasses whose values the flags give. work: called with the flags, those
    values, Beam's flags, and a console.
    """
    argv = sys.argv[1:] if argv is None else argv
    cut = argv.index("--") if "--" in argv else len(argv)
    args = flags.parse_args(argv[:cut])
    try:
        values: list[Any] = [from_flags(each, args) for each in settings]
    except ValueError as error:
        flags.error(str(error))
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    try:
        return work(args, values, argv[cut + 1 :], Console())
    except engine.EngineError as error:
        flags.error(str(error))
    except (ValueError, OSError, JobError) as error:
        print(f"{flags.prog}: {error}", file=sys.stderr)
        return 1
