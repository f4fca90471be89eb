"""Scan of a video: looks at moments of it, asks the model, and looks again where it matters.

The one loop of `dfdetect predict`, `dfdetect score` and the web application. What is kept of a
moment is numbers, however long the video is.
"""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
import hashlib
import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from pipelines.clip import Look, Sighting, VideoError
from pipelines.config import PreprocessConfig
from pipelines.coverage import Coverage, ScanSettings
from pipelines.faces.people import People
from pipelines.verdict import Thresholds, Verdict
from pipelines.video.moments import MAX_PASSES, Moments, passes
from pipelines.video.probe import FrameTimes, VideoMetadata
from serving.analysis.video_result import (
    ClipScore,
    Predictor,
    VideoResult,
    clip_score,
    judge,
)
from serving.client import BATCH, ModelConfig, Prediction

# Where there is no index to seek by, each pass decodes the file from its start.
MAX_PASSES_UNINDEXED = 2


class FaceVideo(Protocol):
    """A video file that was probed, and the faces in it."""

    @property
    def metadata(self) -> VideoMetadata: ...

    @property
    def frame_times(self) -> FrameTimes: ...

    def looks(self, samples: Mapping[int, np.ndarray]) -> Generator[Look]:
        """samples: moment -> indices of its frames; in order of the moments."""


class FaceSource(Protocol):
    """Where the faces of videos come from: a FaceExtractor, or a process that has one."""

    @property
    def config(self) -> PreprocessConfig: ...

    def open(self, path: str) -> FaceVideo: ...


# Called with the number of moments that were looked at, and of those that are planned so far.
OnMoment = Callable[[int, int], None]
# Called with a moment and the model's prediction for each of its clips.
OnLook = Callable[[Look, Sequence[Prediction]], None]


