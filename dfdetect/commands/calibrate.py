"""The command `dfdetect calibrate`."""

from __future__ import annotations

from pathlib import Path

from dfdetect.commands import local, make_parser
from trainer.calibration import MAX_FPR


def main(argv: list[str]) -> int:
    parser = make_parser(
        "calibrate",
        "Fits a trained model's temperature and verdict thresholds on the validation split. "
        "`dfdetect export` then builds them into the model.",
    )
    parser.add_argument("--run", type=local, required=True, help="run folder from `dfdetect train`")
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

    from trainer.evaluation.calibrate import calibrate, describe
    from trainer.run import CALIBRATION_NAME

    print(describe(calibrate(args.run, args.data, max_fpr=args.max_fpr)))
    print(f"wrote {Path(args.run) / CALIBRATION_NAME}")
    return 0
