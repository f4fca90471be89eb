"""The command `dfdetect predict`."""

from __future__ import annotations

import argparse

from dfdetect.commands import local_path, make_parser
from pipelines.coverage import ScanSettings
from pipelines.flags import add_flags, from_flags
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
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--model-server",
        action="append",
        default=[],
        metavar="URL",
        help="TensorFlow Serving's address: http(s)://HOST:PORT for REST, grpc://HOST:PORT; give "
        "it several times for servers that share the work",
    )
    source.add_argument(
        "--model-dir",
        type=local_path,
        metavar="DIR",
        help="load the model here instead: what `export` wrote, or one version of it",
    )
    parser.add_argument(
        "--model-name",
        default="dfdetect",
        metavar="NAME[/versions/V|/labels/L]",
        help="on the server, its highest version unless another is named (default: %(default)s)",
    )
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

    from serving.client import ModelSpec, check_addresses
    from serving.predict.predict_files import open_model, predict_files
    from serving.provenance.reader import FactsReader

    try:
        check_addresses(args.model_server)
    except ValueError as error:
        parser.error(f"--model-server: {error}")
    try:
        settings = from_flags(ScanSettings, args)
    except ValueError as error:
        parser.error(str(error))
    try:
        spec = ModelSpec.parse(args.model_name)
    except ValueError as error:
        parser.error(f"--model-name: {error}")
    return predict_files(
        args.videos,
        lambda: open_model(args.model_server, args.model_dir, spec, args.wait_seconds),
        as_json=args.json,
        csv=args.csv,
        reports=args.out_report,
        settings=settings,
        facts_reader=FactsReader.of(from_flags(ProvenanceSettings, args)),
    )
