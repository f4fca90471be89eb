"""Exports of many jobs as one file: a CSV table, a JSON list, or a ZIP archive of reports.

Each is made piece by piece, a result at a time, so that memory holds one however many there are.
"""

from __future__ import annotations

import io
import json
import re
import unicodedata
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from serving.analysis.csv_rows import csv_header, csv_row
from serving.analysis.json_list import JsonList
from serving.analysis.report_document import without_location
from serving.analysis.report_html import render
from serving.web.analysis_job import AnalysisJob
from serving.web.problems import Problem, not_found
from serving.web.results_store import ResultsStore
from serving.web.stored_job import StoredJob

TABLE = "results.csv"
LONGEST = 120  # bytes of what a report in an archive keeps of its video's name
# Of a track in the document: what a VideoResult has of it.
_OF_TRACK = (
    "track", "verdict", "probability_fake", "start_s", "end_s", "frames", "median_face_px",
    "segments",
)  # fmt: skip
_OF_RESULT = (
    "verdict", "probability_fake", "frames_sampled", "frames_with_face", "detail",
    "median_face_px", "reasons", "coverage",
)  # fmt: skip


class Exports:
    """Of jobs that have ended; one that is deleted meanwhile is in the file as not found.

    show_location: whether it is told where videos were recorded. The methods yield the file's bytes
    and raise OSError where the file of results cannot be read.
    """

    def __init__(self, store: ResultsStore, show_location: bool):
        self._store, self._show_location = store, show_location

    def csv(self, jobs: Sequence[AnalysisJob | StoredJob]) -> Iterator[bytes]:
        """The table that `dfdetect predict --csv` writes."""
        yield csv_header().encode()
        for job in jobs:
            yield _bytes(csv_row(self._row(job)))

    def json(self, jobs: Sequence[AnalysisJob | StoredJob]) -> Iterator[bytes]:
        """The list that `dfdetect predict --json` prints."""
        text = io.StringIO()
        rows = JsonList(text)
        for job in jobs:
            rows.add(self._row(job))
            yield _bytes(_taken(text))
        rows.close()
        yield _bytes(_taken(text))

    def zip(self, jobs: Sequence[AnalysisJob | StoredJob]) -> Iterator[bytes]:
        """The report of each job that is done, and the table, which names them."""
        sink, table = _Sink(), [csv_header()]
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
            for number, job in enumerate(jobs, 1):
                name, row = report_name(number, job.name), self._row(job)
                if page := self._report(job):
                    archive.writestr(name, page)
                    row = {**row, "report": name}
                table.append(csv_row(row))
                yield sink.taken()
            archive.writestr(TABLE, _bytes("".join(table)))
        yield sink.taken()

    def _row(self, job: AnalysisJob | StoredJob) -> dict[str, Any]:
        """What `dfdetect predict --json` prints of a video."""
        if job.state != "done":
            return _failed(job, job.problem or not_found())
        with self._store.reading() as database:
            row = database.execute(
                "SELECT result, CASE WHEN result IS NULL THEN document END FROM jobs "
                "WHERE id = ? AND expires > ?",
                (job.id, self._store.now()),
            ).fetchone()
        if row is None:
            return _failed(job, not_found())
        result = json.loads(row[0]) if row[0] else _of_document(json.loads(row[1]))
        return {"path": job.name, **self._told(result)}

    def _report(self, job: AnalysisJob | StoredJob) -> str:
        """ "" of a job without a result."""
        result = self._store.result(job.id) if job.state == "done" else None
        if result is None:
            return ""
        document = self._told(result.document)
        return render(document, result.crops, result.heat_maps, result.strip)

    def _told(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """A document, or a result, as it may be shown."""
        return dict(document) if self._show_location else without_location(document)


def report_name(number: int, name: str) -> str:
    """What the report on the video of this name is called as number so many of an archive: another
    for each number, and a plain file name on every system."""
    stem = unicodedata.normalize("NFC", PurePath(name).stem)
    stem = re.sub(r"[^\w .()+,=@-]", "_", stem).encode()[:LONGEST].decode(errors="ignore")
    return f"{number:03}-{stem.strip(' .') or 'video'}.html"


def _failed(job: AnalysisJob | StoredJob, problem: Problem) -> dict[str, Any]:
    return {"path": job.name, "error": problem.name, "detail": problem.detail}


def _of_document(document: Mapping[str, Any]) -> dict[str, Any]:
    """As much of a VideoResult as the report of an earlier version tells: 16 faces at most."""
    tracks = [{name: track[name] for name in _OF_TRACK} for track in document["tracks"]]
    decides = (track["track"] for track in document["tracks"] if track["decides"])
    return {
        **{name: document[name] for name in _OF_RESULT},
        "model": "{name}/{version}".format(**document["model"]),
        "fingerprint": document["model"]["fingerprint"],
        "start_s": min((track["start_s"] for track in tracks), default=None),
        "end_s": max((track["end_s"] for track in tracks), default=None),
        "tracks": tracks,
        "decides": next(decides, None),
        "notes": [],
        "file_facts": document.get("file_facts"),
        "seconds": document["processing_s"]["total"],
    }


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _taken(text: io.StringIO) -> str:
    value = text.getvalue()
    text.seek(0)
    text.truncate()
    return value


class _Sink:
    """Takes what an archive writes, and cannot seek: the archive is made for a stream."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: bytes) -> int:
        self._data += data
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is open."""

    def taken(self) -> bytes:
        data = bytes(self._data)
        self._data.clear()
        return data
