"""The command `dfdetect predict`."""

from __future__ import annotations

import argparse

from dfdetect.commands import local_path, make_parser
from pipelines.coverage import ScanSettings
from pipelines.flags import add_flags, from_flags
from serving.analysis.settings import ModelSettings
from serving.provenance.settings import ProvenanceSettings


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "predict",
        "Verdicts on videos: FAKE, REAL, INCONCLUSIVE or NO_FACE; a demo model gives none.",
    )
    parser.add_argument(
        "videos",
        nargs="+",
        metavar="VIDEO",
        help="files, folders, or patterns such as 'FOLDER/**/*.mp4' (in quotes)",
    )
    add_flags(parser, ModelSettings)
    parser.add_argument(
        "--wait-seconds",
        type=float,
        default=0.0,
        metavar="S",
        help="how long to wait for a server that is still starting or loading the model "
        "(default: %(default)g, ask at once)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON list on standard output")
    parser.add_argument(
        "--csv", type=local_path, metavar="FILE", help="write a table, a row a video"
    )
    parser.add_argument(
        "--out-report",
        type=local_path,
        metavar="DIR",
        help="write a report of each video, one HTML file",
    )
    add_flags(parser.add_argument_group("how closely to look"), ScanSettings)
    add_flags(parser.add_argument_group("about the file"), ProvenanceSettings)
    return parser


def main(argv: list[str]) -> int:
    """Exit code 1 also where some videos could not be judged."""
    parser = _parser()
    args = parser.parse_args(argv)

    from serving.analysis.panel import ensemble_of, sources_of
    from serving.predict.predict_files import open_panel, predict_files
    from serving.provenance.reader import FactsReader

    try:
        settings, models = from_flags(ScanSettings, args), from_flags(ModelSettings, args)
        sources = sources_of(models)
    except ValueError as error:
        parser.error(str(error))
    return predict_files(
        args.videos,
        lambda: open_panel(sources, ensemble_of(models), args.wait_seconds),
        as_json=args.json,
        csv=args.csv,
        reports=args.out_report,
        settings=settings,
        facts_reader=FactsReader.of(from_flags(ProvenanceSettings, args)),
    )
