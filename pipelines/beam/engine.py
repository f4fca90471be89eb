"""Engine of a job, a Beam runner: its flags parsed and checked before anything starts, its run."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn
from urllib.parse import urlsplit

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    DirectOptions,
    FlinkRunnerOptions,
    GoogleCloudOptions,
    PipelineOptions,
    PortableOptions,
    PrismRunnerOptions,
    SetupOptions,
    SparkRunnerOptions,
    StandardOptions,
    TestOptions,
    WorkerOptions,
)
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
from apache_beam.runners.runner import PipelineResult, PipelineState
from rich.console import Console

import beam_options
from pipelines import storage

LOCAL, DATAFLOW = "FnApiRunner", "DataflowRunner"
FLINK, SPARK, PRISM, PORTABLE = "FlinkRunner", "SparkRunner", "PrismRunner", "PortableRunner"
# Beam 2.77 turns these names into whatever it can download or finds best; a run must not depend
# on that. None: no runner was named.
PINNED = {None: LOCAL, "DirectRunner": LOCAL, "BundleBasedDirectRunner": LOCAL}
RUNNERS = (LOCAL, DATAFLOW, FLINK, SPARK, PRISM, PORTABLE)
# Runners that hand flags on to a job server, which may know more of them than Beam's Python part.
WITH_JOB_SERVER = (FLINK, SPARK, PRISM, PORTABLE)
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
SECRETS = ("secret", "token", "password", "connection_string")


class EngineError(ValueError):
    """Flags with which no job can start: what was found, and what to add or to leave out."""


class FaceStepOptions(PipelineOptions):
    """What the face step asks of a worker. Beam's own --resource_hint asks it for every step."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--faces_accelerator",
            help="accelerator for the face step, such as "
            "type:nvidia-tesla-t4;count:1;install-nvidia-driver (Dataflow)",
        )
        parser.add_argument("--faces_min_ram", help="memory for the face step, such as 16GB")

    @property
    def hints(self) -> dict[str, str]:
        """Beam's resource hints for the face step; those that were given."""
        hints = {"accelerator": self.faces_accelerator, "min_ram": self.faces_min_ram}
        return {name: value for name, value in hints.items() if value}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise EngineError(f"Beam's flags, after --: {message}.")


def parse(arguments: Sequence[str]) -> PipelineOptions:
    """The options that flags and @names give. Raises EngineError, also for what contradicts.

    No runner, and DirectRunner, mean FnApiRunner.
    """
    try:
        flags = beam_options.expand(list(arguments))
    except ValueError as error:
        raise EngineError(str(error)) from error
    runner = _runner(flags)
    _refuse_unknown(flags, strict=runner not in WITH_JOB_SERVER)
    options = PipelineOptions(flags, pickle_library="cloudpickle")
    options.view_as(StandardOptions).runner = runner
    _check(options)
    return options


def with_face_hints(step: Any, options: PipelineOptions) -> Any:
    """A transform that asks of its workers what the flags ask for the face step, if anything."""
    hints = options.view_as(FaceStepOptions).hints
    return step.with_resource_hints(**hints) if hints else step


def runner_name(options: PipelineOptions) -> str:
    return options.view_as(StandardOptions).runner


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


def _runner(flags: list[str]) -> str:
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--runner", action="append", default=[])
    named = list(dict.fromkeys(parser.parse_known_args(flags)[0].runner))
    if len(named) > 1:
        raise EngineError(f"--runner is {' and '.join(named)}; a job has one. Leave one out.")
    name = named[0] if named else None
    name = PINNED.get(name, name)
    if name == "DaskRunner":
        raise EngineError(
            "--runner=DaskRunner: it loses tagged outputs, so rejects would spoil the result "
            "(docs/decisions.md). Use @multiprocess, @flink or @dataflow."
        )
    if name not in RUNNERS:
        raise EngineError(f"--runner={name}: unknown; there are {', '.join(RUNNERS)}.")
    return name


def _refuse_unknown(flags: list[str], strict: bool) -> None:
    """Raises EngineError for values that no flag takes and, if strict, for flags Beam has not."""
    parser = _Parser(add_help=False, allow_abbrev=False, conflict_handler="resolve")
    for options_class in PipelineOptions.__subclasses__():
        options_class._add_argparse_args(parser)  # type: ignore[arg-type]
    unknown = parser.parse_known_args(flags)[1]
    if strict and unknown:
        raise EngineError(
            f"Beam's flags, after --: {' '.join(unknown)} is none of Beam's. Flags of this command "
            "go before the --."
        )


