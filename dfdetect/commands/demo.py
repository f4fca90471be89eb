"""The command `dfdetect demo`."""

from __future__ import annotations

from pathlib import Path

from dfdetect.commands import local_path, make_parser
from pipelines.sample import NOTICE


def main(argv: list[str]) -> int:
    parser = make_parser(
        "demo", f"Generate videos, preprocess, train, evaluate, export, serve, predict. {NOTICE}"
    )
    parser.add_argument("--output", type=local_path, default=Path("runs/demo"), help="where to")
    parser.add_argument("--identities", type=int, default=48, help="people (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=16, help="training epochs at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="few people, two epochs: a check only")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier demo")
    args = parser.parse_args(argv)
    if args.quick:
        args.identities, args.epochs = 12, 2

    from dfdetect.demo import demo, make_room

    make_room(args.output, args.overwrite)
    demo(args.output, args.identities, args.epochs, args.seed)
    return 0
