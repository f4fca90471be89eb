"""Analysis of a video: verdict, reasons, timeline, faces and provenance, in one report."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import os
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from typing import Any, Protocol

import cv2
import numpy as np

from pipelines.clip import Clip, VideoError
from pipelines.config import PreprocessConfig
from pipelines.names import escape
from pipelines.video.probe import VideoMetadata
from serving.analysis.crops import Crop, CropSelection
from serving.analysis.report_document import ReportInputs, build
from serving.analysis.video_result import (
    ClipScore,
    VideoResult,
    by_one_version,
    clip_score,
    judge,
    predictions,
)
from serving.client import BATCH, InvalidRequest, Model, Prediction


class FaceVideo(Protocol):
    """A video file that was probed, and the faces in it."""

    @property
    def metadata(self) -> VideoMetadata: ...

    def clips(self) -> Generator[Clip]: ...


class FaceSource(Protocol):
    """Where the faces of videos come from: a FaceExtractor, or a process that has one."""

    @property
    def config(self) -> PreprocessConfig: ...

    def open(self, path: str) -> FaceVideo: ...


# Called with the stage (decode, faces, model or report), the share of it that is done where that
# can be told, 0 to 1, and a word on it.
OnProgress = Callable[[str, float | None, str], None]


class Cancelled(Exception):
    """The caller wants no result any more."""


@dataclasses.dataclass(frozen=True, eq=False)
class Analysis:
    """A report document, the result that it tells of, and what belongs to its list of faces.

    document: JSON, `dfdetect-report/1`. crops: the JPEG of each face. heat_maps: where the
    model looked in each, (h, w) float32, 0 to 1, or None.
    """

    document: dict[str, Any]
    result: VideoResult
    crops: list[bytes]
    heat_maps: list[np.ndarray | None]


class ScoredClips:
    """What is kept of a video's clips as they go by: numbers, and the crops of the report."""

    def __init__(self) -> None:
        self.scores: list[ClipScore] = []
        self.crops = CropSelection()
        self.detail = ""  # why there is no clip
        # By track: time of each frame with the face -> P(fake) of that frame.
        self.frames: defaultdict[int, dict[float, float]] = defaultdict(dict)

    def add(self, clip: Clip, prediction: Prediction) -> None:
        self.scores.append(clip_score(clip, prediction))
        self.crops.add(clip, prediction)
        for frame in clip.has_crop.nonzero()[0].tolist():
            time_s = round(float(clip.times_s[frame]), 3)
            self.frames[clip.track][time_s] = prediction.frame_probability[frame]


def analyse(
    path: str,
    faces: FaceSource,
    model: Model,
    *,
    name: str | None = None,
    sha256: str | None = None,
    on_progress: OnProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Analysis:
    """The report on a video, by the rule and the code that `predict_video` uses.

    name: what the file is called in the report. sha256: of the file, where the caller has it.
    cancelled: asked between batches of clips. Holds a few clips and the crops of the report,
    however long the video is. Raises VideoError for a video that cannot be read, ModelServerError
    for a model that does not answer or is replaced meanwhile, Cancelled. A video without a usable
    face is a result: NO_FACE.
    """
    run = _Run(on_progress or (lambda *_: None), cancelled or (lambda: False))
    with by_one_version(model, faces.config) as (config, version):
        run.enter("decode")
        video = faces.open(path)
        metadata = video.metadata
        frames_sampled = sum(map(len, metadata.sampled))
        clips = run.score_clips(video, model, path, frames_sampled)
        crops = clips.crops.chosen()
        heat_maps = run.explained(model, [crop for _, crop in crops])
    result = judge(
        path,
        clips.scores,
        config.thresholds,
        version,
        faces.config.fingerprint,
        clips.detail,
        frames_sampled=frames_sampled,
    )
    run.enter("report")
    file = {
        "name": name if name is not None else escape(os.path.basename(path)),
        "sha256": sha256 or sha256_of(path),
        "bytes": os.path.getsize(path),
    }
    document = build(
        ReportInputs(result, clips.frames, crops, heat_maps, metadata, file, config, run.times())
    )
    return Analysis(document, result, [jpeg(crop.image) for _, crop in crops], heat_maps)


class _Run:
    """The clock, the caller's wishes and the progress of one analysis."""

    def __init__(self, on_progress: OnProgress, cancelled: Callable[[], bool]):
        self._on_progress, self._cancelled = on_progress, cancelled
        self._started = time.monotonic()
        self._model_s = self._faces_s = 0.0

    def enter(self, stage: str, done: float | None = None, detail: str = "") -> None:
        """Raises Cancelled."""
        if self._cancelled():
            raise Cancelled
        self._on_progress(stage, done, detail)

    def score_clips(self, video: FaceVideo, model: Model, path: str, frames: int) -> ScoredClips:
        """frames: how many are sampled from the video. Raises VideoError, Cancelled."""
        scored = ScoredClips()
        try:
            with contextlib.closing(video.clips()) as clips:
                timed = self._timed_clips(clips, frames)
                for clip, prediction in predictions(_TimedModel(self, model), timed):
                    scored.add(clip, prediction)
        except VideoError as error:
            if error.reason != "no_face":
                raise
            scored.detail = error.detail.removeprefix(f"{path}: ")  # a report may be shared
        return scored

    def _timed_clips(self, clips: Iterator[Clip], frames: int) -> Iterator[Clip]:
        """The clips; the time that they keep us waiting is counted."""
        frames_of_clip: dict[int, int] = {}
        while True:
            started = time.monotonic()
            clip = next(clips, None)
            self._faces_s += time.monotonic() - started
            if clip is None:
                return
            frames_of_clip[clip.index] = len(clip.images)
            done = sum(frames_of_clip.values())
            self.enter("faces", done / frames, f"{done} of {frames} frames")
            yield clip

    def timed_inference(self, call: Callable[[], Any], clips: int) -> Any:
        """The answer of the model; the time that it takes is counted."""
        self.enter("model", None, f"{clips} clip{'' if clips == 1 else 's'}")
        started = time.monotonic()
        try:
            return call()
        finally:
            self._model_s += time.monotonic() - started

    def explained(self, model: Model, crops: list[Crop]) -> list[np.ndarray | None]:
        """The heat map of each crop, (h, w) float32; None for all where the model makes none."""
        clips = list({id(crop.images): crop.images for crop in crops}.values())
        maps: dict[int, np.ndarray] = {}
        for start in range(0, len(clips), BATCH):
            batch = clips[start : start + BATCH]
            try:
                heat = self.timed_inference(functools.partial(model.explain, batch), len(batch))
            except InvalidRequest:  # a model that was exported before there was this signature
                return [None] * len(crops)
            maps.update(zip(map(id, batch), heat, strict=True))
        return [maps[id(crop.images)][crop.frame] for crop in crops]

    def times(self) -> dict[str, float]:
        total = time.monotonic() - self._started
        seconds = {"faces": self._faces_s, "model": self._model_s, "total": total}
        return {stage: round(spent, 3) for stage, spent in seconds.items()}


class _TimedModel:
    """A model whose predictions are timed, and not asked for once the caller wants none."""

    def __init__(self, run: _Run, model: Model):
        self._run, self._model = run, model

    def predict(self, clips: Any) -> list[Prediction]:
        return self._run.timed_inference(lambda: self._model.predict(clips), len(clips))


def jpeg(image: bytes) -> bytes:
    """An encoded image as JPEG; one that is already stays as it is."""
    if image.startswith(b"\xff\xd8"):
        return image
    pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None  # it is one of our own crops
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def sha256_of(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
