"""Facts about a video file: Content Credentials, container metadata, encoding.

They stand beside a model's estimate and are no part of it. What is read is untrusted bytes, by
native code: it happens in a process of its own, which lives for one file and has little of
anything, and whatever goes wrong there is a fact as well, never an error.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from typing import Any

from pipelines.dataclass_json import from_json
from pipelines.video.child import environment
from serving.provenance.container import ContainerMetadata
from serving.provenance.content_credentials import ContentCredentials
from serving.provenance.encoding import Encoding
from serving.provenance.printable import printable

TIME_LIMIT_S = 120.0  # of the process
GRACE_S = 5.0  # for it to end once it has answered
MAX_ANSWER_BYTES = 1 << 20  # which the pipe holds: the process need not wait for us


@dataclasses.dataclass(frozen=True)
class FileFacts:
    """What is known of a file beside what it shows. container, encoding: None where they could not
    be read. problems: sentences on what could not."""

    content_credentials: ContentCredentials
    container: ContainerMetadata | None = None
    encoding: Encoding | None = None
    problems: tuple[str, ...] = ()

    @property
    def location(self) -> str:
        """Where it was recorded, as the container says; "" where it does not, or is not told."""
        return self.container.location if self.container else ""

    def without_location(self) -> FileFacts:
        """The same, in which only whether there is a location is told."""
        if self.container is None:
            return self
        return dataclasses.replace(self, container=self.container.without_location())

    def to_dict(self) -> dict[str, Any]:
        """JSON."""
        values = dataclasses.asdict(self)
        return json.loads(json.dumps(values))  # lists, for which dataclasses have tuples


# What each part is called where it could not be read.
PARTS = {
    "content_credentials": (ContentCredentials, "Content Credentials"),
    "container": (ContainerMetadata, "The container's metadata"),
    "encoding": (Encoding, "The encoding"),
}


def facts_of(path: str, trust_list: str = "") -> FileFacts:
    """The facts about a video file.

    trust_list: PEM of the certificates that Content Credentials may lead to; "": nobody's trust is
    checked.
    """
    with FactsProcess(path, trust_list) as process:
        return process.facts()


class FactsProcess:
    """A process that reads the facts about a file meanwhile; it ends with the context.

    What is wrong with it, and that it takes longer than `time_limit_s`, becomes a fact.
    """

    def __init__(self, path: str, trust_list: str = "", time_limit_s: float = TIME_LIMIT_S):
        self._ended = ""
        self._time_limit_s = time_limit_s
        self._timer = threading.Timer(time_limit_s, self._too_late)
        self._process = self._start()
        if self._process is None:
            return
        self._timer.start()
        assert self._process.stdin
        request = json.dumps({"path": os.fspath(path), "trust_list": trust_list})
        try:
            with self._process.stdin as pipe:
                pipe.write(request.encode())
        except OSError:  # it has ended already: so will its answer
            pass

    def _start(self) -> subprocess.Popen[bytes] | None:
        cpu_limit_s = int(self._time_limit_s) + 1
        try:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "serving.provenance", str(cpu_limit_s)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pipesize=MAX_ANSWER_BYTES,
                start_new_session=True,  # Ctrl-C is for whoever asks, and ends this process
                env=environment(),
            )
        except OSError as error:
            self._ended = f"no process could be started ({error.strerror})"
            return None

    def _too_late(self) -> None:
        self._ended = f"it took longer than {self._time_limit_s:g} s"
        self._kill()

    def _kill(self) -> None:
        assert self._process
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def facts(self) -> FileFacts:
        """Waits for them; to be asked once."""
        answer = b""
        if self._process:
            assert self._process.stdout
            answer = self._process.stdout.read(MAX_ANSWER_BYTES)
        self._stop(GRACE_S)
        code = self._process.returncode if self._process else None
        return _facts(answer, self._ended or f"the process that read it ended with code {code}")

    def _stop(self, grace_s: float) -> None:
        """grace_s: how long it may take to end by itself."""
        self._timer.cancel()
        if self._process is None:
            return
        assert self._process.stdout
        self._process.stdout.close()
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self._kill()
            self._process.wait()

    def __enter__(self) -> FactsProcess:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop(0)


def _facts(answer: bytes, ended: str) -> FileFacts:
    """answer: what the process wrote. ended: why there is no more of it."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    for line in answer.decode(errors="replace").splitlines():
        try:
            part, value, problem = _part(line)
        except ValueError as error:
            ended = f"the process that read it sent {printable(error)}"
            break
        if problem:
            problems.append(problem)
        values[part] = value
    for part, (_, name) in PARTS.items():
        if part not in values:
            problems.append(f"{name} could not be read: {ended}.")
    credentials = values.pop("content_credentials", None) or ContentCredentials(
        "unreadable", "Whether there are any could not be found out."
    )
    return FileFacts(credentials, **values, problems=tuple(problems))


def _part(line: str) -> tuple[str, Any, str]:
    """(name, value or None, sentence) of a line of the answer. Raises ValueError."""
    sent = json.loads(line)
    if not isinstance(sent, dict) or sent.get("part") not in PARTS:
        raise ValueError(f"{line!r:.80}")
    kind, name = PARTS[sent["part"]]
    if "why" in sent:
        return sent["part"], None, f"{name} could not be read: {printable(sent['why'])}."
    return sent["part"], from_json(kind, sent.get("value"), exact=True), ""
