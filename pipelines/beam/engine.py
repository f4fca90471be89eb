"""Engine of a job, a Beam runner: its options, checked before anything starts, and its run."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import (
    DirectOptions,
    FlinkRunnerOptions,
    PipelineOptions,
    PortableOptions,
    StandardOptions,
    TestOptions,
)
from apache_beam.runners.runner import PipelineResult, PipelineState
from rich.console import Console

import beam_options
from pipelines import storage
from pipelines.beam.engine_checks import (
    DATAFLOW,
    FLINK,
    PRISM,
    SPARK,
    WITH_JOB_SERVER,
    EngineError,
    FaceStepOptions,
    check,
    choose_runner,
    refuse_unknown,
    runner_name,
)

SECRETS = ("secret", "token", "password", "connection_string")


def parse(arguments: Sequence[str]) -> PipelineOptions:
    """The options that flags and @names give. Raises EngineError, also for what contradicts.

    No runner, and DirectRunner, mean FnApiRunner.
    """
    try:
        flags = beam_options.expand(list(arguments))
    except ValueError as error:
        raise EngineError(str(error)) from error
    runner = choose_runner(flags)
    refuse_unknown(flags, strict=runner not in WITH_JOB_SERVER)
    options = PipelineOptions(flags, pickle_library="cloudpickle")
    options.view_as(StandardOptions).runner = runner
    check(options)
    FileSystems.set_options(options)  # for what is read and written before the pipeline runs
    return options


def with_face_hints(step: Any, options: PipelineOptions) -> Any:
    """A transform that asks of its workers what the flags ask for the face step, if anything."""
    hints = options.view_as(FaceStepOptions).hints
    return step.with_resource_hints(**hints) if hints else step


def effective(options: PipelineOptions) -> dict[str, Any]:
    """Runner, Beam version, and every option that is not at its default; secrets are masked."""
    changed = options.get_all_options(drop_default=True, retain_unknown_options=True)
    changed.pop("runner", None)
    changed.pop("pickle_library", None)
    masked = {
        name: "***" if any(word in name for word in SECRETS) else value
        for name, value in sorted(changed.items())
    }
    return {"runner": runner_name(options), "beam": beam.__version__, "options": masked}


def announce(options: PipelineOptions, path: str, console: Console | None = None) -> None:
    """Stores the effective options as JSON at `path` and shows them on a console."""
    setup = effective(options)
    storage.write_json(path, setup)
    if console:
        flags = " ".join(f"{name}={value}" for name, value in setup["options"].items())
        line = f"engine: {setup['runner']}, Beam {setup['beam']} {flags}".rstrip()
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def require_reachable(options: PipelineOptions, places: Mapping[str, str]) -> None:
    """Raises EngineError where workers on other machines could not open one of the places.

    places: what it is -> its path or address.
    """
    if not workers_elsewhere(options):
        return
    for what, place in places.items():
        if not storage.is_remote(place):
            raise EngineError(
                f"{what} {place}: is a path of this machine, and the workers of "
                f"{runner_name(options)} run elsewhere. Copy it to where they can read it and give "
                "that address, such as gs://BUCKET/FOLDER."
            )


def is_dry_run(options: PipelineOptions) -> bool:
    """Whether the job is only to be checked and translated."""
    return bool(options.view_as(TestOptions).dry_run)


def rehearse(pipeline: beam.Pipeline, console: Console | None = None) -> Any:
    """Translates a pipeline for Dataflow without starting anything -> the job it would get."""
    job = pipeline.run().job  # type: ignore[attr-defined]
    graph = job.proto_pipeline
    if console:
        console.print(
            f"dry run: {len(graph.components.transforms)} steps, a graph of "
            f"{graph.ByteSize() / 1e3:.0f} kB; nothing was started or written",
            highlight=False,
        )
    return job


def run(pipeline: beam.Pipeline) -> PipelineResult:
    """Runs a pipeline to its end. Raises RuntimeError, or what the runner raises, if it fails."""
    with this_python_first():
        result = pipeline.run()
        state = result.wait_until_finish()
    if state not in (None, PipelineState.DONE):
        raise RuntimeError(f"{runner_name(pipeline.options)} ended with the state {state}")
    return result


@contextlib.contextmanager
def this_python_first() -> Iterator[None]:
    """Puts this Python's folder first in PATH, until the end of the body.

    Beam starts its loopback workers as `python`, whichever that is.
    """
    before = os.environ.get("PATH")
    folder = os.path.dirname(sys.executable)
    others = (path for path in (before or "").split(os.pathsep) if path != folder)
    os.environ["PATH"] = os.pathsep.join([folder, *others])
    try:
        yield
    finally:
        if before is None:
            del os.environ["PATH"]
        else:
            os.environ["PATH"] = before


def workers_elsewhere(options: PipelineOptions) -> bool:
    """Whether workers run where this machine's files are not: on Dataflow, or in containers."""
    runner = runner_name(options)
    if runner == DATAFLOW:
        return True
    kind = options.view_as(PortableOptions).environment_type
    if kind is None:  # Prism, and Flink within the job server, start workers in this process
        master = options.view_as(FlinkRunnerOptions).flink_master
        in_process = runner == PRISM or (runner == FLINK and master in ("[local]", "[auto]"))
        return runner in WITH_JOB_SERVER and not in_process
    return runner in WITH_JOB_SERVER and kind == "DOCKER"


def worker_threads(options: PipelineOptions) -> int:
    """Threads that a worker process should use; 0 for one per core.

    Where there are several processes to a machine, as many threads in each would only get in each
    other's way.
    """
    several = options.view_as(DirectOptions).direct_running_mode == "multi_processing"
    return int(several or runner_name(options) in (DATAFLOW, FLINK, SPARK))
