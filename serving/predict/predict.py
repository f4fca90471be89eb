"""Inference on video files: verdicts, by the face code that made the training crops."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pipelines.clip import VideoError
from pipelines.config import PreprocessConfig
from pipelines.coverage import ScanSettings
from pipelines.errors import explain
from pipelines.names import escape
from serving.analysis.opinions import result_of_all, scan_for_all
from serving.analysis.panel import Panel
from serving.analysis.scan import FaceSource, FaceVideo, OnMoment, sha256_of
from serving.analysis.video_result import VideoResult
from serving.client import Model, ModelServerError
from serving.provenance.reader import FactsReader


def predict_video(
    path: str,
    faces: FaceSource,
    model: Model | Panel,
    settings: ScanSettings | None = None,
    on_moment: OnMoment | None = None,
    facts_reader: FactsReader | None = None,
) -> VideoResult:
    """The verdict on one video.

    facts_reader: reads what is known of the file beside what it shows; None: that is not told.
    Holds some moments in memory, however long the video is. Raises VideoError for a video that
    cannot be read, ModelServerError for a model that does not answer or is replaced meanwhile. A
    video without a usable face is a result: NO_FACE.
    """
    settings, panel = settings or ScanSettings(), Panel.of(model)

    def open_video(crops: PreprocessConfig) -> FaceVideo:
        return faces.for_crops(crops).open(path)

    with panel.at_one_version() as voices, contextlib.ExitStack() as stack:
        video = open_video(voices[0].config.preprocess)
        begun = stack.enter_context(facts_reader.begin(path)) if facts_reader else None
        scans = scan_for_all(
            video,
            open_video,
            panel.models,
            voices,
            settings,
            sha256_of(path),
            on_moment=on_moment,
        )
        facts = facts_reader.shown(begun.facts()) if facts_reader and begun else None
    judged = result_of_all(str(path), scans, voices, settings)
    return dataclasses.replace(judged, file_facts=facts)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a path: a result, or an error, a word for machines and a sentence.

    report: the file that shows the result, if one was asked for.
    """

    path: str
    result: VideoResult | None = None
    report: str = ""
    seconds: float = 0.0
    error: str = ""
    detail: str = ""

    def to_dict(self) -> dict[str, Any]:
        if self.result is None:
            return {"path": escape(self.path), "error": self.error, "detail": self.detail}
        report = {"report": escape(self.report)} if self.report else {}
        return {**self.result.to_dict(), **report, "seconds": self.seconds}


# Path of a video -> its result, and the report that was written of it, if any.
JudgeVideo = Callable[[str], tuple[VideoResult, str]]


def outcomes(videos: Sequence[str], judge_video: JudgeVideo) -> Iterator[Outcome]:
    """The outcome of each video, as it comes; one that cannot be judged does not stop the rest."""
    for path in videos:
        started = time.monotonic()
        try:
            result, report = judge_video(path)
        except VideoError as error:
            yield Outcome(path, error=error.reason, detail=error.detail)
        except ModelServerError as error:
            yield Outcome(path, error="model_server", detail=str(error))
        except Exception as error:  # whatever it is: it is about this video alone
            yield Outcome(path, error="error", detail=explain(error))
        else:
            yield Outcome(path, result, report, round(time.monotonic() - started, 3))
