"""Batch scoring of an archive, as a Beam job: videos and an exported model in, verdicts out."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence, Set
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystem import FileMetadata
from rich.console import Console

from pipelines import storage
from pipelines.beam import engine
from pipelines.beam.job import run
from pipelines.beam.output import OPTIONS, PARTS, PLAN, clear, prepare
from pipelines.beam.transforms import REJECTS, ReadTasks
from pipelines.coverage import ScanSettings
from pipelines.datasets.same_file import file_key
from pipelines.datasets.scan import is_video
from pipelines.ensemble import Ensemble
from pipelines.errors import JobError
from pipelines.exported_model import export_identity
from pipelines.shards.layout import REJECTS_NAME
from serving.analysis.video_result import DEMO, DEMO_REASON, verdict_words
from serving.batch.scoring_model import ScoringPanel
from serving.batch.settings import ScoreSettings
from serving.batch.transforms import (
    INFO_NAME,
    MOMENTS,
    ReadKept,
    ScoreTask,
    ScoreVideos,
    WriteScores,
    WriteScoresInfo,
    read_score_plan,
)
from serving.client import ModelServerError, ModelSource
from serving.provenance.reader import FactsReader

FACTS_FORMAT = 1  # raise when the facts of earlier versions are not what would be told now
MOMENTS_FORMAT = 2  # raise when the files of moments of earlier versions cannot be used


def score(
    inputs: Sequence[str],
    models: Sequence[ModelSource],
    output: str,
    settings: ScoreSettings | None = None,
    beam_flags: Sequence[str] = ("@direct",),
    console: Console | None = None,
    scan: ScanSettings | None = None,
    facts_reader: FactsReader | None = None,
    ensemble: Ensemble | None = None,
) -> dict[str, Any]:
    """Runs the job to its end and returns what it wrote to scores_info.json; {} of a dry run.

    inputs: files, folders, and patterns in which * stands for anything but a slash and ** for
    anything; on any of Beam's file systems, as folders of models. models: the first decides, unless
    there is an ensemble of them. scan: how closely to look. facts_reader: reads what is known of a
    file beside what it shows; None: that is not told.

    Run again after a crash it resumes with what is not finished. Raises ValueError (EngineError),
    OSError or JobError before any work where the flags, the model, the input or the output folder
    cannot be used, and JobError where the work stops, as when a model server is gone for good.
    """
    settings, scan = settings or ScoreSettings(), scan or ScanSettings()
    options = engine.parse(beam_flags)
    places = {"--output": output, **{f"--input {i}:": path for i, path in enumerate(inputs, 1)}}
    for place in (place for source in models for place in source.places):
        engine.require_reachable(options, {**places, "--model": place})
    files = find_files(inputs)
    panel = _describe(models, ensemble)
    pipeline = beam.Pipeline(options=options)
    build(pipeline, output, panel, settings, scan, facts_reader)
    if engine.is_dry_run(options):
        engine.rehearse(pipeline, console)
        return {}
    prepare(output, INFO_NAME, (PARTS, MOMENTS), settings.overwrite, settings.update)
    if settings.overwrite:
        storage.delete(storage.join(output, MOMENTS), "*.json")
    engine.announce(options, storage.join(output, OPTIONS), console)
    tasks = _plan(files, panel, output, settings, scan, facts_reader)
    storage.write_lines(storage.join(output, PLAN), map(dataclasses.asdict, tasks))
    keys = {task.key for task in tasks if not task.done}
    run(pipeline, output, keys, ".json", len(tasks) - len(keys), console)
    return _finish(output, {task.moments for task in tasks})


def _describe(models: Sequence[ModelSource], ensemble: Ensemble | None) -> ScoringPanel:
    try:
        return ScoringPanel.describe(models, ensemble)
    except ModelServerError as error:
        raise JobError(str(error)) from error


def build(
    pipeline: beam.Pipeline,
    output: str,
    panel: ScoringPanel,
    settings: ScoreSettings,
    scan: ScanSettings,
    facts_reader: FactsReader | None = None,
) -> None:
    """Puts the steps of the job into a pipeline, from the plan in `output` to its results."""
    options, lead = pipeline.options, panel.lead
    step = beam.ParDo(
        ScoreVideos(
            output,
            panel,
            scan,
            settings.threads or engine.worker_threads(options),
            settings.time_limit,
            facts_reader,
        )
    )
    tasks = pipeline | "ReadTasks" >> ReadTasks(storage.join(output, PLAN), read_score_plan)
    kept = (
        tasks
        | "Done" >> beam.Filter(lambda task: task.done)
        | "ReadKept" >> beam.ParDo(ReadKept(output))
    )
    scored = (
        tasks
        | "ToDo" >> beam.Filter(lambda task: not task.done)
        | "ScoreVideos"
        >> engine.with_face_hints(step, options).with_outputs(REJECTS, main="scored")
    )
    written = (
        (scored["scored"], kept)
        | "Flatten" >> beam.Flatten()
        | "WriteScores" >> WriteScores(output, settings.shards)
    )
    header = {
        "model": lead.name,
        "models": [voice.name for voice in panel.voices if voice.ensemble is None],
        "fingerprint": lead.config.preprocess.fingerprint,
        "thresholds": dataclasses.asdict(lead.config.thresholds),
        "settings": scan.to_dict(),
    }
    _ = (written, scored[REJECTS]) | "Finish" >> WriteScoresInfo(output, header)


def find_files(inputs: Sequence[str]) -> list[FileMetadata]:
    """The video files that the inputs name, by path; one under several names by the first.

    A file is taken whatever its suffix, of folders and patterns those with a video's. Raises
    JobError for an input that names none.
    """
    files: dict[str, FileMetadata] = {}
    for name in inputs:
        if os.path.isfile(name):
            videos = [storage.describe(name)]
        else:
            within = [] if "*" in name else storage.listing(name.rstrip("/"))
            matches = within or storage.matching(name)
            videos = [file for file in matches if file.path == name or is_video(file.path)]
        if not videos:
            raise JobError(
                f"--input {name}: no video there. Give a file, a folder or a pattern such as "
                "'FOLDER/**.mp4', in quotes."
            )
        files.update((f.path, f) for f in videos)
    key = file_key()
    once = {key(path): path for path in sorted(files, reverse=True)}
    return [files[path] for path in sorted(once.values())]


def _plan(
    files: Sequence[FileMetadata],
    panel: ScoringPanel,
    output: str,
    settings: ScoreSettings,
    scan: ScanSettings,
    facts_reader: FactsReader | None,
) -> list[ScoreTask]:
    """The tasks of the job, with what is left of earlier runs."""
    identities = [_identity(source) for source in panel.sources]
    crops = [voice.config.preprocess.to_dict() for voice in panel.voices]
    names = [voice.name for voice in panel.voices]
    temperatures = [v.ensemble.temperature for v in panel.voices if v.ensemble]
    scores = [MOMENTS_FORMAT, names, identities, crops, temperatures]
    thresholds = [dataclasses.asdict(voice.config.thresholds) for voice in panel.voices]
    demo = [voice.config.provenance.sample_data for voice in panel.voices]
    verdicts: list[Any] = [thresholds, demo, scan.to_dict()]
    if facts_reader:
        verdicts.append([FACTS_FORMAT, dataclasses.asdict(facts_reader)])
    earlier = storage.listing(output, "scores-*.jsonl") if settings.update else []
    results = {line["key"]: line for file in earlier for line in storage.read_lines(file.path)}
    parts = storage.names(storage.join(output, PARTS), "*.json")
    known = storage.names(storage.join(output, MOMENTS), "*.json")
    tasks = []
    for file in files:
        identity = [file.path, file.size_in_bytes, file.last_updated_in_seconds]
        moments = _name([identity, scores]) + ".json"
        key = _name([identity, scores, verdicts])
        task = ScoreTask(
            file.path, key, moments, moments in known, results.get(key), f"{key}.json" in parts
        )
        tasks.append(task)
    return tasks


def _name(made_from: list[Any]) -> str:
    """32 hex digits."""
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:32]


def _identity(source: ModelSource) -> list[Any]:
    """What a model's folder is identified by, among those of the same name and version."""
    if source.is_server:
        return []
    root = source.places[0].rstrip("/") + "/"

    def read(name: str) -> bytes:
        with storage.open_file(storage.join(root, name)) as handle:
            return handle.read()

    files = ((f.path[len(root) :], f.size_in_bytes) for f in storage.listing(root))
    return export_identity(files, read)


