"""The Beam job: raw dataset videos in, face-clip TFRecord shards out."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions
from rich.console import Console

import beam_options
from pipelines import datasets, progress
from pipelines.clip import Reject, Video
from pipelines.config import (
    DECODE_LIMIT_S,
    PreprocessConfig,
    add_flags,
    check_fields,
    from_flags,
    option,
)
from pipelines.datasets.manifest import listed
from pipelines.inspect.report import summary
from pipelines.inspect.statistics import imbalances
from pipelines.shards import (
    AUDIT_NAME,
    INFO_NAME,
    MANIFEST_NAME,
    PARTS,
    REJECT_MARK,
    REJECTS_NAME,
    is_shard_name,
    part_name,
    write_atomically,
    write_json,
)
from pipelines.split import GROUPINGS, audit, is_distribution, split_videos
from pipelines.transforms import REJECTS, ExtractFaces, HashFrames, WriteInfo, WriteShards


class PreprocessError(RuntimeError):
    """The job could not be done: where, what was found, and what to do."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What to take and how to go about it; none of it changes what a crop looks like."""

    dataset: str = option(
        "auto", "how to read the input; auto: whatever fits", ("auto", *datasets.ADAPTERS)
    )
    methods: str = option("", "manipulations to take, separated by commas; empty: all")
    compression: str = option("", "compressions to take, such as c23,c40; empty: all")
    shards: int = option(4, "shard files per split")
    split_fractions: str = option("0.7,0.15,0.15", "shares of train, val and test")
    seed: int = option(0, "another seed, other splits")
    group_by: str = option(
        "identity", "what may not be in two splits: people and sources, or sources only", GROUPINGS
    )
    keep_splits: str = option("", "an earlier data set whose videos keep their splits")
    audit_duplicates: bool = option(False, "look for near-duplicate videos across splits first")
    time_limit: float = option(DECODE_LIMIT_S, "seconds that decoding may take for one video")
    threads: int = option(
        0, "threads of a worker process; 0: one with several worker processes, else one per core"
    )
    overwrite: bool = option(False, "replace a finished data set")

    BOUNDS: ClassVar[Mapping[str, tuple[float, float]]] = {
        "shards": (1, 99999),
        "time_limit": (0.001, 1e6),
        "threads": (0, 1024),
    }

    def __post_init__(self) -> None:
        check_fields(self)
        try:
            shares = self.fractions
        except ValueError:
            shares = (-1.0, -1.0, -1.0)
        if not is_distribution(shares):
            raise ValueError(
                f"--split-fractions is {self.split_fractions}; three shares that add up to 1 are "
                "needed, such as 0.7,0.15,0.15."
            )

    @property
    def fractions(self) -> tuple[float, float, float]:
        train, val, test = map(float, self.split_fractions.split(","))
        return train, val, test


