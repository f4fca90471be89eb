"""Beam transforms of batch scoring, videos -> verdicts, and the files of the results.

As with shards, a finished piece of work is a file of its own until all is done: the scores of a
group of a video's clips, a few numbers each.
"""

from __future__ import annotations

import dataclasses
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import pyarrow
import pyarrow.parquet

from pipelines import storage
from pipelines.beam import job_metrics
from pipelines.beam.output import PARTS, REJECT_MARK
from pipelines.beam.transforms import REJECTS, FaceStep, WriteLast, any_error_rejects, read_clips
from pipelines.clip import Clip, Reject, VideoError
from pipelines.config import PreprocessConfig
from pipelines.names import escape
from pipelines.shards.layout import shard_of
from pipelines.verdict import Thresholds
from pipelines.video.stopwatch import FRAMES_SAMPLED, Stopwatch
from serving.analysis.video_result import judge
from serving.batch.model_handler import ClipGroup, GroupScores

INFO_NAME = "scores_info.json"  # written last: its presence marks a finished job
# What travels together from the face step to the model. A clip of 16 crops takes 0.25 MB.
GROUP_CLIPS, GROUP_BYTES = 16, 16 << 20
LAST = ".last"  # in the name of a video's last part
_TRACK = pyarrow.struct(
    [
        ("track", pyarrow.int32()),
        ("verdict", pyarrow.string()),
        ("probability_fake", pyarrow.float64()),
        ("start_s", pyarrow.float64()),
        ("end_s", pyarrow.float64()),
        ("frames", pyarrow.int32()),
        ("median_face_px", pyarrow.float64()),
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
        ("key", pyarrow.string()),
    ]
)


@dataclasses.dataclass(frozen=True)
class ScoreTask:
    """A video to score and what is left of earlier runs: its line of results, or all its parts.

    key: names the results; another one when the video, the model or its settings are others.
    """

    uri: str
    key: str
    result: dict[str, Any] | None = None
    parts: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        return self.result is not None or bool(self.parts)


def read_score_plan(path: str) -> Iterator[ScoreTask]:
    """The inverse of `storage.write_lines` of tasks as dicts."""
    for line in storage.read_lines(path):
        yield ScoreTask(**{**line, "parts": tuple(line["parts"])})


def part_name(key: str, index: int, last: bool) -> str:
    return f"{key}.{index:06d}{LAST if last else ''}.json"


