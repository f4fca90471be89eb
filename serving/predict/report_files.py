"""HTML report files, a self-contained one for each video that is judged."""

from __future__ import annotations

from pathlib import Path

from pipelines.atomic import write_text
from serving.analysis.analyse import FaceSource, analyse
from serving.analysis.report_html import render
from serving.analysis.video_result import VideoResult
from serving.client import Model


class ReportFiles:
    """Judges videos as `predict_video` does, and writes NAME.html of each into a folder.

    Of the second video of a name the report is NAME-2.html, and so on; one of an earlier run is
    replaced. Makes the folder; raises OSError where it cannot.
    """

    def __init__(self, folder: Path, faces: FaceSource, model: Model):
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._faces, self._model = folder, faces, model
        self._taken: set[str] = set()

    def __call__(self, path: str) -> tuple[VideoResult, str]:
        """The result and the report's path. Raises VideoError, ModelServerError, OSError."""
        analysis = analyse(path, self._faces, self._model)
        page = render(analysis.document, analysis.crops, analysis.heat_maps)
        report = self._folder / self._name(Path(path).stem)
        write_text(report, page)
        return analysis.result, str(report)

    def _name(self, stem: str) -> str:
        name, number = stem, 1
        while name.lower() in self._taken:  # some file systems do not tell A from a
            number += 1
            name = f"{stem}-{number}"
        self._taken.add(name.lower())
        return f"{name}.html"
