"""Audit log: a line for each decision on a video: whose, when, which; nothing that it shows."""

from __future__ import annotations

import datetime
import hashlib
import json
import logging
import os
from pathlib import Path

from serving.analysis.analyse import Analysis
from serving.web.analysis_job import AnalysisJob
from serving.web.problems import Problem

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
        line = {
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            "client": job.owner,
            "job": job_hash(job.id),
            "sha256": job.upload.sha256,
            "state": state,
            "verdict": document["verdict"] if document else None,
            "problem": problem.name if problem else None,
            "model": "{name}/{version}".format(**document["model"]) if document else None,
        }
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