@dataclasses.dataclass(frozen=True, eq=False)
class ScoredFace:
    """A face in a moment, once the model has seen it. score: its track is its number there."""

    score: ClipScore
    sighting: Sighting

    def to_dict(self) -> dict[str, Any]:
        return {"score": self.score.to_dict(), "sighting": self.sighting.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ScoredFace:
        """The inverse of `to_dict`."""
        return cls(ClipScore.from_dict(values["score"]), Sighting.from_dict(values["sighting"]))


@dataclasses.dataclass(frozen=True, eq=False)
class ScoredMoment:
    """What is kept of a moment. frames: that were looked at. damaged: as in Look."""

    moment: int
    frames: int
    faces: tuple[ScoredFace, ...] = ()
    damaged: str = ""

    @classmethod
    def of(cls, look: Look, predictions: Sequence[Prediction]) -> ScoredMoment:
        faces = []
        for clip, prediction in zip(look.clips, predictions, strict=True):
            assert clip.sighting is not None  # as in every clip of a look
            faces.append(ScoredFace(clip_score(clip, prediction), clip.sighting))
        return cls(look.moment, look.frames, tuple(faces), look.damaged)

    @property
    def highest(self) -> float | None:
        """P(fake) of its most suspicious face; None without one."""
        return max((face.score.probability_fake for face in self.faces), default=None)

    def to_dict(self) -> dict[str, Any]:
        """JSON."""
        faces = [face.to_dict() for face in self.faces]
        return {
            "moment": self.moment,
            "frames": self.frames,
            "faces": faces,
            "damaged": self.damaged,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ScoredMoment:
        """The inverse of `to_dict`."""
        return cls(**{**values, "faces": tuple(map(ScoredFace.from_dict, values["faces"]))})


@dataclasses.dataclass(frozen=True, eq=False)
class ScannedVideo:
    """What a scan saw of a video.

    row: all moments that the video has. moments: those that were looked at, in order. scores:
    of their faces, whose track is their number in the whole video. stopped: why not even the first
    pass was done, "timeout", "too_much_to_decode" or, where nothing decodes, "damaged"; else "".
    why: a sentence on it. notes: sentences on what else was not looked at.
    """

    row: Moments
    moments: tuple[ScoredMoment, ...]
    coverage: Coverage
    scores: tuple[ClipScore, ...]
    stopped: str = ""
    why: str = ""
    notes: tuple[str, ...] = ()

    @property
    def tracks(self) -> dict[tuple[int, int], int]:
        """(moment, number of a face within it) -> its number in the whole video."""
        faces = ((m.moment, face.score.track) for m in self.moments for face in m.faces)
        return dict(zip(faces, (score.track for score in self.scores), strict=True))


def scan(
    video: FaceVideo,
    model: Predictor,
    crops: PreprocessConfig,
    thresholds: Thresholds,
    settings: ScanSettings,
    content: str,
    *,
    known: Mapping[int, ScoredMoment] | None = None,
    on_look: OnLook | None = None,
    on_moment: OnMoment | None = None,
) -> ScannedVideo:
    """Looks at a video as closely as the settings say.

    content: what identifies the file's content, its SHA-256. known: moments that were scored
    before, by the same model, of the same content; where the plan names one it is taken from
    there. So the result is that of a scan which knows nothing.

    Holds some moments in memory, however long the video is. Raises what the model raises, and
    VideoError as the video does, but for "timeout".
    """
    row = Moments.of(video.frame_times.times_s, crops)
    work = _Work(video, model, row, settings, known or {}, on_look, on_moment)
    at_most = MAX_PASSES if video.frame_times.seekable else MAX_PASSES_UNINDEXED
    stopped = why = ""
    notes: list[str] = []
    planned = passes(row, work.highest, thresholds, settings, content, at_most)
    for number, wanted in enumerate(planned, 1):
        reason, sentence = work.look_at(wanted)
        if number == 1:
            stopped, why = (reason, sentence) if reason else work.all_damaged()
        elif reason:
            notes.append(f"It was not looked at more closely: {sentence}")
        if stopped or reason:
            break
    moments = tuple(work.scored[moment] for moment in sorted(work.scored))
    whole = {m.moment: bool(m.faces) for m in moments if not m.damaged}
    if len(whole) < len(moments):
        damaged = f"{len(moments) - len(whole)} of {len(moments)} moments"
        notes.append(f"{damaged} do not decode and count as not looked at: get the file again.")
    return ScannedVideo(
        row,
        moments,
        row.coverage(whole),
        tuple(_numbered(moments)),
        stopped,
        why,
        tuple(notes),
    )


def result(
    path: str,
    scanned: ScannedVideo,
    config: ModelConfig,
    model: str,
    settings: ScanSettings,
) -> VideoResult:
    """The verdict on a video that was scanned. config: what the model says of itself. model: its
    name and version.

    Raises VideoError where the scan was stopped before its first pass was done, unless what it
    saw by then is FAKE.
    """
    notes = scanned.notes
    if scanned.stopped:
        notes = (*notes, f"The rest was not looked at: {scanned.why}")
    judged = judge(path, scanned.scores, config, model, scanned.coverage, settings, notes)
    if scanned.stopped and judged.verdict != Verdict.FAKE:
        raise VideoError(scanned.stopped, "decode", f"{path}: {scanned.why}")
    return judged


def sha256_of(path: str) -> str:
    """What identifies a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _numbered(moments: Iterable[ScoredMoment]) -> Iterator[ClipScore]:
    """The scores of all faces, whose tracks are numbered over the whole video."""
    people = People()
    for moment in moments:
        numbers = people.number([face.sighting for face in moment.faces])
        for face, number in zip(moment.faces, numbers, strict=True):
            yield dataclasses.replace(face.score, track=number)


class _Work:
    """The passes over a video: what was scored, and what decoding may still cost."""

    def __init__(
        self,
        video: FaceVideo,
        model: Predictor,
        row: Moments,
        settings: ScanSettings,
        known: Mapping[int, ScoredMoment],
        on_look: OnLook | None,
        on_moment: OnMoment | None,
    ):
        self._video, self._model, self._row, self._known = video, model, row, known
        self._on_look, self._on_moment = on_look, on_moment
        self._size = video.metadata.width, video.metadata.height
        self._limit = settings.max_gigapixels
        self._frames = 0  # that were decoded
        self.scored: dict[int, ScoredMoment] = {}

    def look_at(self, wanted: Sequence[int]) -> tuple[str, str]:
        """Scores these moments -> why not all of them: a word and a sentence, or two empty ones."""
        new = [moment for moment in wanted if moment not in self._known]
        self.scored |= {m: self._known[m] for m in wanted if m in self._known}
        affordable = self._affordable(new)
        if affordable:
            try:
                self._score({moment: self._row.samples[moment] for moment in affordable})
            except VideoError as error:
                if error.reason != "timeout":
                    raise
                return error.reason, error.detail.rpartition(": ")[2]  # without the path
        if len(affordable) < len(new):
            return "too_much_to_decode", self._too_much(new)
        return "", ""

    def _cost(self, moments: Sequence[int]) -> int:
        """Frames that the decoder must go through."""
        if not moments:
            return 0
        samples = np.concatenate([self._row.samples[moment] for moment in moments])
        return self._video.frame_times.frames_to_decode(samples.tolist())

    def _affordable(self, moments: Sequence[int]) -> Sequence[int]:
        """As many of them, from the first on, as may still be decoded."""
        left = math.inf
        if self._limit:
            left = self._limit * 1e9 / max(1, math.prod(self._size)) - self._frames
        if self._cost(moments) > left:
            fits = range(len(moments) + 1)
            number = bisect.bisect_right(fits, left, key=lambda n: self._cost(moments[:n])) - 1
            moments = moments[: max(0, number)]
        self._frames += self._cost(moments)
        return moments

    def _too_much(self, moments: Sequence[int]) -> str:
        frames = self._cost(moments)
        width, height = self._size
        return (
            f"{len(moments)} moments need {frames} frames of {width}x{height} px decoded, "
            f"{frames * width * height / 1e9:.3g} gigapixels; {self._limit:g} are allowed for the "
            "whole video. Raise --max-gigapixels, lower --max-clips, or put it into a container "
            "with an index (MP4, Matroska)."
        )

    def _score(self, samples: Mapping[int, np.ndarray]) -> None:
        with contextlib.closing(self._video.looks(samples)) as looks:
            for look, predictions in scored_looks(self._model, self._counted(looks, len(samples))):
                self.scored[look.moment] = ScoredMoment.of(look, predictions)
                if self._on_look:
                    self._on_look(look, predictions)

    def _counted(self, looks: Iterable[Look], number: int) -> Iterator[Look]:
        before = len(self.scored)
        for done, look in enumerate(looks, before + 1):
            if self._on_moment:
                self._on_moment(done, before + number)
            yield look

    def highest(self) -> dict[int, float | None]:
        """P(fake) of the most suspicious face of each moment so far."""
        return {moment: scored.highest for moment, scored in self.scored.items()}

    def all_damaged(self) -> tuple[str, str]:
        """As `look_at`, where no moment could be decoded."""
        damaged = [moment.damaged for moment in self.scored.values()]
        return ("damaged", damaged[0]) if all(damaged) else ("", "")


def scored_looks(
    model: Predictor, looks: Iterable[Look]
) -> Iterator[tuple[Look, Sequence[Prediction]]]:
    """Each look with the model's predictions for its clips; about a batch of clips is held.

    What came before an error is scored first.
    """
    waiting: list[Look] = []
    error: VideoError | None = None
    looks = iter(looks)
    while True:
        try:
            look = next(looks, None)
        except VideoError as raised:
            look, error = None, raised
        if look is not None:
            waiting.append(look)
        clips = [clip.images for waits in waiting for clip in waits.clips]
        if look is None or max(len(clips), len(waiting)) >= BATCH:
            predictions = iter(model.predict(clips) if clips else ())
            for waits in waiting:
                yield waits, [next(predictions) for _ in waits.clips]
            waiting = []
        if error:
            raise error
        if look is None:
            return
