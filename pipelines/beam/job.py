"""Run of a Beam job to its end, with progress and metrics; one that stops can be resumed."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator, Set

import apache_beam as beam
from rich.console import Console

from pipelines import storage
from pipelines.beam import engine, job_metrics, progress
from pipelines.beam.output import METRICS, PARTS
from pipelines.errors import JobError, StorageError, sentence

_LOGGERS_OF_STEPS = ("apache_beam.runners.common", "apache_beam.runners.worker.sdk_worker")
_OF_SYSTEM = re.compile(r"\[Errno (\d+)\] ([^:]+)(?:: '([^']*)')?")


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
        with display, _tracebacks_held_back():
            result = engine.run(pipeline)
    except Exception as error:
        raise stopped(output, error) from error
    job_metrics.report(result, storage.join(output, METRICS), console)


def stopped(output: str, error: Exception) -> JobError:
    """The error of a job that stopped, with how to resume it."""
    cause = _sentence(error) or _last_line(error)
    return JobError(
        f"{output}: the job stopped: {cause.rstrip('.')}. Finished videos are kept; mend the cause "
        "and run the same command again to resume."
    )


def _last_line(error: Exception) -> str:
    """What was raised in a step: Beam hands it on as the text of its traceback."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1]


def _sentence(error: Exception) -> str | None:
    """What people are told of an error in a step; None of what may be a fault of the program."""
    cause = _last_line(error).partition(" [while running ")[0]
    if of_system := _OF_SYSTEM.search(cause):
        number, words, path = of_system.groups()
        return sentence(OSError(int(number), words, path))
    kind, _, said = cause.partition(": ")
    return said if kind.split(".")[-1] == StorageError.__name__ else None


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextlib.contextmanager
def _tracebacks_held_back() -> Iterator[None]:
    """Lets Beam log a step's traceback only where that may be a fault of the program."""
    kept = _Kept()
    loggers = [logging.getLogger(name) for name in _LOGGERS_OF_STEPS]
    for logger in loggers:
        logger.addHandler(kept)
        logger.propagate = False
    try:
        yield
    except Exception as error:
        if _sentence(error) is None:
            for record in kept.records:
                logging.getLogger().handle(record)
        raise
    finally:
        for logger in loggers:
            logger.removeHandler(kept)
            logger.propagate = True
