"""The Beam job: raw dataset videos in, face-clip TFRecord shards out."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from rich.console import Console

from beam_options import engine
from pipelines import datasets, progress, storage
from pipelines.clip import Reject, Video
from pipelines.config import PreprocessConfig, add_flags, option
from pipelines.datasets.manifest import listed
from pipelines.inspect.report import summary
from pipelines.inspect.statistics import imbalances
from pipelines.job import JobError, JobSettings, command, parser, run, stopped
from pipelines.output import (
    AUDIT_NAME,
    EARLY_REJECTS,
    HEADER,
    INDEX,
    INFO_NAME,
    MANIFEST_NAME,
    OPTIONS,
    PARTS,
    PLAN,
    REJECTS_NAME,
    clear,
    prepare,
)
from pipelines.plan import make_plan, write_plan
from pipelines.shards import is_shard_name
from pipelines.split import GROUPINGS, audit, is_distribution, split_videos
from pipelines.transforms import (
    REJECTS,
    ExtractFaces,
    HashFrames,
    ReadTasks,
    WriteInfo,
    WriteShards,
)

FRAME_HASHES = "frame_hashes.json"  # while near-duplicates are looked for


@dataclasses.dataclass(frozen=True)
class Job(JobSettings):
    """What to take and how to go about it; none of it changes what a crop looks like."""

    dataset: str = option(
        "auto", "how to read the input; auto: whatever fits", ("auto", *datasets.ADAPTERS)
    )
    methods: str = option("", "manipulations to take, separated by commas; empty: all")
    compression: str = option("", "compressions to take, such as c23,c40; empty: all")
    split_fractions: str = option("0.7,0.15,0.15", "shares of train, val and test")
    seed: int = option(0, "another seed, other splits")
    group_by: str = option(
        "identity", "what may not be in two splits: people and sources, or sources only", GROUPINGS
    )
    keep_splits: str = option("", "an earlier data set whose videos keep their splits")
    audit_duplicates: bool = option(False, "look for near-duplicate videos across splits first")

    def __post_init__(self) -> None:
        super().__post_init__()
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
    beam_flags: Sequence[str] = ("@direct",),
    console: Console | None = None,
) -> dict[str, Any]:
    """Runs the job to its end and returns what it wrote to dataset_info.json; {} of a dry run.

    Run again after a crash it goes on with what is not finished. Raises ValueError (EngineError,
    DatasetError) or JobError before any work where the flags, the input, the settings or the
    output folder cannot be used, and JobError where the work stops, as on a full disk.
    console: where engine, progress and metrics are shown, if anywhere.
    """
    config, job = config or PreprocessConfig(), job or Job()
    options = engine.parse(beam_flags)
    engine.require_reachable(options, {"--output": output})
    found = datasets.select(
        datasets.find_videos(root, job.dataset), _words(job.methods), _words(job.compression)
    )
    videos, rejects = _split(found, job, output)
    if not videos:
        raise JobError(
            f"{root}: none of its {sum(len(d.videos) for d in found)} videos has a place in a "
            f"split: {rejects[0].detail if rejects else 'there is none'}"
        )
    engine.require_reachable(options, {f"{video.key}:": video.uri for video in videos})
    audited = audit(videos, _officially_split(found))
    if job.group_by == "identity" and not all(c["official"] for c in audited["crossings"]):
        raise JobError(f"Identities would cross splits: {audited['crossings'][:3]}.")
    manifest = datasets.write_manifest(videos)
    pipeline = beam.Pipeline(options=options)
    build(pipeline, output, config, job)
    if engine.is_dry_run(options):
        engine.rehearse(pipeline, console)
        return {}
    prepare(output, INFO_NAME, (INDEX, PARTS), job.overwrite, job.update)
    engine.announce(options, storage.join(output, OPTIONS), console)
    tasks = make_plan(videos, config, output)
    write_plan(storage.join(output, PLAN), tasks)
    storage.write_lines(storage.join(output, EARLY_REJECTS), map(dataclasses.asdict, rejects))
    if job.audit_duplicates:
        audited["duplicates"] = _duplicates(videos, output, options)
    audited["missing"] = {d.name: list(d.missing) for d in found if d.missing}
    storage.write_json(storage.join(output, AUDIT_NAME), audited)
    storage.write_atomically(storage.join(output, MANIFEST_NAME), [manifest])
    header = {
        "dataset": " ".join(dataset.name for dataset in found),
        "config": config.to_dict(),
        "fingerprint": config.fingerprint,
        "split_rule": _split_rule(found, job),
        "problems": [note for dataset in found for note in dataset.notes] + _warnings(audited),
    }
    storage.write_json(storage.join(output, HEADER), header)
    keys = {progress.key(task.part) for task in tasks if not task.kept}
    run(pipeline, output, keys, ".tfrecord", len(tasks) - len(keys), console)
    return _finish(output)


def build(pipeline: beam.Pipeline, output: str, config: PreprocessConfig, job: Job) -> None:
    """Puts the steps of the job into a pipeline, from the plan in `output` to its shards."""
    options = pipeline.options
    threads = job.threads or engine.worker_threads(options)
    faces = beam.ParDo(ExtractFaces(output, config, job.shards, threads, job.time_limit))
    faces = engine.with_face_hints(faces, options)
    extracted = (
        pipeline
        | "ReadTasks" >> ReadTasks(storage.join(output, PLAN))
        | "ExtractFaces" >> faces.with_outputs(REJECTS, main="videos")
    )
    written = extracted["videos"] | "WriteShards" >> WriteShards(output, job.shards)
    _ = (written, extracted[REJECTS]) | "Finish" >> WriteInfo(output)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _split(
    found: Sequence[datasets.Dataset], job: Job, output: str
) -> tuple[list[Video], list[Reject]]:
    """All videos with their split, and the rejects of the adapters and of the splits."""
    keep: dict[str, str] = {}
    if job.keep_splits:
        keep = _kept_splits(job.keep_splits)
    elif job.update and storage.exists(storage.join(output, MANIFEST_NAME)):
        keep = _kept_splits(output)
    videos: list[Video] = []
    rejects: list[Reject] = []
    for dataset in found:
        placed = split_videos(dataset, job.fractions, job.seed, job.group_by, keep)
        videos.extend(placed.videos)
        rejects.extend((*dataset.rejects, *placed.rejects))
    return videos, rejects


def _kept_splits(folder: str) -> dict[str, str]:
    """Video key -> split of an earlier data set, from the manifest beside its shards."""
    path = storage.join(folder, MANIFEST_NAME)
    if not storage.exists(path):
        raise JobError(
            f"--keep-splits {folder}: no {MANIFEST_NAME} in it. Give the --output of an earlier "
            "`dfdetect preprocess`."
        )
    with storage.local_copy(path) as copy:
        return {key: split for key, (_, _, split) in listed(Path(copy)).items()}


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

    path = storage.join(output, FRAME_HASHES)
    pipeline = beam.Pipeline(options=options)
    _ = (
        pipeline
        | "ReadTasks" >> ReadTasks(storage.join(output, PLAN))
        | "HashFrames" >> beam.ParDo(HashFrames())
        | "Gather" >> beam.combiners.ToDict()
        | "WriteHashes" >> beam.Map(lambda hashes: storage.write_json(path, hashes))
    )
    try:
        engine.run(pipeline)
    except Exception as error:
        raise stopped(output, error) from error
    hashes = storage.read_json(path)
    storage.remove(path)
    return {
        "pairs": near_duplicates(hashes, {video.key: video.split for video in videos}),
        "unreadable": sorted(key for key, values in hashes.items() if not values),
    }


def _finish(output: str) -> dict[str, Any]:
    """Reads dataset_info.json and removes shards of a run with another count."""
    info = storage.read_json(storage.join(output, INFO_NAME))
    for name in storage.names(output, "*.tfrecord"):
        if is_shard_name(name) and name not in info["shards"]:
            storage.remove(storage.join(output, name), storage.join(output, INDEX, f"{name}.json"))
    clear(output)
    return info


def main(argv: list[str] | None = None) -> int:
    flags = parser("preprocess", "Raw dataset videos to face-clip TFRecord shards.")
    flags.add_argument("--input", required=True, help="a data set's folder or CSV file; also gs://")
    flags.add_argument("--output", required=True, help="folder for the shards")
    add_flags(flags.add_argument_group("what to take and how to run"), Job)
    add_flags(flags.add_argument_group("how crops are made"), PreprocessConfig)
    return command(flags, (PreprocessConfig, Job), argv, _work)


def _work(
    args: argparse.Namespace, settings: list[Any], beam_flags: Sequence[str], console: Console
) -> int:
    started = time.monotonic()
    config, job = settings
    info = preprocess(args.input, args.output, config, job, beam_flags, console)
    if not info:  # a dry run
        return 0
    console.print(summary(info))
    for problem in (*info["problems"], *imbalances(info)):
        console.print(f"note: {problem}", markup=False, soft_wrap=True)
    if info["rejects"]:
        reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(info["rejects"].items()))
        where = storage.join(args.output, REJECTS_NAME)
        console.print(f"rejects: {reasons}; see {where}", soft_wrap=True)
    videos = sum(part["videos"] for part in info["splits"].values())
    seconds = time.monotonic() - started
    said = f"{args.output}: {videos} videos in {seconds:.1f} s, {videos / seconds:.2f} a second"
    console.print(said, soft_wrap=True)
    if not videos:
        raise JobError(
            f"no video of {args.input} gave a face clip; the reasons are in "
            f"{storage.join(args.output, REJECTS_NAME)}."
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