def _finish(output: str, moments: Set[str]) -> dict[str, Any]:
    """Reads scores_info.json and removes parts, files of a run with another count, and the moments
    of videos that are none of these."""
    info = storage.read_json(storage.join(output, INFO_NAME))
    for name in storage.names(output, "scores-*-of-*"):
        if os.path.splitext(name)[0] not in info["files"]:
            storage.remove(storage.join(output, name))
    folder = storage.join(output, MOMENTS)
    gone = storage.names(folder, "*.json") - moments
    storage.remove(*(storage.join(folder, name) for name in gone))
    clear(output)
    return info


def print_summary(console: Console, output: str, info: dict[str, Any], seconds: float) -> None:
    """What a job made: verdicts and rejects by kind, and how long it took."""
    for kind in ("verdicts", "rejects"):
        if info[kind]:
            counted = ", ".join(
                f"{number} {verdict_words(what)}" for what, number in sorted(info[kind].items())
            )
            console.print(f"{kind}: {counted}", highlight=False)
        if DEMO in info[kind]:
            console.print(DEMO_REASON, soft_wrap=True)
    if info["rejects"]:
        console.print(f"reasons: {storage.join(output, REJECTS_NAME)}", soft_wrap=True)
    computing = info["computing"]
    if computing["seconds_per_hour"] is not None:
        console.print(
            f"computing: {computing['seconds']:.1f} s for {computing['hours_of_video']:.3g} hours "
            f"of video, {computing['seconds_per_hour']:.0f} s an hour",
            highlight=False,
        )
    line = f"{output}: {info['videos']} videos in {seconds:.1f} s"
    console.print(line, highlight=False, soft_wrap=True)
