"""The command `dfdetect web keys`."""

from __future__ import annotations

import argparse
import sys

from dfdetect.commands import local_path, make_parser


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = make_parser(
        "web keys",
        "Named API keys of the web application. A running server follows every change of the file.",
    )
    actions = parser.add_subparsers(dest="action", required=True)
    for action, what in (
        ("add", "make a key, which is printed this once; the file has its hash"),
        ("list", "names, dates and quotas; keys themselves are not known"),
        ("revoke", "take a key's rights; videos that were sent with it are still analysed"),
    ):
        one = actions.add_parser(action, help=what, description=what, allow_abbrev=False)
        one.add_argument("--keys-file", type=local_path, required=True, help="the server's")
        if action != "list":
            one.add_argument("name", type=_name, help="whose key it is, such as newsroom")
        if action == "add":
            one.add_argument("--videos-a-day", type=count, help="in a day of UTC; else no limit")
            one.add_argument("--bytes-a-day", type=count, help="in a day of UTC; else no limit")
    return parser.parse_args(argv)


def _name(text: str) -> str:
    from serving.web.api_keys import check_name

    try:
        return check_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def count(text: str) -> int:
    """A number that is at least 1; argparse calls it by this function's name."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: give at least 1.")
    return number


def main(argv: list[str]) -> int:
    args = _parse(argv)

    from serving.web import api_keys
    from serving.web.usage import Quota

    if args.action == "add":
        quota = Quota(args.videos_a_day, args.bytes_a_day)
        key = api_keys.add_key(args.keys_file, args.name, quota)
        print(f"The key of {args.name}, which nothing can show again:", file=sys.stderr)
        print(key)
    elif args.action == "revoke":
        api_keys.revoke_key(args.keys_file, args.name)
    else:
        keys = api_keys.read_keys(args.keys_file)
        print(f"{'name':20}  {'made':25}  {'videos a day':>12}  {'bytes a day':>15}")
        for one in keys:
            videos, size = one.quota.videos_a_day or "any", one.quota.bytes_a_day or "any"
            print(f"{one.name:20}  {one.made:25}  {videos:>12}  {size:>15}")
    return 0
