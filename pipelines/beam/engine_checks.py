"""Checks of a job's Beam flags, before anything starts: runners, what they need and what not."""

from __future__ import annotations

import argparse
import os
from typing import NoReturn
from urllib.parse import urlsplit

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

from pipelines.errors import UsageError

LOCAL, DATAFLOW = "FnApiRunner", "DataflowRunner"
FLINK, SPARK, PRISM, PORTABLE = "FlinkRunner", "SparkRunner", "PrismRunner", "PortableRunner"
# Beam 2.77 turns these names into whatever it can download or finds best; a run must not depend
# on that. None: no runner was named.
PINNED = {None: LOCAL, "DirectRunner": LOCAL, "BundleBasedDirectRunner": LOCAL}
RUNNERS = (LOCAL, DATAFLOW, FLINK, SPARK, PRISM, PORTABLE)
# Runners that hand flags on to a job server, which may know more of them than Beam's Python part.
WITH_JOB_SERVER = (FLINK, SPARK, PRISM, PORTABLE)
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


class EngineError(UsageError):
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


def runner_name(options: PipelineOptions) -> str:
    return options.view_as(StandardOptions).runner


def choose_runner(flags: list[str]) -> str:
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


def refuse_unknown(flags: list[str], strict: bool) -> None:
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


def check(options: PipelineOptions) -> None:
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
