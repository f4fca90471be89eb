"""Analysis of a video: verdict, reasons, timeline, faces and provenance, in one report."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, TypeVar

import cv2
import numpy as np

from pipelines.clip import Look
from pipelines.config import PreprocessConfig
from pipelines.coverage import ScanSettings
from pipelines.names import escape
from pipelines.video.moments import Moments
from pipelines.video.probe import FrameTimes, VideoMetadata
from serving.analysis.crops import Crop, CropSelection, Face, Strip
from serving.analysis.opinions import result_of_all, scan_for_all
from serving.analysis.panel import Panel, Predictor
from serving.analysis.report_document import MAX_TRACKS, Box, ReportInputs, build
from serving.analysis.scan import FaceSource, FaceVideo, OnMoment, sha256_of
from serving.analysis.video_result import VideoResult
from serving.client import BATCH, InvalidRequest, Model, Prediction
from serving.provenance.reader import FactsReader

T = TypeVar("T")

# Called with the stage (decode, faces, model or report), the share of it that is done where that
# can be told, 0 to 1, and a word on it.
OnProgress = Callable[[str, float | None, str], None]


class Cancelled(Exception):
    """The caller wants no result any more."""


@dataclasses.dataclass(frozen=True, eq=False)
class Analysis:
    """A report document, the result that it tells of, and the pictures that belong to it.

    document: JSON, `dfdetect-report/1`. crops: the JPEG of each of its faces. heat_maps: where the
    model looked in each, (h, w) float32, 0 to 1, or None. strip: the JPEG of each of its strip.
    models: as `Panel.version` has them.
    """

    document: dict[str, Any]
    result: VideoResult
    crops: list[bytes]
    heat_maps: list[np.ndarray | None]
    strip: list[bytes]
    models: str = ""


class _Pictures:
    """What a report needs of the moments that go by, beside their scores."""

    def __init__(self, row: Moments):
        self._row = row
        self.crops, self.strip = CropSelection(), Strip()
        # By face: time of each frame with it -> P(fake) of that frame, and where it is there.
        self.frames: dict[Face, dict[float, float]] = {}
        self.boxes: dict[Face, dict[float, Box]] = {}
        self.size: tuple[int, int] | None = None  # of the picture that the boxes are in

    def add(self, look: Look, predictions: Sequence[Prediction]) -> None:
        self.crops.add(look, predictions)
        self.strip.add(look, self._row)
        for clip, prediction in zip(look.clips, predictions, strict=True):
            frames = clip.has_crop.nonzero()[0].tolist()
            times_s = [round(float(clip.times_s[frame]), 3) for frame in frames]
            values = (prediction.frame_probability[frame] for frame in frames)
            self.frames[clip.index, clip.track] = dict(zip(times_s, values, strict=True))
            boxes = map(tuple, clip.boxes[frames].round().astype(int).tolist())
            self.boxes[clip.index, clip.track] = dict(zip(times_s, boxes, strict=True))
            assert clip.sighting is not None  # as in every clip of a look
            self.size = clip.sighting.size


def analyse(
    path: str,
    faces: FaceSource,
    model: Model | Panel,
    settings: ScanSettings | None = None,
    *,
    name: str | None = None,
    sha256: str | None = None,
    facts_reader: FactsReader | None = None,
    on_progress: OnProgress | None = None,
    on_moment: OnMoment | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Analysis:
    """The report on a video, by the rule and the code that `predict_video` uses.

    name: what the file is called in the report. sha256: of the file, where the caller has it.
    facts_reader: reads what is known of the file beside what it shows; None: that is not told.
    cancelled: asked between moments. Holds some moments and the pictures of the report, however
    long the video is. Raises VideoError for a video that cannot be read, ModelServerError for a
    model that does not answer or is replaced meanwhile, Cancelled. A video without a usable face
    is a result: NO_FACE.
    """
    settings, panel = settings or ScanSettings(), Panel.of(model)
    run = _Run(on_progress, on_moment, cancelled)

    def open_video(crops: PreprocessConfig) -> _TimedVideo:
        return _TimedVideo(run, faces.for_crops(crops).open(path))

    with panel.at_one_version() as voices, contextlib.ExitStack() as stack:
        run.enter("decode")
        sha256 = sha256 or sha256_of(path)
        lead, crops_of = voices[0], voices[0].config.preprocess
        video = open_video(crops_of)
        begun = stack.enter_context(facts_reader.begin(path)) if facts_reader else None
        row = Moments.of(video.frame_times.times_s, crops_of)
        pictures = _Pictures(row)
        scans = scan_for_all(
            video,
            open_video,
            [_TimedModel(run, model) for model in panel.models],
            voices,
            settings,
            sha256,
            on_look=pictures.add,
            on_moment=run.on_moment,
        )
        scanned = scans[0]
        judged = result_of_all(path, scans, voices, settings)
        ranked = [track.track for track in judged.ranked[:MAX_TRACKS]]
        crops = pictures.crops.chosen(scanned.tracks, ranked)
        # Of an ensemble where its first model looked.
        heat_maps = run.explained(panel.models[0], [crop for _, _, crop in crops])
        if facts_reader and begun:
            judged = dataclasses.replace(judged, file_facts=facts_reader.shown(begun.facts()))
    strip = pictures.strip.chosen(row)
    run.enter("report")
    file = {
        "name": name if name is not None else escape(os.path.basename(path)),
        "sha256": sha256,
        "bytes": os.path.getsize(path),
    }
    document = build(
        ReportInputs(
            result=judged,
            frames=_by_track(pictures.frames, scanned.tracks),
            boxes=_by_track(pictures.boxes, scanned.tracks),
            size=pictures.size,
            sampled=[
                _times_s(row, moment.moment) for moment in scanned.moments if not moment.damaged
            ],
            crops=crops,
            heat_maps=heat_maps,
            strip=[time_s for time_s, _ in strip],
            metadata=video.metadata,
            file=file,
            config=lead.config,
            seconds=run.times(),
        )
    )
    return Analysis(
        document,
        judged,
        [jpeg(crop.image) for _, _, crop in crops],
        heat_maps,
        [thumbnail for _, thumbnail in strip],
        ", ".join(voice.name for voice in voices if voice.ensemble is None),
    )


def _by_track(
    frames: Mapping[Face, Mapping[float, T]], tracks: Mapping[Face, int]
) -> dict[int, dict[float, T]]:
    by_track: dict[int, dict[float, T]] = {}
    for face, of_frames in frames.items():
        by_track.setdefault(tracks[face], {}).update(of_frames)
    return by_track


def _times_s(row: Moments, moment: int) -> list[float]:
    """Of the moment's frames, by way of float32, as those of clips, so that both round alike."""
    times_s = row.times_s[row.samples[moment]].astype(np.float32)
    return [round(float(time), 3) for time in times_s]


