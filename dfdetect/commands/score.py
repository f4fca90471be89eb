"""The command `dfdetect score`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

from dfdetect.commands.beam_job import make_job_parser, run_job
from pipelines.coverage import ScanSettings
from pipelines.flags import add_flags
from serving.analysis.settings import ModelSettings
from serving.batch.settings import ScoreSettings
from serving.provenance.settings import ProvenanceSettings


def main(argv: list[str]) -> int:
    parser = make_job_parser(
        "score", "Verdicts on an archive of videos, as JSON lines and Parquet."
    )
    parser.add_argument(
        "--input",
        required=True,
        nargs="+",
        metavar="PATH",
        help="files, folders, or patterns such as 'gs://archive/**.mp4' (in quotes)",
    )
    add_flags(parser, ModelSettings)
    parser.add_argument("--output", required=True, help="folder for the results")
    add_flags(parser.add_argument_group("how to run"), ScoreSettings)
    add_flags(parser.add_argument_group("how closely to look"), ScanSettings)
    add_flags(parser.add_argument_group("about the file"), ProvenanceSettings)
    settings = (ModelSettings, ScoreSettings, ScanSettings, ProvenanceSettings)
    return run_job(parser, argv, settings, _work)


def _work(args: argparse.Namespace, settings: list[Any], beam_flags: Sequence[str]) -> int:
    from rich.console import Console

    from serving.analysis.panel import ensemble_of, sources_of
    from serving.batch.score import print_summary, score
    from serving.provenance.reader import FactsReader

    console, started = Console(), time.monotonic()
    models, job, scan, provenance = settings
    info = score(
        args.input,
        sources_of(models),
        args.output,
        job,
        beam_flags,
        console,
        scan,
        FactsReader.of(provenance),
        ensemble_of(models),
    )
    if info:  # none of a dry run
        print_summary(console, args.output, info, time.monotonic() - started)
    return 0
