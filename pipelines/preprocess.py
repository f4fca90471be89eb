"""The Beam job: raw dataset videos in, face-clip TFRecord shards out."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from rich.console import Console
from rich.table import Table

import beam_options
from pipelines import datasets
from pipelines.clip import SPLITS
from pipelines.config import PreprocessConfig, add_flags, from_flags
from pipelines.shards import INFO_NAME, REJECTS_NAME, is_shard_name
from pipelines.split import audit, split_videos
from pipelines.transforms import REJECTS, ExtractFaces, WriteInfo, WriteShards


class PreprocessError(RuntimeError):
    """The job could not be done: where, what was found, and what to do."""


def preprocess(
    root: str,
    output: str,
    config: PreprocessConfig | None = None,
    *,
    dataset: str = "auto",
    shards: int = 4,
    fractions: tuple[float, float, float] = (0.7, 0.15, 0.15),
    seed: int = 0,
    overwrite: bool = False,
    beam_flags: list[str] | None = None,
) -> dict[str, Any]:
    """Runs the job to its end and returns what it wrote to dataset_info.json.

    Raises DatasetError, ValueError or PreprocessError before any work where the input, the
    settings or the output folder cannot be used.
    """
    config = config or PreprocessConfig()
    found = datasets.find_videos(root, dataset)
    videos, left_out = split_videos(found.videos, found.official, fractions, seed)
    if not videos:
        raise PreprocessError(
            f"{root}: none of {len(found.videos)} videos is in the official split lists. "
            "Do the lists belong to this data set?"
        )
    audited = audit(videos)
    if audited["crossings"] and not found.official:
        raise PreprocessError(f"Identities would cross splits: {audited['crossings'][:3]}.")
    _clear(output, overwrite)
    header = {
        "dataset": found.name,
        "config": config.to_dict(),
        "fingerprint": config.fingerprint,
        "split_rule": "official" if found.official else "identity hash",
        "audit": audited,
        "problems": list(found.problems),
        "left_out": [
            {"video": v.key, "uri": v.uri, "reason": "left_out", "stage": "split", "detail": why}
            for v, why in left_out
        ],
    }
    options = PipelineOptions(
        beam_options.expand(beam_flags or ["@direct"]), pickle_library="cloudpickle"
    )
    with beam.Pipeline(options=options) as pipeline:
        extracted = (
            pipeline
            | "Videos" >> beam.Create(videos)
            # Deals the videos out to workers, whatever step made them.
            | "Deal" >> beam.Reshuffle()
            | "ExtractFaces"
            >> beam.ParDo(ExtractFaces(config, shards)).with_outputs(REJECTS, main="clips")
        )
        written = extracted["clips"] | "WriteShards" >> WriteShards(output, shards)
        _ = (written, extracted[REJECTS]) | "Finish" >> WriteInfo(output, header)
    return _finish(output)


def _clear(output: str, overwrite: bool) -> None:
    """Makes sure of an output folder without a finished data set in it."""
    info = FileSystems.join(output, INFO_NAME)
    if FileSystems.exists(info):
        if not overwrite:
            raise PreprocessError(
                f"{output}: holds a finished data set ({INFO_NAME}). "
                "Give another --output, or --overwrite to replace it."
            )
        FileSystems.delete([info])
    if "://" not in output:
        os.makedirs(output, exist_ok=True)


def _finish(output: str) -> dict[str, Any]:
    """Reads dataset_info.json and removes shards of an earlier run with another count."""
    with FileSystems.open(FileSystems.join(output, INFO_NAME)) as handle:
        info = json.loads(handle.read())
    listed = FileSystems.match([FileSystems.join(output, "*.tfrecord")])[0].metadata_list
    stale = [
        metadata.path
        for metadata in listed
        if is_shard_name(name := FileSystems.split(metadata.path)[1]) and name not in info["shards"]
    ]
    if stale:
        FileSystems.delete(stale)
    return info


def summary(info: dict[str, Any]) -> Table:
    """What the shards hold, as a table."""
    table = Table(title="Face clips")
    for heading in ("split", "videos", "real", "fake", "clips", "identities"):
        table.add_column(heading, justify="left" if heading == "split" else "right")
    for split in SPLITS:
        part = info["splits"][split]
        numbers = (
            part["videos"],
            part["labels"]["real"],
            part["labels"]["fake"],
            part["clips"],
            info["audit"]["splits"][split]["identities"],
        )
        table.add_row(split, *map(str, numbers))
    return table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dfdetect preprocess",
        description="Raw dataset videos to face-clip TFRecord shards.",
        epilog="Beam's own flags go after --, for example: -- @multiprocess. Sets of flags: "
        + ", ".join("@" + name for name in beam_options.names()),
        allow_abbrev=False,
    )
    parser.add_argument("--input", required=True, help="the dataset's root folder")
    parser.add_argument("--output", required=True, help="folder for the shards")
    parser.add_argument(
        "--dataset",
        default="auto",
        choices=["auto", *datasets.ADAPTERS],
        help="how to read the input (default: %(default)s)",
    )
    parser.add_argument(
        "--shards", type=int, default=4, help="shard files per split (default: %(default)s)"
    )
    parser.add_argument(
        "--split-fractions",
        type=_fractions,
        default=(0.7, 0.15, 0.15),
        metavar="TRAIN,VAL,TEST",
        help="shares where there is no official split (default: 0.7,0.15,0.15)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the split by hash")
    parser.add_argument("--overwrite", action="store_true", help="replace a finished data set")
    add_flags(parser, PreprocessConfig)
    return parser


def _fractions(text: str) -> tuple[float, float, float]:
    train, val, test = (float(part) for part in text.split(","))
    return train, val, test


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    cut = argv.index("--") if "--" in argv else len(argv)
    parser = _parser()
    args = parser.parse_args(argv[:cut])
    if args.shards < 1:
        parser.error(f"--shards is {args.shards}; it must be at least 1.")
    try:
        config = from_flags(PreprocessConfig, args)
        beam_flags = beam_options.expand(argv[cut + 1 :])
    except ValueError as error:
        parser.error(str(error))
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    started = time.monotonic()
    try:
        info = preprocess(
            args.input,
            args.output,
            config,
            dataset=args.dataset,
            shards=args.shards,
            fractions=args.split_fractions,
            seed=args.seed,
            overwrite=args.overwrite,
            beam_flags=beam_flags,
        )
    except (ValueError, PreprocessError) as error:
        print(f"dfdetect preprocess: {error}", file=sys.stderr)
        return 1
    console = Console()
    console.print(summary(info))
    for problem in info["problems"]:
        console.print(f"note: {problem}", markup=False, soft_wrap=True)
    if info["rejects"]:
        reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(info["rejects"].items()))
        console.print(
            f"rejects: {reasons}; see {os.path.join(args.output, REJECTS_NAME)}", soft_wrap=True
        )
    console.print(f"{args.output}: done in {time.monotonic() - started:.1f} s")
    if not any(part["clips"] for part in info["splits"].values()):
        print(
            f"dfdetect preprocess: no video of {args.input} gave a face clip; "
            f"the reasons are in {os.path.join(args.output, REJECTS_NAME)}.",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
