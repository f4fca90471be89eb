"""Plan of a job: a task for each video, and what an earlier run has finished of it.

The plan is a file beside the output, not part of the job's graph: that has a size limit (10 MB on
Dataflow), and a data set has none.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipelines import storage
from pipelines.clip import Video
from pipelines.config import RECORD_VERSION, PreprocessConfig
from pipelines.shards.layout import INDEX
from pipelines.shards.write import Piece


@dataclasses.dataclass(frozen=True)
class Task:
    """A video to take, the name of its part, and where its records are if they are there."""

    video: Video
    part: str
    kept: Piece | None = None


def part_name(video: Video, config: PreprocessConfig) -> str:
    """The file of a video's finished clips: another name when anything about them would differ.

    So a job that is run again takes what an earlier one, killed or not, has finished. Where the
    video lies does not count, but for local files their size and time of change do.
    """
    made_from: list[Any] = [RECORD_VERSION, config.fingerprint, config.faces]
    made_from.append(dataclasses.astuple(dataclasses.replace(video, uri="")))
    if os.path.exists(video.uri):
        stat = os.stat(video.uri)
        made_from.append((stat.st_size, stat.st_mtime_ns))
    return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:32] + ".tfrecord"


def make_plan(videos: Iterable[Video], config: PreprocessConfig, output: str) -> list[Task]:
    """The tasks of a job, with what the shards in `output` already hold."""
    kept = _kept(output)
    return [
        Task(video, part, kept.get(part)) for video in videos for part in [part_name(video, config)]
    ]


def write_plan(path: str, tasks: Iterable[Task]) -> None:
    storage.write_lines(path, map(dataclasses.asdict, tasks))


def read_plan(path: str) -> Iterator[Task]:
    """The inverse of `write_plan`."""
    for line in storage.read_lines(path):
        kept = line["kept"] and Piece(**line["kept"])
        yield Task(_video(line["video"]), line["part"], kept)


def _video(fields: Mapping[str, Any]) -> Video:
    return Video(**{**fields, "identities": tuple(fields["identities"])})


def _kept(output: str) -> dict[str, Piece]:
    """Part name -> where its records lie in the shards of an earlier run."""
    sizes = {
        metadata.path: metadata.size_in_bytes for metadata in storage.listing(output, "*.tfrecord")
    }
    kept: dict[str, Piece] = {}
    for metadata in storage.listing(storage.join(output, INDEX), "*.json"):
        index = storage.read_json(metadata.path)
        shard = storage.join(output, index["shard"])
        if sizes.get(shard) == index["bytes"]:
            for part, piece in index["pieces"].items():
                kept[part] = Piece(path=shard, **piece)
    return kept
