"""HTML report files, a self-contained one for each video that is judged."""

from __future__ import annotations

import os
from pathlib import Path

from pipelines.atomic import write_text
from pipelines.coverage import ScanSettings
from pipelines.names import escape
from serving.analysis.analyse import analyse
from serving.analysis.panel import Panel
from serving.analysis.report_html import render
from serving.analysis.scan import FaceSource, OnMoment
from serving.analysis.video_result import VideoResult
from serving.client import Model
from serving.provenance.reader import FactsReader

LONGEST = 240  # bytes of a page's name without number and suffix; file systems take 255


class ReportFiles:
    """Judges videos as `predict_video` does, and writes NAME.html of each into a folder.

    Of the second video of a name the report is NAME-2.html, and so on. What is there stays, but
    for an earlier report on the same file, by its SHA-256. Makes the folder; raises OSError where
    it cannot.
    """

    def __init__(
        self,
        folder: Path,
        faces: FaceSource,
        model: Model | Panel,
        settings: ScanSettings | None = None,
        on_moment: OnMoment | None = None,
        facts_reader: FactsReader | None = None,
    ):
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._faces, self._model = folder, faces, model
        self._settings, self._on_moment = settings, on_moment
        self._facts_reader = facts_reader
        self._taken: set[str] = set()

    def __call__(self, path: str) -> tuple[VideoResult, str]:
        """The result and the report's path. Raises VideoError, ModelServerError, OSError."""
        analysis = analyse(
            path,
            self._faces,
            self._model,
            self._settings,
            facts_reader=self._facts_reader,
            on_moment=self._on_moment,
        )
        page = render(analysis.document, analysis.crops, analysis.heat_maps, analysis.strip)
        report = self._place(Path(path).stem, analysis.document["file"]["sha256"])
        write_text(report, page)
        return analysis.result, str(report)

    def _place(self, stem: str, sha256: str) -> Path:
        stem = escape(stem).encode()[:LONGEST].decode(errors="ignore")
        name, number = stem, 1
        while not self._is_free(name, sha256):
            number += 1
            name = f"{stem}-{number}"
        self._taken.add(name.lower())
        return self._folder / f"{name}.html"

    def _is_free(self, name: str, sha256: str) -> bool:
        if name.lower() in self._taken:  # some file systems do not tell A from a
            return False
        page = self._folder / f"{name}.html"
        # A page names the file that it reports on by its checksum.
        return not os.path.lexists(page) or (
            page.is_file() and sha256.encode() in page.read_bytes()
        )
