"""The command `dfdetect datasets`."""

from __future__ import annotations

import json

from dfdetect.commands import make_parser
from pipelines.datasets import ADAPTERS, find_videos


def main(argv: list[str]) -> int:
    parser = make_parser(
        "datasets",
        "What is found under a root folder, before any work: videos by label, method and "
        "compression, official splits, what is missing, and what cannot be used.",
    )
    parser.add_argument("root", help="a dataset's root folder, or a CSV manifest")
    parser.add_argument(
        "--dataset",
        default="auto",
        choices=["auto", *ADAPTERS],
        help="how to read it (default: %(default)s, all that fit)",
    )
    parser.add_argument("--json", action="store_true", help="all of it as JSON, no name left out")
    args = parser.parse_args(argv)

    from pipelines.datasets.listing import show, to_json

    datasets = find_videos(args.root, args.dataset)
    if args.json:
        everything = {"root": args.root, "datasets": [to_json(dataset) for dataset in datasets]}
        print(json.dumps(everything, indent=2))
    else:
        show(datasets)
    return 0
