"""Beam transforms of batch scoring, videos -> verdicts, and the files of the results.

As with shards, a finished video is a file of its own until all is done. Its moments' scores stay in
another one: a later run, that looks more closely, takes what it needs from there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow
import pyarrow.parquet
from apache_beam.utils.shared import Shared

from pipelines import storage
from pipelines.beam import job_metrics
from pipelines.beam.output import PARTS, REJECT_MARK
from pipelines.beam.transforms import (
    REJECTS,
    FaceStep,
    WriteLast,
    any_error_rejects,
    local_video,
)
from pipelines.clip import Look, Reject, VideoError
from pipelines.config import PreprocessConfig
from pipelines.coverage import ScanSettings
from pipelines.names import escape
from pipelines.shards.layout import shard_of
from pipelines.video.probe import FrameTimes, VideoMetadata
from pipelines.video.stopwatch import Stopwatch
from serving.analysis.opinions import result_of_all, scan_for_all
from serving.analysis.panel import Predictor
from serving.analysis.scan import ScoredMoment, sha256_of
from serving.analysis.video_result import VideoResult
from serving.batch.arrow_types import arrow_type
from serving.batch.scoring_model import ScoringPanel
from serving.client import Clips, Prediction
from serving.provenance.file_facts import FileFacts
from serving.provenance.reader import FactsReader

INFO_NAME = "scores_info.json"  # written last: its presence marks a finished job
MOMENTS = "moments"  # folder of the scored moments of videos
_SEGMENT = pyarrow.struct(
    [
        ("start_s", pyarrow.float64()),
        ("end_s", pyarrow.float64()),
        ("probability_fake", pyarrow.float64()),
        ("clips", pyarrow.int32()),
    ]
)
_TRACK = pyarrow.struct(
    [
        ("track", pyarrow.int32()),
        ("verdict", pyarrow.string()),
        ("probability_fake", pyarrow.float64()),
        ("start_s", pyarrow.float64()),
        ("end_s", pyarrow.float64()),
        ("frames", pyarrow.int32()),
        ("median_face_px", pyarrow.float64()),
        ("segments", pyarrow.list_(_SEGMENT)),
    ]
)
_OPINION = pyarrow.struct(
    [
        ("model", pyarrow.string()),
        ("fingerprint", pyarrow.string()),
        ("verdict", pyarrow.string()),
        ("probability_fake", pyarrow.float64()),
        ("calibrated", pyarrow.bool_()),
        ("real_below", pyarrow.float64()),
        ("fake_above", pyarrow.float64()),
        ("tracks", pyarrow.list_(_TRACK)),
        ("decides", pyarrow.int32()),
        ("reasons", pyarrow.list_(pyarrow.string())),
    ]
)
_COVERAGE = pyarrow.struct(
    [
        ("duration_s", pyarrow.float64()),
        ("seconds", pyarrow.float64()),
        ("share", pyarrow.float64()),
        ("moments", pyarrow.int32()),
        ("moments_with_face", pyarrow.int32()),
        ("usable_share", pyarrow.float64()),
        ("largest_gap_s", pyarrow.float64()),
        ("frames", pyarrow.int32()),
        ("frames_total", pyarrow.int32()),
        ("gaps", pyarrow.list_(pyarrow.list_(pyarrow.float64()))),
    ]
)
SCHEMA = pyarrow.schema(
    [
        ("path", pyarrow.string()),
        ("verdict", pyarrow.string()),
        ("probability_fake", pyarrow.float64()),
        ("model", pyarrow.string()),
        ("fingerprint", pyarrow.string()),
        ("frames_sampled", pyarrow.int32()),
        ("frames_with_face", pyarrow.int32()),
        ("start_s", pyarrow.float64()),
        ("end_s", pyarrow.float64()),
        ("tracks", pyarrow.list_(_TRACK)),
        ("detail", pyarrow.string()),
        ("decides", pyarrow.int32()),
        ("median_face_px", pyarrow.float64()),
        ("reasons", pyarrow.list_(pyarrow.string())),
        ("notes", pyarrow.list_(pyarrow.string())),
        ("coverage", _COVERAGE),
        ("file_facts", arrow_type(FileFacts)),
        ("opinions", pyarrow.list_(_OPINION)),
        ("models_disagree", pyarrow.bool_()),
        ("key", pyarrow.string()),
    ]
)


@dataclasses.dataclass(frozen=True)
class ScoreTask:
    """A video to score and what is left of earlier runs.

    key: names the result; another one when the video, the model or the settings are others.
    moments: names the file of its moments; the same for any settings. known: whether that is there.
    result: its line of results. part: whether its part is there.
    """

    uri: str
    key: str
    moments: str
    known: bool = False
    result: dict[str, Any] | None = None
    part: bool = False

    @property
    def done(self) -> bool:
        return self.result is not None or self.part


@dataclasses.dataclass(frozen=True)
class ScoredVideo:
    """A line of the results. seconds: that computing it took; None of one from an earlier job."""

    line: dict[str, Any]
    seconds: float | None = None


def read_score_plan(path: str) -> Iterator[ScoreTask]:
    """The inverse of `storage.write_lines` of tasks as dicts."""
    for line in storage.read_lines(path):
        yield ScoreTask(**line)


def part_path(output: str, key: str) -> str:
    return storage.join(output, PARTS, f"{key}.json")


class ScoreVideos(FaceStep):
    """Task of which nothing is left -> ScoredVideo; rejects tagged apart.

    Faces and models are one step, for what these say decides where to look next. A process has one
    extractor, and each model once. What a model fails with stops the job.
    """

    def __init__(
        self,
        output: str,
        panel: ScoringPanel,
        settings: ScanSettings,
        threads: int,
        time_limit_s: float,
        facts_reader: FactsReader | None = None,
    ):
        super().__init__(panel.lead.config.preprocess, threads, time_limit_s)
        self._output, self._panel, self._settings = output, panel, settings
        self._facts_reader = facts_reader
        self._shared_models = Shared()

    def setup(self) -> None:
        super().setup()
        self._opened = self._shared_models.acquire(self._panel.open_patiently)

    def process(self, task: ScoreTask) -> Iterator[Any]:
        watch, started = Stopwatch(), time.monotonic()
        try:
            with watch.running("video"):
                judged = self._judge(task, watch)
            watch.count("videos")
            if not judged.tracks:
                watch.count("videos without a face")
            scored = ScoredVideo(
                {**judged.to_dict(), "key": task.key}, round(time.monotonic() - started, 3)
            )
            storage.write_json(part_path(self._output, task.key), dataclasses.asdict(scored))
            yield scored
        except VideoError as error:
            watch.count(f"rejects/{error.reason}")
            mark = storage.join(self._output, PARTS, task.key + REJECT_MARK)
            storage.write_atomically(mark, [])
            line = Reject(escape(task.uri), task.uri, error.reason, error.stage, error.detail)
            yield beam.pvalue.TaggedOutput(REJECTS, line)
        job_metrics.record(watch)

    def _judge(self, task: ScoreTask, watch: Stopwatch) -> VideoResult:
        """Raises VideoError whatever is amiss with the video."""
        moments = storage.join(self._output, MOMENTS, task.moments)
        voices, reader, facts = self._panel.voices, self._facts_reader, None
        known = _read_moments(moments) if task.known else [{} for _ in voices]
        with local_video(task.uri, watch) as path, contextlib.ExitStack() as stack:

            def open_video(crops: PreprocessConfig) -> _WatchedVideo:
                with any_error_rejects(), watch.running("decode"):
                    return _WatchedVideo(self._extractor.for_crops(crops).open(path), watch)

            video = open_video(voices[0].config.preprocess)
            with any_error_rejects(), watch.running("decode"):
                content = sha256_of(path)
            begun = stack.enter_context(reader.begin(path)) if reader else None
            scans = scan_for_all(
                video,
                open_video,
                [_WatchedModel(model, watch) for model in self._opened.models],
                voices,
                self._settings,
                content,
                known=known,
            )
            if reader and begun:
                facts = reader.shown(begun.facts())
        watch.count("moments scored before", sum(m.moment in known[0] for m in scans[0].moments))
        for before, scanned in zip(known, scans, strict=True):
            before |= {moment.moment: moment for moment in scanned.moments}
        of_voices = [[before[moment].to_dict() for moment in sorted(before)] for before in known]
        storage.write_json(moments, {"path": escape(task.uri), "moments": of_voices})
        judged = result_of_all(task.uri, scans, voices, self._settings)
        return dataclasses.replace(judged, file_facts=facts)


def _read_moments(path: str) -> list[dict[int, ScoredMoment]]:
    """Of each voice."""
    of_voices = storage.read_json(path)["moments"]
    return [
        {moment.moment: moment for moment in map(ScoredMoment.from_dict, lines)}
        for lines in of_voices
    ]


class _WatchedVideo:
    """A video whose stages are timed, and that becomes a reject whatever is amiss with it."""

    def __init__(
        self, video: Any, watch: Stopwatch
    ):  # a ProbedVideo, whose module loads TensorFlow
        self._video, self._watch = video, watch

    @property
    def metadata(self) -> VideoMetadata:
        return self._video.metadata

    @property
    def frame_times(self) -> FrameTimes:
        return self._video.frame_times

    def looks(self, samples: Mapping[int, np.ndarray]) -> Generator[Look]:
        with any_error_rejects():
            yield from self._video.looks(samples, self._watch)


class _WatchedModel:
    """A model whose answers are timed."""

    def __init__(self, model: Predictor, watch: Stopwatch):
        self._model, self._watch = model, watch

    def predict(self, clips: Clips) -> list[Prediction]:
        with self._watch.running("model"):
            return self._model.predict(clips)


class ReadKept(beam.DoFn):
    """Task that is done -> its result, as an earlier run made it."""

    def __init__(self, output: str):
        self._output = output

    def process(self, task: ScoreTask) -> Iterator[ScoredVideo]:
        job_metrics.count("videos done before")
        if task.result is not None:
            yield ScoredVideo(task.result)
        else:
            yield ScoredVideo(**storage.read_json(part_path(self._output, task.key)))


class WriteScores(beam.PTransform):
    """Results, dealt by the hash of the video's address -> (file, what is in it).

    Each of the `shards` is written twice, as JSON lines and as Parquet, sorted by address.
    """

    def __init__(self, output: str, shards: int):
        super().__init__()
        self._output, self._shards = output, shards

    def expand(self, scored: beam.PCollection) -> beam.PCollection:
        empty = scored.pipeline | "NameShards" >> beam.Create(
            [(i, None) for i in range(self._shards)]
        )
        dealt = scored | "Deal" >> beam.Map(
            lambda video: (shard_of(video.line["path"], self._shards), video)
        )
        return (
            (dealt, empty)
            | "WithEmpty" >> beam.Flatten()
            | "GroupByShard" >> beam.GroupByKey()
            | "WriteShard" >> beam.MapTuple(self._write)
        )

    def _write(
        self, index: int, scored: Iterable[ScoredVideo | None]
    ) -> tuple[str, dict[str, Any]]:
        # A step that was done twice gives a video twice.
        videos = {video.line["path"]: video for video in scored if video}
        lines = [videos[path].line for path in sorted(videos)]
        name = f"scores-{index:05d}-of-{self._shards:05d}"
        storage.write_lines(storage.join(self._output, f"{name}.jsonl"), lines)
        table = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(lines, SCHEMA), table)
        storage.write_atomically(storage.join(self._output, f"{name}.parquet"), [table.getvalue()])
        new = [video for video in videos.values() if video.seconds is not None]
        return name, {
            "verdicts": dict(Counter(line["verdict"] for line in lines)),
            "computing": {
                "videos": len(new),
                "seconds": sum(video.seconds or 0.0 for video in new),
                "video_seconds": sum(video.line["coverage"]["duration_s"] for video in new),
            },
        }


class WriteScoresInfo(WriteLast):
    """Writes rejects.jsonl and then scores_info.json, which marks the job finished."""

    def __init__(self, output: str, header: dict[str, Any]):
        super().__init__(output)
        self._header = header

    def _write(self, results: dict[str, Any], rejects: list[Reject]) -> None:
        self._write_rejects(rejects)
        verdicts: Counter[str] = Counter()
        computing: Counter[str] = Counter(videos=0, seconds=0, video_seconds=0)
        for of_file in results.values():
            verdicts.update(of_file["verdicts"])
            computing.update(of_file["computing"])
        hours = computing["video_seconds"] / 3600
        info = {
            **self._header,
            "videos": verdicts.total() + len(rejects),
            "verdicts": verdicts,
            "rejects": Counter(line.reason for line in rejects),
            "computing": {
                "videos": computing["videos"],
                "seconds": round(computing["seconds"], 3),
                "hours_of_video": round(hours, 4),
                "seconds_per_hour": round(computing["seconds"] / hours, 1) if hours else None,
            },
            "files": sorted(results),
        }
        storage.write_json(storage.join(self._output, INFO_NAME), info)
