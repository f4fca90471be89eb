"""The command `dfdetect evaluate`."""

from __future__ import annotations

import argparse
from pathlib import Path

from dfdetect.commands import local, make_parser
from pipelines.clip import SPLITS


def add_data_flags(parser: argparse.ArgumentParser) -> None:
    """--data, --split and --seed: the videos that a model is measured on, and how."""
    parser.add_argument(
        "--data",
        required=True,
        action="append",
        help="folder of shards from `dfdetect preprocess`; may be given several times",
    )
    parser.add_argument(
        "--split", nargs="+", default=["test"], choices=SPLITS, help="(default: test)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of intervals and noise (default: %(default)s)"
    )


def parse(parser: argparse.ArgumentParser, argv: list[str]) -> argparse.Namespace:
    args = parser.parse_args(argv)
    if args.seed < 0:
        parser.error(f"--seed is {args.seed}; it must be 0 or more.")
    return args


def main(argv: list[str]) -> int:
    parser = make_parser("evaluate", "Measures a trained model on data sets and writes a report.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", type=local, help="run folder from `dfdetect train`")
    source.add_argument(
        "--model",
        action="append",
        help="a run folder, a .keras file or what `dfdetect export` wrote; several with --ensemble",
    )
    parser.add_argument(
        "--ensemble",
        type=local,
        metavar="FILE",
        help="measure the models as the ensemble of `dfdetect calibrate --ensemble`, which wrote "
        "this file",
    )
    add_data_flags(parser)
    parser.add_argument("--out", type=local, required=True, help="folder for the report")
    parser.add_argument(
        "--robustness",
        action="store_true",
        help="measure under compression, blur, noise and so on too; takes many times as long",
    )
    parser.add_argument(
        "--as-served",
        action="store_true",
        help="judge each video by those of its moments that serving would look at; needs shards of "
        "`dfdetect preprocess --sampling all`",
    )
    args = parse(parser, argv)
    _check_together(parser, args)

    from pipelines.coverage import ScanSettings
    from trainer.evaluation.evaluate import evaluate
    from trainer.evaluation.measured_ensemble import load_ensemble
    from trainer.report.render import write_report
    from trainer.report.terminal import print_result

    evaluation = evaluate(
        load_ensemble(args.model, args.ensemble) if args.ensemble else args.run or args.model[0],
        args.data,
        args.out,
        args.split,
        args.robustness,
        args.seed,
        ScanSettings() if args.as_served else None,
    )
    write_report(Path(args.out), evaluation)
    print_result(evaluation.result)
    print(f"report: {Path(args.out) / 'report.html'}")
    return 0


def _check_together(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Wrong usage where flags do not go together."""
    models = len(args.model or ())
    if args.ensemble and args.run:
        parser.error("--run does not go with --ensemble; give each model by --model, runs too.")
    if args.ensemble and models < 2:
        parser.error(f"--ensemble needs two or more models, {models} given: repeat --model.")
    if models > 1 and not args.ensemble:
        parser.error(
            f"{models} models: give --ensemble FILE to measure them as one, or evaluate each by "
            "itself and compare two of them with `dfdetect compare`."
        )
