"""The command `dfdetect score`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

from dfdetect.commands.beam_job import make_job_parser, run_job
from pipelines.coverage import ScanSettings
from pipelines.flags import add_flags
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
    parser.add_argument(
        "--model",
        required=True,
        action="append",
        metavar="DIR|URL",
        help="an exported model, or a model server; give several servers to share the work",
    )
    parser.add_argument("--output", required=True, help="folder for the results")
    add_flags(parser.add_argument_group("how to run"), ScoreSettings)
    add_flags(parser.add_argument_group("how closely to look"), ScanSettings)
    add_flags(parser.add_argument_group("about the file"), ProvenanceSettings)
    settings = (ScoreSettings, ScanSettings, ProvenanceSettings)
    return run_job(parser, argv, settings, _work)


def _work(args: argparse.Namespace, settings: list[Any], beam_flags: Sequence[str]) -> int:
    from rich.console import Console

    from serving.batch.score import print_summary, score
    from serving.provenance.reader import FactsReader

    console, started = Console(), time.monotonic()
    job, scan, provenance = settings
    facts_reader = FactsReader.of(provenance)
    info = score(args.input, args.model, args.output, job, beam_flags, console, scan, facts_reader)
    if info:  # none of a dry run
        print_summary(console, args.output, info, time.monotonic() - started)
    return 0
