"""The command `dfdetect calibrate`."""

from __future__ import annotations

import argparse
from pathlib import Path

from dfdetect.commands import local, make_parser
from pipelines.ensemble import METHODS
from trainer.calibration import MAX_FPR


def main(argv: list[str]) -> int:
    parser = make_parser(
        "calibrate",
        "Fits a trained model's temperature and verdict thresholds on the validation split. "
        "`dfdetect export` then builds them into the model. With --ensemble, those of several "
        "calibrated models together, for a file that goes with them.",
    )
    parser.add_argument(
        "--run", type=local, help="run folder from `dfdetect train`; needed without --ensemble"
    )
    parser.add_argument(
        "--ensemble",
        choices=METHODS,
        help="calibrate an ensemble of the models: mean-logit averages the logits of their P(fake)",
    )
    parser.add_argument(
        "--model",
        action="append",
        help="with --ensemble: a member, a calibrated run folder or what `dfdetect export` wrote; "
        "give two or more",
    )
    parser.add_argument("--out", type=local, help="with --ensemble: the file to write, JSON")
    parser.add_argument(
        "--data",
        required=True,
        help="folder of shards from `dfdetect preprocess`; with --sampling all, videos are looked "
        "at as serving does",
    )
    parser.add_argument(
        "--max-fpr",
        type=float,
        default=MAX_FPR,
        help="share of real videos that may be called FAKE (default: %(default)s)",
    )
    args = parser.parse_args(argv)
    if not 0 <= args.max_fpr < 1:
        parser.error(f"--max-fpr is {args.max_fpr}; it must be from 0 to below 1.")
    _check_together(parser, args)

    if args.ensemble:
        from trainer.evaluation import calibrate_ensemble

        calibrated = calibrate_ensemble.calibrate_ensemble(
            args.model, args.data, args.out, args.ensemble, args.max_fpr
        )
        print(calibrate_ensemble.describe(calibrated))
        print(f"wrote {args.out}")
        return 0

    from trainer.evaluation.calibrate import calibrate, describe
    from trainer.run import CALIBRATION_NAME

    print(describe(calibrate(args.run, args.data, max_fpr=args.max_fpr)))
    print(f"wrote {Path(args.run) / CALIBRATION_NAME}")
    return 0


def _check_together(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Wrong usage where flags do not go together."""
    if not args.ensemble:
        if args.model or args.out:
            flag = "--model" if args.model else "--out"
            parser.error(
                f"{flag} goes with --ensemble only; a single model is calibrated by --run, into "
                "its folder."
            )
        if not args.run:
            parser.error("give --run, or --ensemble with two or more --model and an --out.")
        return
    if args.run:
        parser.error("--run does not go with --ensemble; give each model by --model, runs too.")
    if len(args.model or ()) < 2:
        parser.error(
            f"--ensemble needs two or more models, {len(args.model or ())} given: repeat --model."
        )
    if not args.out:
        parser.error("--ensemble needs --out, the file to write.")