def preprocess(
    root: str,
    output: str,
    config: PreprocessConfig | None = None,
    job: Job | None = None,
    beam_flags: list[str] | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Runs the job to its end and returns what it wrote to dataset_info.json.

    Run again after a crash it goes on with the videos that are not finished. Raises
    DatasetError, ValueError or PreprocessError before any work where the input, the settings or
    the output folder cannot be used, and PreprocessError where the work stops, as on a full disk.
    console: where progress is shown, if anywhere.
    """
    config, job = config or PreprocessConfig(), job or Job()
    flags = beam_options.expand(beam_flags or ["@direct"])
    options = PipelineOptions(flags, pickle_library="cloudpickle")
    found = datasets.select(
        datasets.find_videos(root, job.dataset), _words(job.methods), _words(job.compression)
    )
    videos, rejects = _split(found, job)
    if not videos:
        raise PreprocessError(
            f"{root}: none of its {sum(len(d.videos) for d in found)} videos has a place in a "
            f"split: {rejects[0].detail if rejects else 'there is none'}"
        )
    audited = audit(videos, _officially_split(found))
    if job.group_by == "identity" and not all(c["official"] for c in audited["crossings"]):
        raise PreprocessError(f"Identities would cross splits: {audited['crossings'][:3]}.")
    manifest = datasets.write_manifest(videos)
    _prepare(output, job.overwrite)
    if job.audit_duplicates:
        audited["duplicates"] = _duplicates(videos, output, options)
    audited["missing"] = {d.name: list(d.missing) for d in found if d.missing}
    write_json(FileSystems.join(output, AUDIT_NAME), audited)
    write_atomically(FileSystems.join(output, MANIFEST_NAME), [manifest])
    header = {
        "dataset": " ".join(dataset.name for dataset in found),
        "config": config.to_dict(),
        "fingerprint": config.fingerprint,
        "split_rule": _split_rule(found, job),
        "problems": [note for dataset in found for note in dataset.notes] + _warnings(audited),
    }
    try:
        with _progress(output, [part_name(v, config.fingerprint) for v in videos], console):
            _run(videos, rejects, header, output, config, job, options)
    except Exception as error:
        cause = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise PreprocessError(
            f"{output}: the job stopped: {cause}. Finished videos are kept; mend the cause and "
            "run the same command again to go on."
        ) from error
    return _finish(output)


def _run(
    videos: list[Video],
    rejects: list[Reject],
    header: dict[str, Any],
    output: str,
    config: PreprocessConfig,
    job: Job,
    options: PipelineOptions,
) -> None:
    threads = job.threads or _default_threads(options)
    extract = ExtractFaces(output, config, job.shards, threads, job.time_limit)
    with beam.Pipeline(options=options) as pipeline:
        extracted = (
            pipeline
            | "Videos" >> beam.Create(videos)
            # Deals the videos out to workers, whatever step made them.
            | "Deal" >> beam.Reshuffle()
            | "ExtractFaces" >> beam.ParDo(extract).with_outputs(REJECTS, main="videos")
        )
        written = extracted["videos"] | "WriteShards" >> WriteShards(output, job.shards)
        _ = (written, extracted[REJECTS]) | "Finish" >> WriteInfo(output, header, rejects)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _split(found: Sequence[datasets.Dataset], job: Job) -> tuple[list[Video], list[Reject]]:
    """All videos with their split, and the rejects of the adapters and of the splits."""
    keep = _kept_splits(job.keep_splits) if job.keep_splits else {}
    videos: list[Video] = []
    rejects: list[Reject] = []
    for dataset in found:
        placed = split_videos(dataset, job.fractions, job.seed, job.group_by, keep)
        videos.extend(placed.videos)
        rejects.extend((*dataset.rejects, *placed.rejects))
    return videos, rejects


def _kept_splits(folder: str) -> dict[str, str]:
    """Video key -> split of an earlier data set, from the manifest beside its shards."""
    path = Path(folder) / MANIFEST_NAME
    if not path.is_file():
        raise PreprocessError(
            f"--keep-splits {folder}: no {MANIFEST_NAME} in it. Give the --output of an earlier "
            "`dfdetect preprocess`."
        )
    return {key: split for key, (_, _, split) in listed(path).items()}


def _officially_split(found: Sequence[datasets.Dataset]) -> list[str]:
    return [v.key for dataset in found for v in dataset.videos if v.split or dataset.official]


def _split_rule(found: Sequence[datasets.Dataset], job: Job) -> str:
    rules = {
        "official" if dataset.official else f"{job.group_by} {dataset.deal}" for dataset in found
    }
    return ", ".join(sorted(rules))


def _warnings(audited: dict[str, Any]) -> list[str]:
    """What the audit found and a user should not overlook."""
    warnings = []
    if audited["crossings"]:
        first = audited["crossings"][0]
        warnings.append(
            f"{len(audited['crossings'])} identities or sources are in more than one split, by "
            f"the data set's own lists or --group-by, first {first['kind']} {first['name']} in "
            f"{' and '.join(first['splits'])}; all are in {AUDIT_NAME}."
        )
    pairs = audited.get("duplicates", {}).get("pairs", [])
    if pairs:
        warnings.append(
            f"{len(pairs)} pairs of videos in two splits look the same, first {pairs[0]['a']} and "
            f"{pairs[0]['b']}; all are in {AUDIT_NAME}."
        )
    return warnings


def _duplicates(videos: list[Video], output: str, options: PipelineOptions) -> dict[str, Any]:
    """The near-duplicates across splits, and the videos that could not be looked at."""
    from pipelines.duplicates import near_duplicates

    path = FileSystems.join(output, "frame_hashes.json")
    with beam.Pipeline(options=options) as pipeline:
        _ = (
            pipeline
            | "Videos" >> beam.Create(videos)
            | "Deal" >> beam.Reshuffle()
            | "HashFrames" >> beam.ParDo(HashFrames())
            | "Gather" >> beam.combiners.ToDict()
            | "WriteHashes" >> beam.Map(lambda hashes: write_json(path, hashes))
        )
    hashes = _read_json(path)
    FileSystems.delete([path])
    return {
        "pairs": near_duplicates(hashes, {video.key: video.split for video in videos}),
        "unreadable": sorted(key for key, values in hashes.items() if not values),
    }


def _prepare(output: str, overwrite: bool) -> None:
    """Makes sure of an output folder without a finished data set or marks of an earlier run."""
    info = FileSystems.join(output, INFO_NAME)
    if FileSystems.exists(info):
        if not overwrite:
            raise PreprocessError(
                f"{output}: holds a finished data set ({INFO_NAME}). "
                "Give another --output, or --overwrite to replace it."
            )
        FileSystems.delete([info])
    if "://" not in output:
        os.makedirs(os.path.join(output, PARTS), exist_ok=True)
    _delete(FileSystems.join(output, PARTS, f"*{REJECT_MARK}"))
    _delete(FileSystems.join(output, PARTS, "*.tmp"))


def _delete(pattern: str) -> None:
    paths = _matching(pattern)
    if paths:
        FileSystems.delete(paths)


def _matching(pattern: str) -> list[str]:
    return [metadata.path for metadata in FileSystems.match([pattern])[0].metadata_list]


def _default_threads(options: PipelineOptions) -> int:
    """One for each of several worker processes; else 0, one per core."""
    return int(options.view_as(DirectOptions).direct_running_mode == "multi_processing")


def _progress(
    output: str, parts: list[str], console: Console | None
) -> contextlib.AbstractContextManager[None]:
    if console is None or "://" in output:
        return contextlib.nullcontext()
    return progress.shown(os.path.join(output, PARTS), set(parts), console)


def _finish(output: str) -> dict[str, Any]:
    """Reads dataset_info.json and removes parts, and shards of a run with another count."""
    info = _read_json(FileSystems.join(output, INFO_NAME))
    stale = [
        path
        for path in _matching(FileSystems.join(output, "*.tfrecord"))
        if is_shard_name(name := FileSystems.split(path)[1]) and name not in info["shards"]
    ]
    if stale:
        FileSystems.delete(stale)
    _delete(FileSystems.join(output, PARTS, "*"))
    if "://" not in output:
        os.rmdir(os.path.join(output, PARTS))
    return info


def _read_json(path: str) -> Any:
    with FileSystems.open(path) as handle:
        return json.loads(handle.read())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dfdetect preprocess",
        description="Raw dataset videos to face-clip TFRecord shards.",
        epilog="Beam's own flags go after --, for example: -- @multiprocess. Sets of flags: "
        + ", ".join("@" + name for name in beam_options.names()),
        allow_abbrev=False,
    )
    parser.add_argument("--input", required=True, help="the data set's root folder, or a CSV file")
    parser.add_argument("--output", required=True, help="folder for the shards")
    add_flags(parser.add_argument_group("what to take and how to run"), Job)
    add_flags(parser.add_argument_group("how crops are made"), PreprocessConfig)
    return parser


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    cut = argv.index("--") if "--" in argv else len(argv)
    parser = _parser()
    args = parser.parse_args(argv[:cut])
    try:
        config, job = from_flags(PreprocessConfig, args), from_flags(Job, args)
        beam_flags = beam_options.expand(argv[cut + 1 :])
    except ValueError as error:
        parser.error(str(error))
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    console = Console()
    started = time.monotonic()
    try:
        info = preprocess(args.input, args.output, config, job, beam_flags, console)
    except (ValueError, PreprocessError) as error:
        print(f"dfdetect preprocess: {error}", file=sys.stderr)
        return 1
    console.print(summary(info))
    for problem in (*info["problems"], *imbalances(info)):
        console.print(f"note: {problem}", markup=False, soft_wrap=True)
    if info["rejects"]:
        reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(info["rejects"].items()))
        console.print(
            f"rejects: {reasons}; see {os.path.join(args.output, REJECTS_NAME)}", soft_wrap=True
        )
    videos = sum(part["videos"] for part in info["splits"].values())
    seconds = time.monotonic() - started
    console.print(
        f"{args.output}: {videos} videos in {seconds:.1f} s, {videos / seconds:.2f} a second"
    )
    if not videos:
        print(
            f"dfdetect preprocess: no video of {args.input} gave a face clip; "
            f"the reasons are in {os.path.join(args.output, REJECTS_NAME)}.",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
