"""The command `dfdetect inspect`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from pipelines.clip import LABEL_NAMES, SPLITS, Clip, Video
from pipelines.datasets.lists import LABELS
from pipelines.inspect.info import load_info
from pipelines.inspect.records import parse_record, read_records
from pipelines.inspect.report import report, verified
from pipelines.inspect.statistics import statistics
from pipelines.inspect.verify import Contents, verify


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dfdetect inspect",
        description="What is in a folder of face-clip shards, and whether it is what was written.",
        epilog="Exit codes: 0 all is well, 1 something is wrong, 2 wrong usage.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", help="what `dfdetect preprocess` wrote")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.add_argument(
        "--quick", action="store_true", help="counts and checksums; do not look into the records"
    )
    parser.add_argument("--contact-sheet", metavar="PNG", help="draw a row of crops per clip")
    parser.add_argument("--rows", type=int, default=16, help="rows of it (default: %(default)s)")
    parser.add_argument(
        "--export-frames", metavar="DIR", help="write every crop as a file, and index.csv"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an earlier --export-frames"
    )
    only = parser.add_argument_group("which clips to draw or export")
    only.add_argument("--split", choices=SPLITS)
    only.add_argument("--method", help="such as Deepfakes, or original")
    only.add_argument("--label", choices=tuple(LABEL_NAMES.values()))
    return parser


def _parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Exits with code 2 where flags contradict each other."""
    parser = _parser()
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


def _make_pictures(args: argparse.Namespace, info: dict, contents: Contents) -> Iterator[str]:
    """Draws and exports what is asked for, without damaged records -> a sentence about each."""
    from pipelines.inspect.contact_sheet import spread, write_contact_sheet
    from pipelines.inspect.export_frames import export_frames

    wanted = (args.split, LABELS.get(args.label), args.method)
    groups = {
        key: contents.places[key]
        for key in sorted(contents.places, key=lambda key: (SPLITS.index(key[0]), *key[1:]))
        if all(one in (None, found) for one, found in zip(wanted, key, strict=True))
    }
    if not groups:
        raise ValueError(f"{args.folder}: none of its clips without a problem is asked for.")
    places = sorted(place for group in groups.values() for place in group)
    if args.contact_sheet:
        chosen = spread(groups, args.rows)
        shown = f"{len(chosen)} of {len(places)} clips"
        title = f"{info['dataset']}   {info['fingerprint']}   {shown}"
        write_contact_sheet(args.contact_sheet, list(_clips_at(args.folder, chosen)), title)
        yield f"{args.contact_sheet}: {shown}"
    if args.export_frames:
        clips = _clips_at(args.folder, places)
        count = export_frames(clips, args.export_frames, args.overwrite)
        yield f"{args.export_frames}: {count} crops of {len(places)} clips, and index.csv"


def _clips_at(folder: str, places: list[tuple[str, int]]) -> Iterator[tuple[Video, Clip]]:
    for shard, offset in places:
        video, clip, _ = parse_record(next(read_records(Path(folder) / shard, offset)).data)
        yield video, clip


def _inspect(args: argparse.Namespace) -> tuple[dict, dict, list[str], list[str]]:
    """dataset_info.json, statistics, problems, and a sentence about each picture made."""
    folder = Path(args.folder)
    made: list[str] = []
    info = load_info(args.folder)
    facts = statistics(folder, info)
    if args.export_frames:
        from pipelines.inspect.export_frames import require_free

        require_free(args.export_frames, args.overwrite)  # now, not after an hour of reading
    contents = None if args.quick else Contents(folder, info)
    problems = verify(folder, info, contents)
    if contents:
        for split, tally in contents.tallies.items():
            facts["splits"][split].update(tally.statistics())
        try:
            if args.contact_sheet or args.export_frames:
                made.extend(_make_pictures(args, info, contents))
        except (OSError, ValueError) as error:  # what is found by then is worth telling
            problems.append(str(error))
    return info, facts, problems, made


def main(argv: list[str] | None = None) -> int:
    args = _parse_args(argv)
    try:
        info, facts, problems, made = _inspect(args)
    except (OSError, ValueError) as error:
        print(f"dfdetect inspect: {error}", file=sys.stderr)
        return 1
    if args.json:
        whole = {**info, "notes": info["problems"], "statistics": facts, "problems": problems}
        print(json.dumps(whole, indent=2, sort_keys=True, allow_nan=False))
    else:
        console = Console()
        # Redirected, it is as wide as a terminal often is, not 80 columns.
        console = console if console.is_terminal else Console(width=100)
        words = verified(info, problems, args.quick)
        report(console, Path(args.folder), info, facts, [words, *made])
    for problem in problems:
        print(f"dfdetect inspect: {problem}", file=sys.stderr)
    return 1 if problems else 0
