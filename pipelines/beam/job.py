"""Run of a Beam job to its end, with progress and metrics; one that stops can be resumed."""

from __future__ import annotations

import contextlib
from collections.abc import Set

import apache_beam as beam
from rich.console import Console

from pipelines import storage
from pipelines.beam import engine, job_metrics, progress
from pipelines.beam.output import METRICS, PARTS
from pipelines.errors import JobError


def run(
    pipeline: beam.Pipeline,
    output: str,
    keys: Set[str],
    suffix: str,
    kept: int,
    console: Console | None,
) -> None:
    """Runs a job's pipeline to its end, shows how far it is, and stores its metrics.

    keys, suffix, kept: as `progress.display` takes them. Raises JobError where the work stops.
    """
    display: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if console and not storage.is_remote(output):
        display = progress.display(storage.join(output, PARTS), keys, suffix, kept, console)
    try:
        with display:
            result = engine.run(pipeline)
    except Exception as error:
        raise stopped(output, error) from error
    job_metrics.report(result, storage.join(output, METRICS), console)


def stopped(output: str, error: Exception) -> JobError:
    """The error of a job that stopped, with how to resume it."""
    cause = (str(error).strip() or type(error).__name__).splitlines()[-1]
    return JobError(
        f"{output}: the job stopped: {cause}. Finished videos are kept; mend the cause and "
        "run the same command again to resume."
    )
