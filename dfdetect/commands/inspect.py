"""The command `dfdetect inspect`."""

from __future__ import annotations

import argparse
import json
import sys

from dfdetect.commands import local, make_parser
from pipelines.clip import LABEL_NAMES, SPLITS


def _parse(argv: list[str]) -> argparse.Namespace:
    """Exits with code 2 where flags contradict each other."""
    parser = make_parser(
        "inspect",
        "What is in a folder of face-clip shards, and whether it is what was written.",
        epilog="Exit codes: 0 all is well, 1 something is wrong, 2 wrong usage.",
    )
    parser.add_argument("folder", help="what `dfdetect preprocess` wrote")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.add_argument(
        "--quick", action="store_true", help="counts and checksums; do not look into the records"
    )
    parser.add_argument(
        "--contact-sheet", type=local, metavar="PNG", help="draw a row of crops per clip"
    )
    parser.add_argument("--rows", type=int, default=16, help="rows of it (default: %(default)s)")
    parser.add_argument(
        "--export-frames",
        type=local,
        metavar="DIR",
        help="write every crop as a file, and index.csv",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an earlier --export-frames"
    )
    only = parser.add_argument_group("which clips to draw or export")
    only.add_argument("--split", choices=SPLITS)
    only.add_argument("--method", help="such as Deepfakes, or original")
    only.add_argument("--label", choices=tuple(LABEL_NAMES.values()))
    args = parser.parse_args(argv)
    pictures = args.contact_sheet or args.export_frames
    if args.quick and pictures:
        parser.error("--quick does not look into the records; leave it out to draw or export.")
    if (args.split or args.method or args.label) and not pictures:
        parser.error("--split, --method and --label need --contact-sheet or --export-frames.")
    if args.overwrite and not args.export_frames:
        parser.error("--overwrite needs --export-frames.")
    if args.contact_sheet and not args.contact_sheet.lower().endswith(".png"):
        parser.error(f"--contact-sheet {args.contact_sheet}: it is a PNG file; name it .png.")
    if args.rows < 1:
        parser.error(f"--rows is {args.rows}; at least 1 is needed.")
    return args


def main(argv: list[str]) -> int:
    """Exit code 1 also where something is wrong with the data set."""
    args = _parse(argv)

    from pipelines.inspect.inspection import Pictures, inspect

    pictures = Pictures(
        contact_sheet=args.contact_sheet,
        rows=args.rows,
        export_frames=args.export_frames,
        overwrite=args.overwrite,
        split=args.split,
        label=args.label,
        method=args.method,
    )
    inspection = inspect(args.folder, args.quick, pictures)
    if args.json:
        print(json.dumps(inspection.to_dict(), indent=2, sort_keys=True, allow_nan=False))
    else:
        inspection.show(args.quick)
    for problem in inspection.problems:
        print(f"dfdetect inspect: {problem}", file=sys.stderr)
    return 1 if inspection.problems else 0
