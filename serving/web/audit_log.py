"""Audit log: a line for each decision on a video, and for each link to a result that is made or
revoked: whose, when, which; nothing that it shows."""

from __future__ import annotations

import datetime
import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

from serving.analysis.analyse import Analysis
from serving.web.analysis_job import AnalysisJob
from serving.web.problems import Problem
from serving.web.shares import Share

log = logging.getLogger("dfdetect.web")


class AuditLog:
    """Appends to a file, made with the rights 0600, which it opens anew for each line: the system
    may move it away at any time.

    Raises OSError where the file cannot be written from the start. Later on the log of the server
    says so, and work goes on.
    """

    def __init__(self, path: Path):
        self._path = path
        self._append("")

    def decided(
        self, job: AnalysisJob, state: str, problem: Problem | None, analysis: Analysis | None
    ) -> None:
        """The job has ended: done with the analysis, failed, or cancelled.

        The job's id is hashed: who knows it may read the result.
        """
        document = analysis.document if analysis else None
        self._write(
            job.owner,
            job.id,
            sha256=job.upload.sha256,
            state=state,
            verdict=document["verdict"] if document else None,
            problem=problem.name if problem else None,
            model="{name}/{version}".format(**document["model"]) if document else None,
        )

    def shared(self, client: str, job: str, share: Share) -> None:
        """The client made a link to a job's result."""
        until = datetime.datetime.fromtimestamp(share.expires_at, datetime.UTC)
        expires = until.isoformat(timespec="seconds")
        self._write(client, job, state="shared", share=share.id, expires=expires)

    def share_revoked(self, client: str, job: str, share: str) -> None:
        """share: the link's id."""
        self._write(client, job, state="share-revoked", share=share)

    def _write(self, client: str, job: str, **told: Any) -> None:
        time = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        line = {"time": time, "client": client, "job": job_hash(job), **told}
        try:
            self._append(json.dumps(line) + "\n")
        except OSError as error:
            log.error("a line of the audit log is lost: %s: %s", self._path, error.strerror)

    def _append(self, text: str) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.write(text)


def job_hash(id: str) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a job's id."""
    return hashlib.sha256(id.encode()).hexdigest()[:16]