class _Run:
    """The clock, the caller's wishes and the progress of one analysis."""

    def __init__(
        self,
        on_progress: OnProgress | None,
        on_moment: OnMoment | None,
        cancelled: Callable[[], bool] | None,
    ):
        self._on_progress, self._on_moment, self._cancelled = on_progress, on_moment, cancelled
        self._started = time.monotonic()
        self._model_s = self._faces_s = 0.0

    def enter(self, stage: str, done: float | None = None, detail: str = "") -> None:
        """Raises Cancelled."""
        if self._cancelled and self._cancelled():
            raise Cancelled
        if self._on_progress:
            self._on_progress(stage, done, detail)

    def on_moment(self, done: int, planned: int) -> None:
        """Raises Cancelled."""
        self.enter("faces", done / planned, f"{done} of {planned} moments")
        if self._on_moment:
            self._on_moment(done, planned)

    def timed_looks(self, looks: Generator[Look]) -> Generator[Look]:
        """The looks; the time that they keep us waiting is counted."""
        with contextlib.closing(looks):
            while True:
                started = time.monotonic()
                look = next(looks, None)
                self._faces_s += time.monotonic() - started
                if look is None:
                    return
                yield look

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


class _TimedVideo:
    """A video whose looks are timed."""

    def __init__(self, run: _Run, video: FaceVideo):
        self._run, self._video = run, video

    @property
    def metadata(self) -> VideoMetadata:
        return self._video.metadata

    @property
    def frame_times(self) -> FrameTimes:
        return self._video.frame_times

    def looks(self, samples: Mapping[int, np.ndarray]) -> Generator[Look]:
        return self._run.timed_looks(self._video.looks(samples))


class _TimedModel:
    """A model whose predictions are timed, and not asked for once the caller wants none."""

    def __init__(self, run: _Run, model: Predictor):
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
