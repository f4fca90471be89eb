"""The command `dfdetect compare`."""

from __future__ import annotations

from pathlib import Path

from dfdetect.commands import local, make_parser
from dfdetect.commands.evaluate import add_data_flags, parse


def main(argv: list[str]) -> int:
    parser = make_parser("compare", "Compares two models on the same videos by a paired bootstrap.")
    parser.add_argument("a", help="a run folder, a .keras file or an exported model")
    parser.add_argument("b", help="the other model")
    add_data_flags(parser)
    parser.add_argument("--out", type=local, required=True, help="folder for the comparison")
    args = parse(parser, argv)

    from trainer.evaluation.compare import compare
    from trainer.report.comparison import write_comparison
    from trainer.report.terminal import print_comparison

    comparison = compare(args.a, args.b, args.data, args.out, args.split, args.seed)
    write_comparison(Path(args.out), comparison)
    print_comparison(comparison)
    print(f"comparison: {Path(args.out) / 'comparison.md'}")
    return 0
