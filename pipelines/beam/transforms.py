"""Beam transforms from videos to shards: lifetime of models, counters, and rejects (dead letters).

A finished video is a file of its own, a part, until all are done: so no crop travels between
workers, whatever is finished survives a crash, and a shard is its videos' parts in order.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.utils.shared import Shared

from pipelines import storage
from pipelines.beam import job_metrics
from pipelines.beam.output import EARLY_REJECTS, HEADER, PARTS, REJECT_MARK
from pipelines.beam.plan import Task, read_plan
from pipelines.clip import SPLITS, Reject, Video, VideoError
from pipelines.config import PreprocessConfig
from pipelines.errors import explain
from pipelines.shards.layout import (
    INFO_NAME,
    REJECTS_NAME,
    order_in_shard,
    shard_name,
    shard_of,
)
from pipelines.shards.summary import count_shard, dataset_info
from pipelines.shards.write import MAX_RECORD_BYTES, Piece, read_part, write_records, write_shard
from pipelines.splits.near_duplicates import video_hashes
from pipelines.tensorflow_settings import compute_reproducibly
from pipelines.video.confined import shared_reader
from pipelines.video.stopwatch import Stopwatch

REJECTS = "rejects"


class ReadTasks(beam.PTransform):
    """The tasks of a plan, as `read` gives them from its path, dealt out to workers."""

    def __init__(self, plan: str, read: Callable[[str], Iterator[Any]] = read_plan):
        super().__init__()
        self._plan, self._read = plan, read

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        return (
            pipeline
            | "Plan" >> beam.Create([self._plan])
            | "ReadPlan" >> beam.FlatMap(self._read)
            # Whatever step made them, each may go to another worker.
            | "Deal" >> beam.Reshuffle()
        )


class FaceStep(beam.DoFn):
    """A step that finds faces: one extractor for each worker process, shared by its threads.

    threads: for each worker process; 0 for one per core.
    """

    # Whether faces are the same to the last bit everywhere. A model in the same process would
    # be slower for it.
    reproducible = False
    # Whether a picture is a video of one frame. No verdict rests on one.
    stills = False

    def __init__(self, config: PreprocessConfig, threads: int, time_limit_s: float):
        self._config, self._threads, self._time_limit_s = config, threads, time_limit_s
        self._shared = Shared()

    def setup(self) -> None:
        # Here, for it loads TensorFlow, which the launcher need not hold in memory.
        from pipelines.faces.extract import FaceExtractor

        def load() -> FaceExtractor:
            if self.reproducible or self._threads == 1:
                compute_reproducibly()
            return FaceExtractor(
                self._config,
                threads=self._threads,
                time_limit_s=self._time_limit_s,
                stills=self.stills,
                reader=shared_reader(),
            )

        self._extractor = self._shared.acquire(load)

    def display_data(self) -> dict[str, Any]:
        """What a runner's console shows of the step."""
        return {"fingerprint": self._config.fingerprint, **self._config.to_dict()}


class ExtractFaces(FaceStep):
    """Task -> ((split, shard), what its part holds); rejects tagged apart.

    A part that is there is not made again.
    """

    reproducible = True
    stills = True

    def __init__(
        self,
        output: str,
        config: PreprocessConfig,
        shards: int,
        threads: int,
        time_limit_s: float,
    ):
        super().__init__(config, threads, time_limit_s)
        self._output, self._shards = output, shards

    def process(self, task: Task) -> Iterator[Any]:
        video, watch = task.video, Stopwatch()
        try:
            with watch.running("video"):
                piece = task.kept or self._part(task, watch)
        except VideoError as error:
            watch.count(f"rejects/{error.reason}")
            job_metrics.record(watch)
            yield beam.pvalue.TaggedOutput(REJECTS, reject(video, error))
            return
        watch.count("videos")
        job_metrics.record(watch)
        record = {
            "video": video.key,
            "label": video.label,
            "method": video.method,
            "dataset": video.dataset,
            "identities": [f"{video.dataset}/{name}" for name in video.identities],
            "source": video.source_key,
            "part": task.part,
            "piece": piece,
        }
        yield (video.split, shard_of(video.key, self._shards)), record

    def _part(self, task: Task, watch: Stopwatch) -> Piece:
        part = storage.join(self._output, PARTS, task.part)
        if storage.exists(part):
            return read_part(part)
        try:
            return write_records(part, self._records(task.video, watch))
        except VideoError:
            storage.write_atomically(part + REJECT_MARK, [])
            raise

    def _records(self, video: Video, watch: Stopwatch) -> Iterator[bytes]:
        """Raises VideoError whatever is amiss: one bad video must not stop the other thousands."""
        from pipelines.shards.schema import serialize  # loads TensorFlow, see `setup`

        with any_error_rejects():
            for clip in read_clips(self._extractor, video.uri, watch):
                record = serialize(video, clip, self._config.fingerprint)
                if len(record) > MAX_RECORD_BYTES:
                    raise VideoError(
                        "oversized",
                        "write",
                        f"{video.uri}: the record of clip {clip.index} has {len(record)} bytes; up "
                        f"to {MAX_RECORD_BYTES} are written. Lower --frames-per-clip or "
                        "--crop-size.",
                    )
                with watch.running("write"):  # which is what is done with it
                    yield record


