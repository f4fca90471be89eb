"""Inference on video files: verdicts, by the face code that made the training crops."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pipelines.clip import VideoError
from pipelines.coverage import ScanSettings
from pipelines.errors import explain
from pipelines.names import escape
from serving.analysis.scan import FaceSource, OnMoment, result, scan, sha256_of
from serving.analysis.video_result import VideoResult, by_one_version
from serving.client import Model, ModelServerError


def predict_video(
    path: str,
    faces: FaceSource,
    model: Model,
    settings: ScanSettings | None = None,
    on_moment: OnMoment | None = None,
) -> VideoResult:
    """The verdict on one video.

    Holds some moments in memory, however long the video is. Raises VideoError for a video that
    cannot be read, ModelServerError for a model that does not answer or is replaced meanwhile. A
    video without a usable face is a result: NO_FACE.
    """
    settings, crops = settings or ScanSettings(), faces.config
    with by_one_version(model, crops) as (config, version):
        video, content = faces.open(path), sha256_of(path)
        scanned = scan(
            video, model, crops, config.thresholds, settings, content, on_moment=on_moment
        )
    return result(str(path), scanned, config, version, settings)


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
