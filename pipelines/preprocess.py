"""Preprocessing job: raw dataset videos in, face-clip TFRecord shards out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from rich.console import Console

from pipelines import datasets, storage
from pipelines.beam import engine, progress
from pipelines.beam.job import run, stopped
from pipelines.beam.output import EARLY_REJECTS, HEADER, OPTIONS, PARTS, PLAN, clear, prepare
from pipelines.beam.plan import make_plan, write_plan
from pipelines.beam.settings import PreprocessSettings
from pipelines.beam.transforms import (
    REJECTS,
    ExtractFaces,
    HashVideos,
    ReadTasks,
    WriteInfo,
    WriteShards,
)
from pipelines.clip import Reject, Video
from pipelines.config import PreprocessConfig
from pipelines.datasets.manifest import read_manifest
from pipelines.datasets.same_file import one_per_content
from pipelines.errors import JobError
from pipelines.inspect.statistics import imbalances
from pipelines.inspect.terminal import summary
from pipelines.shards.layout import (
    AUDIT_NAME,
    INDEX,
    INFO_NAME,
    MANIFEST_NAME,
    REJECTS_NAME,
    is_shard_name,
)
from pipelines.splits.assign import split_videos, why_empty
from pipelines.splits.audit import audit
from pipelines.splits.near_duplicates import near_duplicates

HASHES = "video_hashes.json"  # while duplicates are looked for


def preprocess(
    root: str,
    output: str,
    config: PreprocessConfig | None = None,
    job: PreprocessSettings | None = None,
    beam_flags: Sequence[str] = ("@direct",),
    console: Console | None = None,
) -> dict[str, Any]:
    """Runs the job to its end and returns what it wrote to dataset_info.json; {} of a dry run.

    Run again after a crash it resumes with what is not finished. Raises ValueError (EngineError,
    DatasetError) or JobError before any work where the flags, the input, the settings or the
    output folder cannot be used, JobError where the work stops, as on a full disk, and
    DatasetError where `audit_duplicates` finds a file that is called real and fake.
    console: where engine, progress and metrics are shown, if anywhere.
    """
    config, job = config or PreprocessConfig(), job or PreprocessSettings()
    options = engine.parse(beam_flags)
    engine.require_reachable(options, {"--output": output})
    selected = datasets.select(
        datasets.find_videos(root, job.dataset), _words(job.methods), _words(job.compression)
    )
    videos, rejects = _split(root, selected, job, output)
    engine.require_reachable(options, {f"{video.key}:": video.uri for video in videos})
    audited = _audit(videos, selected, job)
    manifest = datasets.write_manifest(videos)
    pipeline = beam.Pipeline(options=options)
    build(pipeline, output, config, job)
    if engine.is_dry_run(options):
        engine.rehearse(pipeline, console)
        return {}
    prepare(output, INFO_NAME, (INDEX, PARTS), job.overwrite, job.update)
    engine.announce(options, storage.join(output, OPTIONS), console)
    tasks = make_plan(_written(videos, job), config, output)
    write_plan(storage.join(output, PLAN), tasks)
    if job.audit_duplicates:
        videos, copies, duplicates = _duplicates(videos, output, options)
        rejects += copies
        audited = {**_audit(videos, selected, job), "duplicates": duplicates}
        manifest = datasets.write_manifest(videos)
        tasks = make_plan(_written(videos, job), config, output)
        write_plan(storage.join(output, PLAN), tasks)
    storage.write_lines(storage.join(output, EARLY_REJECTS), map(dataclasses.asdict, rejects))
    audited["missing"] = {d.name: list(d.missing) for d in selected if d.missing}
    storage.write_json(storage.join(output, AUDIT_NAME), audited)
    storage.write_atomically(storage.join(output, MANIFEST_NAME), [manifest])
    header = {
        "dataset": " ".join(dataset.name for dataset in selected),
        "config": config.to_dict(),
        "fingerprint": config.fingerprint,
        "generated": any(dataset.generated for dataset in selected),
        "split_rule": _split_rule(selected, job),
        "problems": [*_notes(videos, selected, job), *_warnings(audited)],
    }
    storage.write_json(storage.join(output, HEADER), header)
    keys = {progress.key(task.part) for task in tasks if not task.kept}
    run(pipeline, output, keys, ".tfrecord", len(tasks) - len(keys), console)
    return _finish(output)


def build(
    pipeline: beam.Pipeline, output: str, config: PreprocessConfig, job: PreprocessSettings
) -> None:
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


def _written(videos: Sequence[Video], job: PreprocessSettings) -> list[Video]:
    """Those of the splits to write. All others are dealt, audited and listed too: which split a
    video is in does not depend on what is written."""
    return [video for video in videos if video.split in job.written_splits]


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _split(
    root: str, selected: Sequence[datasets.Dataset], job: PreprocessSettings, output: str
) -> tuple[list[Video], list[Reject]]:
    """All videos with their split, and the rejects of the adapters and of the splits.

    Raises JobError where no video has a split.
    """
    keep: dict[str, str] = {}
    if job.keep_splits:
        keep = _kept_splits(job.keep_splits)
    elif job.update and storage.exists(storage.join(output, MANIFEST_NAME)):
        keep = _kept_splits(output)
    videos: list[Video] = []
    rejects: list[Reject] = []
    for dataset in selected:
        assigned = split_videos(dataset, job.fractions, job.seed, job.group_by, keep)
        videos.extend(assigned.videos)
        rejects.extend((*dataset.rejects, *assigned.rejects))
    if not videos:
        raise JobError(
            f"{root}: none of its {sum(len(d.videos) for d in selected)} videos has a place in a "
            f"split: {rejects[0].detail if rejects else 'there is none'}"
        )
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
        return {video.key: video.split for video in read_manifest(Path(copy))}


def _audit(
    videos: Sequence[Video], selected: Sequence[datasets.Dataset], job: PreprocessSettings
) -> dict[str, Any]:
    """The leakage audit. Raises JobError where our own splits would leak identities."""
    official = [
        v.key for dataset in selected for v in dataset.videos if v.split or dataset.official
    ]
    audited = audit(videos, official)
    if job.group_by == "identity" and not all(c["official"] for c in audited["crossings"]):
        raise JobError(f"Identities would cross splits: {audited['crossings'][:3]}.")
    return audited


def _split_rule(selected: Sequence[datasets.Dataset], job: PreprocessSettings) -> str:
    rules = {
        "official" if dataset.official else f"{job.group_by} {dataset.deal}" for dataset in selected
    }
    return ", ".join(sorted(rules))


def _notes(
    videos: Sequence[Video], selected: Sequence[datasets.Dataset], job: PreprocessSettings
) -> list[str]:
    """What there is to know of the data sets and their splits."""
    notes: list[str] = []
    for dataset in selected:
        keys = {video.key for video in dataset.videos}
        placed = [video for video in videos if video.key in keys]
        why = why_empty(dataset, placed, job.fractions, job.group_by)
        notes += [*dataset.notes, *filter(None, [why])]
    return notes


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


def _duplicates(
    videos: list[Video], output: str, options: PipelineOptions
) -> tuple[list[Video], list[Reject], dict[str, Any]]:
    """The videos without copies, a reject for each copy, and, for the audit, the near-duplicates
    across splits and the videos that could not be looked at."""
    path = storage.join(output, HASHES)
    pipeline = beam.Pipeline(options=options)
    _ = (
        pipeline
        | "ReadTasks" >> ReadTasks(storage.join(output, PLAN))
        | "HashVideos" >> beam.ParDo(HashVideos())
        | "Gather" >> beam.combiners.ToDict()
        | "WriteHashes" >> beam.Map(lambda hashes: storage.write_json(path, hashes))
    )
    try:
        engine.run(pipeline)
    except Exception as error:
        raise stopped(output, error) from error
    hashes = storage.read_json(path)
    storage.remove(path)
    videos, copies = one_per_content(sorted(videos), {key: one for key, (one, _) in hashes.items()})
    frames = {video.key: hashes[video.key][1] for video in videos}
    duplicates = {
        "pairs": near_duplicates(frames, {video.key: video.split for video in videos}),
        "unreadable": sorted(key for key, values in frames.items() if not values),
    }
    return videos, copies, duplicates


def _finish(output: str) -> dict[str, Any]:
    """Reads dataset_info.json and removes shards of a run with another count."""
    info = storage.read_json(storage.join(output, INFO_NAME))
    for name in storage.names(output, "*.tfrecord"):
        if is_shard_name(name) and name not in info["shards"]:
            storage.remove(storage.join(output, name), storage.join(output, INDEX, f"{name}.json"))
    clear(output)
    return info


def print_summary(console: Console, output: str, info: dict[str, Any], seconds: float) -> None:
    """What a job made: counts by split, what a user should know, rejects, and its speed."""
    console.print(summary(info))
    for problem in (*info["problems"], *imbalances(info)):
        console.print(f"note: {problem}", markup=False, soft_wrap=True)
    if info["rejects"]:
        reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(info["rejects"].items()))
        path = storage.join(output, REJECTS_NAME)
        console.print(f"rejects: {reasons}; see {path}", soft_wrap=True)
    videos = _videos(info)
    line = f"{output}: {videos} videos in {seconds:.1f} s, {videos / seconds:.2f} a second"
    console.print(line, soft_wrap=True)


def require_clips(root: str, output: str, info: dict[str, Any]) -> None:
    """Raises JobError where a job gave no clip at all."""
    if not _videos(info):
        raise JobError(
            f"no video of {root} gave a face clip; the reasons are in "
            f"{storage.join(output, REJECTS_NAME)}."
        )


def _videos(info: dict[str, Any]) -> int:
    return sum(part["videos"] for part in info["splits"].values())