@contextlib.contextmanager
def any_error_rejects() -> Iterator[None]:
    """Makes a VideoError of whatever is raised inside and is none."""
    try:
        yield
    except VideoError:
        raise
    except Exception as error:
        raise VideoError("error", "", explain(error)) from error


@contextlib.contextmanager
def local_video(uri: str, watch: Stopwatch) -> Iterator[str]:
    """A local path to read a video on any file system from. Raises VideoError "unreachable"."""
    with contextlib.ExitStack() as stack:
        try:
            with watch.running("copy"):
                path = stack.enter_context(storage.local_copy(uri))
        except Exception as error:
            why = f"{uri}: cannot be copied to be read ({explain(error).rstrip('.')})."
            raise VideoError("unreachable", "copy", why) from error
        yield path


def read_clips(extractor: Any, uri: str, watch: Stopwatch) -> Iterator[Any]:
    """The face clips of a video on any file system. Raises VideoError as the extractor does."""
    with local_video(uri, watch) as path:
        yield from extractor.clips(path, watch)


def reject(video: Video, error: VideoError) -> Reject:
    """A line of rejects.jsonl."""
    return Reject(video.key, video.uri, error.reason, error.stage, error.detail)


class HashVideos(beam.DoFn):
    """Task -> (key, (SHA-256 of the file, perceptual hashes of a few frames)); "" and none for a
    video that cannot be read."""

    def process(self, task: Task) -> Iterator[tuple[str, tuple[str, list[int]]]]:
        video = task.video
        try:
            with storage.local_copy(video.uri) as path:
                with open(path, "rb") as file:
                    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                yield video.key, (sha256, video_hashes(path, shared_reader()))
        except Exception:  # the job itself will say why
            yield video.key, ("", [])


class WriteShards(beam.PTransform):
    """Makes each (split, shard) of its videos' pieces, by key -> (name, summary).

    What travels is where a piece lies, never the piece: an element has a few hundred bytes.
    """

    def __init__(self, output: str, shards: int):
        super().__init__()
        self._output, self._shards = output, shards

    def expand(self, videos: beam.PCollection) -> beam.PCollection:
        # Every shard is written, also one without records: readers see all N files.
        empty = videos.pipeline | "NameShards" >> beam.Create(
            [((split, i), None) for split in SPLITS for i in range(self._shards)]
        )
        return (
            (videos, empty)
            | "WithEmpty" >> beam.Flatten()
            | "GroupByShard" >> beam.GroupByKey()
            | "WriteShard" >> beam.MapTuple(self._write)
        )

    def _write(
        self, key: tuple[str, int], records: Iterable[dict[str, Any] | None]
    ) -> tuple[str, dict[str, Any]]:
        split, index = key
        videos = sorted(filter(None, records), key=lambda video: order_in_shard(video["video"]))
        name = shard_name(split, index, self._shards)
        watch = Stopwatch()
        with watch.running("shard"):
            pieces = {video["part"]: video["piece"] for video in videos}
            written = write_shard(self._output, name, pieces)
        job_metrics.record(watch)
        return name, {**written, "split": split, **count_shard(videos)}


class WriteLast(beam.PTransform):
    """(results by name, rejects) -> calls `_write` once, with all of both."""

    def __init__(self, output: str):
        super().__init__()
        self._output = output

    def expand(
        self, results_and_rejects: tuple[beam.PCollection, beam.PCollection]
    ) -> beam.PCollection:
        results, rejects = results_and_rejects
        return (
            results.pipeline
            | "Once" >> beam.Create([None])
            | "WriteInfo"
            >> beam.Map(
                lambda _, results, rejects: self._write(dict(results), rejects),
                beam.pvalue.AsList(results),
                beam.pvalue.AsList(rejects),
            )
        )

    def _write(self, results: dict[str, Any], rejects: list[Reject]) -> None:
        """To be overridden: writes the files about the whole job."""
        raise NotImplementedError(type(self))

    def _write_rejects(self, rejects: Iterable[Reject]) -> None:
        lines = (line.to_line() for line in sorted(rejects))
        storage.write_lines(storage.join(self._output, REJECTS_NAME), lines)


class WriteInfo(WriteLast):
    """Writes rejects.jsonl and then dataset_info.json, which marks the data set finished."""

    def _write(self, results: dict[str, Any], rejects: list[Reject]) -> None:
        early = storage.read_lines(storage.join(self._output, EARLY_REJECTS))
        rejects = [*(Reject(**line) for line in early), *rejects]
        self._write_rejects(rejects)
        header = storage.read_json(storage.join(self._output, HEADER))
        info = dataset_info(header, results, rejects)
        storage.write_json(storage.join(self._output, INFO_NAME), info)
