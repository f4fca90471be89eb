"""Reads the facts about one file, in a process of its own: `facts_of` starts it.

On standard input a request, {"path", "trust_list"}; on standard output a line of JSON for each
part, {"part", "value"} or {"part", "why"}, as soon as it is read: what crashes later leaves those.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import resource
import sys
from collections.abc import Callable
from typing import Any

from pipelines.clip import VideoError
from pipelines.video.confine import confine
from pipelines.video.decoder_process import warm_up
from pipelines.video.memory import MemoryBudget
from pipelines.video.probe import open_video
from pipelines.video.source import VideoFile, handed
from serving.provenance.container import ContainerMetadata, read_container
from serving.provenance.content_credentials import (
    ContentCredentials,
    load_library,
    read_content_credentials,
)
from serving.provenance.encoding import Encoding, read_encoding

MEMORY_BYTES = 2 << 30  # beyond what it holds when it starts


def limit(cpu_limit_s: int) -> None:
    """Limits on memory, time of a core and files; none of them can be raised again."""
    MemoryBudget(MEMORY_BYTES).enforce()
    for limit, most in (
        (resource.RLIMIT_CPU, cpu_limit_s),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(limit, (most, most))


def answer(part: str, read: Callable[[], Any]) -> None:
    try:
        value: dict[str, Any] = {"value": dataclasses.asdict(read())}
    except VideoError as error:
        value = {"why": error.detail.rstrip(".")}
    except Exception as error:  # whatever a file brings about is a fact about that file
        value = {"why": f"reading failed ({type(error).__name__}: {error})"}
    print(json.dumps({"part": part, **value}), flush=True)


def main() -> None:
    request = json.load(sys.stdin)
    path = request["path"]

    def container() -> ContainerMetadata:
        with open_video(path, threads=1) as (opened, _), VideoFile(path) as file:
            return read_container(opened, file)

    def encoding() -> Encoding:
        with open_video(path, threads=1) as (opened, stream):
            return read_encoding(opened, stream)

    def content_credentials() -> ContentCredentials:
        with VideoFile(path) as file:
            return read_content_credentials(file, request["trust_list"])

    warm_up()
    load_library()
    limit(int(sys.argv[1]))
    with contextlib.ExitStack() as stack:
        # What cannot be opened is told by each of them.
        with contextlib.suppress(OSError):
            stack.enter_context(handed(path, os.open(path, os.O_RDONLY | os.O_NONBLOCK)))
        confine()
        for read in (container, encoding, content_credentials):
            answer(read.__name__, read)


if __name__ == "__main__":
    main()
