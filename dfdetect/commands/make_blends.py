"""The command `dfdetect make-blends`."""

from __future__ import annotations

import time

from dfdetect.commands import local_path, make_parser
from pipelines.blends.settings import BlendSettings
from pipelines.flags import add_flags, from_flags


def main(argv: list[str]) -> int:
    parser = make_parser(
        "make-blends",
        "Pairs of a real video and a fake made of it, for training: faces are pasted before "
        "encoding, and both videos go through the same encoders.",
    )
    parser.add_argument(
        "--input",
        required=True,
        type=local_path,
        metavar="REALS",
        help="a data set, or a folder or CSV list of real videos and pictures of people",
    )
    parser.add_argument(
        "--output",
        required=True,
        type=local_path,
        metavar="DATASET",
        help="folder to write: a data set for `dfdetect preprocess`",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace DATASET")
    add_flags(parser, BlendSettings)
    args = parser.parse_args(argv)
    try:
        settings = from_flags(BlendSettings, args)
    except ValueError as error:
        parser.error(str(error))

    from rich.console import Console
    from rich.progress import Progress

    from pipelines.blends.make import make_blends

    console, started = Console(), time.monotonic()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks = {what: bars.add_task(what, total=None) for what in ("faces", "pairs")}

        def show(what: str, done: int, total: int) -> None:
            bars.update(tasks[what], completed=done, total=total)

        made = make_blends(args.input, args.output, settings, args.overwrite, show)
    pairs = ", ".join(f"{count} {method}" for method, count in sorted(made.pairs.items()))
    console.print(
        f"{args.output}: {sum(made.pairs.values())} pairs ({pairs}) in "
        f"{time.monotonic() - started:.0f} s",
        soft_wrap=True,
    )
    if made.rejects:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(made.rejects.items()))
        console.print(f"rejects: {reasons}; see {args.output}/rejects.jsonl", soft_wrap=True)
    return 0
