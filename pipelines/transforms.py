"""The Beam steps from videos to shards. Thought lives elsewhere; these own lifetime and rejects."""

from __future__ import annotations

import contextlib
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

from pipelines.clip import SPLITS, Video, VideoError
from pipelines.config import PreprocessConfig
from pipelines.shards import (
    INFO_NAME,
    REJECTS_NAME,
    shard_name,
    shard_of,
    write_atomically,
    write_json,
    write_shard,
)

REJECTS = "rejects"


def reject(video: Video, error: Exception) -> dict[str, str]:
    """A line of rejects.jsonl."""
    if not isinstance(error, VideoError):
        error = VideoError("error", "", f"{type(error).__name__}: {error}")
    return {
        "video": video.key,
        "uri": video.uri,
        "reason": error.reason,
        "stage": error.stage,
        "detail": error.detail,
    }


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
    """Video -> ((split, shard), (sort key, record)) for each clip; rejects tagged apart."""

    def __init__(self, config: PreprocessConfig, shards: int):
        self._config, self._shards = config, shards
        self._shared = Shared()

    def setup(self) -> None:
        # Here and not above: workers load TensorFlow, the launcher need not.
        from pipelines.faces.extract import FaceExtractor

        self._extractor = self._shared.acquire(lambda: FaceExtractor(self._config))

    def process(self, video: Video) -> Iterator[Any]:
        from pipelines.schema import serialize

        try:
            with local_copy(video.uri) as path:
                clips = self._extractor.extract(path)
        except Exception as error:  # one bad video must not stop the other thousands
            yield beam.pvalue.TaggedOutput(REJECTS, reject(video, error))
            return
        shard = (video.split, shard_of(video.key, self._shards))
        for clip in clips:
            record = serialize(video, clip, self._config.fingerprint)
            facts = {
                "video": video.key,
                "label": video.label,
                "method": video.method,
                "dataset": video.dataset,
            }
            yield shard, ((video.key, clip.index, clip.track), record, facts)


class WriteShards(beam.PTransform):
    """Writes each (split, shard)'s records in the order of their keys -> (name, summary)."""

    def __init__(self, output: str, shards: int):
        super().__init__()
        self._output, self._shards = output, shards

    def expand(self, clips: beam.PCollection) -> beam.PCollection:
        # Every shard is written, also one without records: readers see all N files.
        empty = clips.pipeline | "NameShards" >> beam.Create(
            [((split, i), None) for split in SPLITS for i in range(self._shards)]
        )
        return (
            (clips, empty)
            | "WithEmpty" >> beam.Flatten()
            | "GroupByShard" >> beam.GroupByKey()
            | "WriteShard" >> beam.MapTuple(self._write)
        )

    def _write(self, key: tuple[str, int], clips) -> tuple[str, dict[str, Any]]:
        split, index = key
        ordered = sorted((clip for clip in clips if clip), key=lambda clip: clip[0])
        name = shard_name(split, index, self._shards)
        path = FileSystems.join(self._output, name)
        summary = write_shard(path, (record for _, record, _ in ordered))
        return name, {**summary, "split": split, **_count(facts for _, _, facts in ordered)}


def _count(facts) -> dict[str, Any]:
    clips = list(facts)
    videos = {clip["video"]: clip for clip in clips}
    return {
        "clips": len(clips),
        "videos": len(videos),
        **{
            field + "s": dict(Counter(str(v[field]) for v in videos.values()))
            for field in ("label", "method", "dataset")
        },
    }


class WriteInfo(beam.PTransform):
    """Writes rejects.jsonl and then dataset_info.json, which marks the data set finished."""

    def __init__(self, output: str, header: dict[str, Any]):
        super().__init__()
        self._output, self._header = output, header

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

    def _write(self, shards: dict[str, dict], rejects: list[dict]) -> dict[str, Any]:
        rejects = [*self._header["left_out"], *rejects]
        lines = [json.dumps(line, sort_keys=True) for line in rejects]
        write_atomically(
            FileSystems.join(self._output, REJECTS_NAME),
            [f"{line}\n".encode() for line in sorted(lines)],
        )
        info = dataset_info(self._header, shards, rejects)
        write_json(FileSystems.join(self._output, INFO_NAME), info)
        return info


def dataset_info(header: dict, shards: dict[str, dict], rejects: list[dict]) -> dict[str, Any]:
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
            "labels": {"real": totals["labels"]["0"], "fake": totals["labels"]["1"]},
            "methods": dict(totals["methods"]),
            "datasets": dict(totals["datasets"]),
        }
    kept = ("records", "bytes", "sha256")
    return {
        **{key: value for key, value in header.items() if key != "left_out"},
        "splits": splits,
        "shards": {name: {key: summary[key] for key in kept} for name, summary in shards.items()},
        "rejects": dict(Counter(line["reason"] for line in rejects)),
    }
