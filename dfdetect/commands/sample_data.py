"""The command `dfdetect sample-data`."""

from __future__ import annotations

import time

from dfdetect.commands import local_path, make_parser
from pipelines.sample import MIN_IDENTITIES, NOTICE


def main(argv: list[str]) -> int:
    parser = make_parser(
        "sample-data",
        "Write a generated set of real and manipulated talking heads, in FaceForensics++'s "
        f"layout. {NOTICE}",
    )
    parser.add_argument("out", type=local_path, metavar="OUT", help="folder to write")
    parser.add_argument("--identities", type=int, default=24, help="people (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other people")
    parser.add_argument(
        "--portraits", type=local_path, metavar="DIR", help="base photos of your own"
    )
    parser.add_argument("--frames", type=int, default=40, help="per video (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT")
    args = parser.parse_args(argv)
    if args.identities < MIN_IDENTITIES or args.identities % 2:
        parser.error(
            f"--identities is {args.identities}; an even number from {MIN_IDENTITIES} is needed."
        )
    if args.portraits and not args.portraits.is_dir():
        parser.error(f"--portraits {args.portraits}: no such folder.")
    if args.out.exists() and not args.overwrite:
        parser.error(f"{args.out}: exists already. Give another folder, or --overwrite.")

    from pipelines.sample.generate import generate

    started = time.monotonic()
    generate(args.out, args.identities, args.seed, args.portraits, args.frames, args.overwrite)
    print(
        f"{args.out}: {args.identities} real and {2 * args.identities} fake videos "
        f"in {time.monotonic() - started:.0f} s. {NOTICE}"
    )
    return 0