def finished_parts(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Key -> its parts in order, for each video all of whose parts are among the names."""
    parts: dict[str, dict[int, str]] = defaultdict(dict)
    lengths: dict[str, int] = {}
    for name in names:
        key, index, *rest = name.split(".")
        if rest[-1:] == ["json"]:
            parts[key][int(index)] = name
            if len(rest) == 2:
                lengths[key] = int(index) + 1
    return {
        key: tuple(parts[key][i] for i in range(length))
        for key, length in lengths.items()
        if parts[key].keys() >= set(range(length))
    }


class ExtractClipGroups(FaceStep):
    """Task of which nothing is left -> its groups of clips; rejects tagged apart.

    A video without a face has one group, without clips: that is a result.
    """

    def __init__(self, output: str, config: PreprocessConfig, threads: int, time_limit_s: float):
        super().__init__(config, threads, time_limit_s)
        self._output = output

    def process(self, task: ScoreTask) -> Iterator[Any]:
        watch = Stopwatch()
        try:
            with watch.running("video"):
                yield from self._groups(task, watch)
            watch.count("videos")
        except VideoError as error:
            watch.count(f"rejects/{error.reason}")
            mark = storage.join(self._output, PARTS, task.key + REJECT_MARK)
            storage.write_atomically(mark, [])
            line = Reject(escape(task.uri), task.uri, error.reason, error.stage, error.detail)
            yield beam.pvalue.TaggedOutput(REJECTS, line)
        job_metrics.record(watch)

    def _groups(self, task: ScoreTask, watch: Stopwatch) -> Iterator[ClipGroup]:
        """Raises VideoError whatever is amiss with the video."""
        index = 0
        waiting: list[Clip] = []  # the last is known to be last when no other comes

        def group(last: bool, clips: Iterable[Clip], detail: str = "") -> ClipGroup:
            sampled = watch.counts[FRAMES_SAMPLED]
            return ClipGroup(task.key, task.uri, index, last, tuple(clips), detail, sampled)

        try:
            with any_error_rejects():
                for clips in in_groups(read_clips(self._extractor, task.uri, watch)):
                    if waiting:
                        yield group(False, waiting)
                        index += 1
                    waiting = clips
        except VideoError as error:
            if error.reason != "no_face":
                raise
            watch.count("videos without a face")
            yield group(True, (), error.detail)
            return
        yield group(True, waiting)


def in_groups(clips: Iterable[Clip]) -> Iterator[list[Clip]]:
    """The clips in lists of up to GROUP_CLIPS and GROUP_BYTES; a larger clip is alone."""
    group: list[Clip] = []
    size = 0
    for clip in clips:
        own = sum(map(len, clip.images))
        if group and (len(group) == GROUP_CLIPS or size + own > GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(clip)
        size += own
    if group:
        yield group


class SaveScores(beam.DoFn):
    """Writes each group's scores to a part, so that a crash does not lose them."""

    def __init__(self, output: str):
        self._output = output

    def process(self, scores: GroupScores) -> Iterator[GroupScores]:
        name = part_name(scores.key, scores.index, scores.last)
        storage.write_json(storage.join(self._output, PARTS, name), scores.to_dict())
        yield scores


class ReadKept(beam.DoFn):
    """Task of which all is left -> its result or its scores, as an earlier run made them."""

    def __init__(self, output: str):
        self._output = output

    def process(self, task: ScoreTask) -> Iterator[GroupScores | dict[str, Any]]:
        job_metrics.count("videos done before")
        if task.result is not None:
            yield task.result
        for name in task.parts:
            part = storage.read_json(storage.join(self._output, PARTS, name))
            yield GroupScores.from_dict(part)


class WriteScores(beam.PTransform):
    """Scores and results, dealt by the hash of the video's address -> (file, videos by verdict).

    Each of the `shards` is written twice, as JSON lines and as Parquet, sorted by address.
    """

    def __init__(
        self, output: str, shards: int, thresholds: Thresholds, model: str, fingerprint: str
    ):
        super().__init__()
        self._output, self._shards, self._thresholds = output, shards, thresholds
        self._model, self._fingerprint = model, fingerprint

    def expand(self, scored: beam.PCollection) -> beam.PCollection:
        empty = scored.pipeline | "NameShards" >> beam.Create(
            [(i, None) for i in range(self._shards)]
        )
        dealt = scored | "Deal" >> beam.Map(lambda one: (self._shard(one), one))
        return (
            (dealt, empty)
            | "WithEmpty" >> beam.Flatten()
            | "GroupByShard" >> beam.GroupByKey()
            | "WriteShard" >> beam.MapTuple(self._write)
        )

    def _shard(self, scored: GroupScores | dict[str, Any]) -> int:
        path = escape(scored.uri) if isinstance(scored, GroupScores) else scored["path"]
        return shard_of(path, self._shards)

    def _write(
        self, index: int, scored: Iterable[GroupScores | dict[str, Any] | None]
    ) -> tuple[str, dict[str, int]]:
        results: list[dict[str, Any]] = []
        groups: dict[str, list[GroupScores]] = defaultdict(list)
        for one in scored:
            if isinstance(one, GroupScores):
                groups[one.key].append(one)
            elif one is not None:
                results.append(one)
        results += [self._result(of_video) for of_video in groups.values()]
        results.sort(key=lambda result: result["path"])
        name = f"scores-{index:05d}-of-{self._shards:05d}"
        storage.write_lines(storage.join(self._output, f"{name}.jsonl"), results)
        table = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(results, SCHEMA), table)
        storage.write_atomically(storage.join(self._output, f"{name}.parquet"), [table.getvalue()])
        return name, dict(Counter(result["verdict"] for result in results))

    def _result(self, groups: list[GroupScores]) -> dict[str, Any]:
        # A step that was done twice gives a group twice.
        unique = {group.index: group for group in groups}
        scores = [score for group in unique.values() for score in group.scores]
        first = groups[0]
        result = judge(
            first.uri,
            scores,
            self._thresholds,
            self._model,
            self._fingerprint,
            first.detail,
            frames_sampled=first.frames_sampled,
        )
        return {**json.loads(json.dumps(result.to_dict())), "key": first.key}


class WriteScoresInfo(WriteLast):
    """Writes rejects.jsonl and then scores_info.json, which marks the job finished."""

    def __init__(self, output: str, header: dict[str, Any]):
        super().__init__(output)
        self._header = header

    def _write(self, results: dict[str, Any], rejects: list[Reject]) -> None:
        self._write_rejects(rejects)
        verdicts: Counter[str] = sum(map(Counter, results.values()), Counter())
        info = {
            **self._header,
            "videos": verdicts.total() + len(rejects),
            "verdicts": verdicts,
            "rejects": Counter(line.reason for line in rejects),
            "files": sorted(results),
        }
        storage.write_json(storage.join(self._output, INFO_NAME), info)