def _check(options: PipelineOptions) -> None:
    """Raises EngineError for what the runner needs and lacks, or what does nothing with it."""
    runner = runner_name(options)
    if runner == LOCAL:
        _check_local(options)
    elif options.view_as(DirectOptions).direct_running_mode not in (None, "in_memory"):
        raise EngineError(f"--direct_running_mode does nothing with {runner}. Leave it out.")
    dry_run = options.view_as(TestOptions).dry_run
    if dry_run and (runner != DATAFLOW or str(dry_run).lower() != "true"):
        raise EngineError(
            f"--dry_run={dry_run}: only Dataflow has dry runs, with the value True, and Beam takes "
            "any other value for True as well; leave it out."
        )
    if runner == DATAFLOW:
        _check_dataflow(options)
    elif options.view_as(FaceStepOptions).faces_accelerator:
        raise EngineError(f"--faces_accelerator: {runner} has none to give; Dataflow has.")
    if runner == PRISM:
        _check_file(
            "--prism_location", options.view_as(PrismRunnerOptions).prism_location, "make prism"
        )
    if runner == FLINK:
        flink = options.view_as(FlinkRunnerOptions)
        if flink.flink_job_server_jar:  # without one, Beam downloads its own
            _check_file("--flink_job_server_jar", flink.flink_job_server_jar, "make flink-jar")
        _check_loopback(options, "--flink_master", flink.flink_master)
    if runner == SPARK:
        master = options.view_as(SparkRunnerOptions).spark_master_url
        _check_loopback(options, "--spark_master_url", master)
    if runner == PORTABLE and not options.view_as(PortableOptions).job_endpoint:
        raise EngineError("PortableRunner needs --job_endpoint=HOST:PORT, or embed.")


def _check_local(options: PipelineOptions) -> None:
    direct = options.view_as(DirectOptions)
    if direct.direct_running_mode == "in_memory" and direct.direct_num_workers != 1:
        raise EngineError(
            f"--direct_num_workers={direct.direct_num_workers} does nothing without "
            "--direct_running_mode=multi_processing. Use @multiprocess."
        )


def _check_dataflow(options: PipelineOptions) -> None:
    cloud, setup = options.view_as(GoogleCloudOptions), options.view_as(SetupOptions)
    lacking = [
        flag
        for flag, value in (
            ("--project=PROJECT", cloud.project),
            ("--region=REGION", cloud.region),
            ("--temp_location=gs://BUCKET/tmp", cloud.temp_location),
        )
        if not value
    ]
    if lacking:
        raise EngineError(f"Dataflow needs {' and '.join(lacking)}; see docs/dataflow.md.")
    # Beam's own check of the names of job and project, which it would make after we have begun.
    wrong = PipelineOptionsValidator(options, None).validate_cloud_options(cloud)
    if wrong:
        raise EngineError(f"Dataflow: {' '.join(wrong)}")
    if not cloud.temp_location.startswith("gs://"):
        raise EngineError(
            f"--temp_location={cloud.temp_location}: Dataflow needs a gs://BUCKET/FOLDER address."
        )
    if cloud.template_location:
        raise EngineError(
            "--template_location: a job ends with steps on this machine, so it is started from "
            "here. Leave it out; --dry_run=True shows the job without starting it."
        )
    image = options.view_as(WorkerOptions).sdk_container_image
    if not image and not setup.setup_file:
        raise EngineError(
            "Dataflow's workers have to get this package: add --sdk_container_image=IMAGE "
            "--sdk_location=container (an image of pipelines/deploy/Dockerfile) or "
            "--setup_file=./setup.py."
        )
    if setup.setup_file and not os.path.isfile(setup.setup_file):
        raise EngineError(
            f"--setup_file={setup.setup_file}: no such file. Run the command in the folder of this "
            "project's setup.py, or give the file's path."
        )
    if options.view_as(FaceStepOptions).faces_accelerator and not image:
        raise EngineError(
            "--faces_accelerator needs --sdk_container_image=IMAGE: an image with the GPU's "
            "libraries, made by pipelines/deploy/Dockerfile with EXTRAS=gcp,gpu."
        )


def _check_file(flag: str, path: str | None, made_by: str) -> None:
    """A file that the runner would otherwise try to download."""
    if not path or ("://" not in path and not os.path.isfile(path)):
        raise EngineError(
            f"{flag}={path or ''}: no such file. Make it with `{made_by}`, or give its path."
        )


def _check_loopback(options: PipelineOptions, flag: str, master: str) -> None:
    """Workers in this process serve an engine on this machine alone."""
    host = urlsplit(master if "://" in master else f"//{master}").hostname if _named(master) else ""
    kind = options.view_as(PortableOptions).environment_type
    if kind == "LOOPBACK" and host and host not in THIS_MACHINE:
        raise EngineError(
            f"{flag}={master} is another machine, which cannot use workers in this process. Add "
            "--environment_type=DOCKER --environment_config=IMAGE (pipelines/deploy/Dockerfile)."
        )


def _named(master: str) -> bool:
    """Whether a master is an address, not a word for this machine such as [local] or local[4]."""
    return "[" not in master and master != "local"
