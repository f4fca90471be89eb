"""The Beam steps from videos to shards. Thought lives elsewhere; these own lifetime and rejects.

A finished video is a file of its own, a part, until all are done: so no crop travels between
workers, whatever is finished survives a crash, and a shard is its videos' parts in order.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.utils.shared import Shared

from pipelines.clip import LABEL_NAMES, SPLITS, Reject, Video, VideoError
from pipelines.config import PreprocessConfig
from pipelines.shards import (
    INFO_NAME,
    PARTS,
    REJECT_MARK,
    REJECTS_NAME,
    count_records,
    join_parts,
    part_name,
    shard_name,
    shard_of,
    write_atomically,
    write_json,
    write_records,
)

REJECTS = "rejects"


def reject(video: Video, error: VideoError) -> Reject:
    """A line of rejects.jsonl."""
    return Reject(video.key, video.uri, error.reason, error.stage, error.detail)


@contextlib.contextmanager
def local_copy(uri: str) -> Iterator[str]:
    """A local path to read `uri` from; a copy, removed afterwards, where it is remote."""
    if "://" not in uri:
        yield uri
        return
    handle, path = tempfile.mkstemp(suffix=os.path.splitext(uri)[1])
    try:
        with (
            os.fdopen(handle, "wb") as out,
            # Any other compression type would unpack what is named .gz on the way.
            FileSystems.open(uri, compression_type=CompressionTypes.UNCOMPRESSED) as source,
        ):
            shutil.copyfileobj(source, out)
        yield path
    finally:
        os.unlink(path)


class ExtractFaces(beam.DoFn):
    """Video -> ((split, shard), its part and what is in it); rejects tagged apart.

    threads: for each worker process; 0 for one per core. A part that is there is not made again.
    """

    def __init__(
        self,
        output: str,
        config: PreprocessConfig,
        shards: int,
        threads: int,
        time_limit_s: float,
    ):
        self._output, self._config, self._shards = output, config, shards
        self._threads, self._time_limit_s = threads, time_limit_s
        self._shared = Shared()

    def setup(self) -> None:
        # Here and not above: workers load TensorFlow, the launcher need not.
        from pipelines.faces.detect import limit_threads
        from pipelines.faces.extract import FaceExtractor

        def load() -> FaceExtractor:
            if self._threads:
                limit_threads(self._threads)
            return FaceExtractor(
                self._config, threads=self._threads, time_limit_s=self._time_limit_s
            )

        self._extractor = self._shared.acquire(load)

    def process(self, video: Video) -> Iterator[Any]:
        name = part_name(video, self._config.fingerprint)
        part = FileSystems.join(self._output, PARTS, name)
        if FileSystems.exists(part):
            clips = count_records(part)
        else:
            try:
                clips = write_records(part, self._records(video))["records"]
            except VideoError as error:
                write_atomically(part + REJECT_MARK, [])
                yield beam.pvalue.TaggedOutput(REJECTS, reject(video, error))
                return
        facts = {
            "video": video.key,
            "label": video.label,
            "method": video.method,
            "dataset": video.dataset,
            "identities": [f"{video.dataset}/{name}" for name in video.identities],
            "source": video.source_key,
            "clips": clips,
        }
        yield (video.split, shard_of(video.key, self._shards)), (video.key, part, facts)

    def _records(self, video: Video) -> Iterator[bytes]:
        """Raises VideoError whatever is amiss: one bad video must not stop the other thousands."""
        from pipelines.schema import serialize

        try:
            with local_copy(video.uri) as path:
                for clip in self._extractor.clips(path):
                    yield serialize(video, clip, self._config.fingerprint)
        except VideoError:
            raise
        except Exception as error:
            raise VideoError("error", "", f"{type(error).__name__}: {error}") from error


class HashFrames(beam.DoFn):
    """Video -> (key, perceptual hashes of a few frames); none for one that cannot be read."""

    def process(self, video: Video) -> Iterator[tuple[str, list[int]]]:
        from pipelines.duplicates import video_hashes

        try:
            with local_copy(video.uri) as path:
                yield video.key, video_hashes(path)
        except Exception:  # the job itself will say why
            yield video.key, []


class WriteShards(beam.PTransform):
    """Joins each (split, shard)'s parts in the order of their videos -> (name, summary)."""

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

    def _write(self, key: tuple[str, int], videos) -> tuple[str, dict[str, Any]]:
        split, index = key
        ordered = sorted((video for video in videos if video), key=lambda video: video[0])
        name = shard_name(split, index, self._shards)
        summary = join_parts(FileSystems.join(self._output, name), (part for _, part, _ in ordered))
        return name, {**summary, "split": split, **_count([facts for _, _, facts in ordered])}


def _count(videos: list[dict[str, Any]]) -> dict[str, Any]:
    clips = sum(video["clips"] for video in videos)
    return {
        "clips": clips,
        "records": clips,
        "videos": len(videos),
        "identities": sorted({name for video in videos for name in video["identities"]}),
        "sources": sorted({video["source"] for video in videos}),
        **{
            field + "s": dict(Counter(str(video[field]) for video in videos))
            for field in ("label", "method", "dataset")
        },
    }


class WriteInfo(beam.PTransform):
    """Writes rejects.jsonl and then dataset_info.json, which marks the data set finished."""

    def __init__(self, output: str, header: dict[str, Any], rejects: list[Reject]):
        super().__init__()
        self._output, self._header, self._rejects = output, header, rejects

    def expand(self, shards_and_rejects) -> beam.PCollection:
        shards, rejects = shards_and_rejects
        return (
            shards.pipeline
            | "Once" >> beam.Create([None])
            | "WriteInfo"
            >> beam.Map(
                lambda _, shards, rejects: self._write(dict(shards), rejects),
                beam.pvalue.AsList(shards),
                beam.pvalue.AsList(rejects),
            )
        )

    def _write(self, shards: dict[str, dict], rejects: list[Reject]) -> dict[str, Any]:
        rejects = [*self._rejects, *rejects]
        lines = [json.dumps(dataclasses.asdict(line), sort_keys=True) for line in rejects]
        write_atomically(
            FileSystems.join(self._output, REJECTS_NAME),
            [f"{line}\n".encode() for line in sorted(lines)],
        )
        info = dataset_info(self._header, shards, rejects)
        write_json(FileSystems.join(self._output, INFO_NAME), info)
        return info


def dataset_info(
    header: dict[str, Any], shards: dict[str, dict], rejects: list[Reject]
) -> dict[str, Any]:
    """The contents of dataset_info.json: what the shards hold and how they were made."""
    splits: dict[str, Any] = {}
    for split in SPLITS:
        parts = [summary for summary in shards.values() if summary["split"] == split]
        totals = {
            field: sum((Counter(part[field]) for part in parts), Counter())
            for field in ("labels", "methods", "datasets")
        }
        splits[split] = {
            "videos": sum(part["videos"] for part in parts),
            "clips": sum(part["clips"] for part in parts),
            "identities": len({name for part in parts for name in part["identities"]}),
            "sources": len({name for part in parts for name in part["sources"]}),
            "labels": {name: totals["labels"][str(label)] for label, name in LABEL_NAMES.items()},
            "methods": dict(totals["methods"]),
            "datasets": dict(totals["datasets"]),
        }
    kept = ("records", "bytes", "sha256")
    return {
        **header,
        "splits": splits,
        "shards": {name: {key: summary[key] for key in kept} for name, summary in shards.items()},
        "rejects": dict(Counter(line.reason for line in rejects)),
    }
