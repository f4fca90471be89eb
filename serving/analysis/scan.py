"""Scan of a video: looks at moments of it, asks the model, and looks again where it matters.

The one loop of `dfdetect predict`, `dfdetect score` and the web application. What is kept of a
moment is numbers, however long the video is. Several models see what any of them asks for at once,
and each is told only of what it asked for itself: it says what it would say alone.
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
from pipelines.verdict import Verdict
from pipelines.video.moments import MAX_PASSES, Moments, passes
from pipelines.video.probe import FrameTimes, VideoMetadata
from serving.analysis.panel import Predictor, Voice
from serving.analysis.video_result import ClipScore, VideoResult, clip_score, judge
from serving.client import BATCH, Prediction

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

    def for_crops(self, config: PreprocessConfig) -> FaceSource:
        """The same for other crops."""


# Called with the number of moments that were looked at, and of those that are planned so far.
OnMoment = Callable[[int, int], None]
# Called with a moment that the first voice asked for, and its prediction for each of the clips.
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
    models: Sequence[Predictor],
    voices: Sequence[Voice],
    settings: ScanSettings,
    content: str,
    *,
    known: Sequence[Mapping[int, ScoredMoment]] = (),
    on_look: OnLook | None = None,
    on_moment: OnMoment | None = None,
) -> list[ScannedVideo]:
    """Looks at a video as closely as the settings say -> what each voice saw of it, which is what
    it would see if it were the only one.

    models: of the panel, by number. voices: that want the same crops. content: what identifies the
    file's content, its SHA-256. known: of each voice moments that were scored before, by the same
    models, of the same content; where its plan names one it is taken from there. So the result is
    that of a scan which knows nothing.

    Holds some moments in memory, however long the video is. Raises what a model raises, and
    VideoError as the video does, but for "timeout".
    """
    row = Moments.of(video.frame_times.times_s, voices[0].config.preprocess)
    plans = [
        _Plan(voice, video, row, settings, content, already)
        for voice, already in zip(voices, known or [{}] * len(voices), strict=True)
    ]
    done = 0
    working = [plan for plan in plans if plan.next_pass()]
    while working:
        samples = {m: row.samples[m] for m in sorted({m for p in working for m in p.wanted})}
        asked = sorted({number for plan in working for number in plan.voice.models})
        stopped = None
        try:
            with contextlib.closing(video.looks(samples) if samples else _none()) as looks:
                counted = _counted(looks, done, len(samples), on_moment)
                for look, of_models in scored_looks(models, asked, counted):
                    done += 1
                    for plan in working:
                        if look.moment in plan.wanted:
                            predictions = plan.add(look, of_models)
                            if on_look and plan is plans[0]:
                                on_look(look, predictions)
        except VideoError as error:
            if error.reason != "timeout":
                raise
            stopped = error
        working = [plan for plan in working if plan.end_pass(stopped) and plan.next_pass()]
    return [plan.scanned() for plan in plans]


def _none() -> Generator[Look]:
    yield from ()


def _counted(
    looks: Iterable[Look], before: int, number: int, on_moment: OnMoment | None
) -> Iterator[Look]:
    for done, look in enumerate(looks, before + 1):
        if on_moment:
            on_moment(done, before + number)
        yield look


def result(path: str, scanned: ScannedVideo, voice: Voice, settings: ScanSettings) -> VideoResult:
    """The verdict of a voice on a video that was scanned.

    Raises VideoError where the scan was stopped before its first pass was done, unless what it
    saw by then is FAKE.
    """
    notes = scanned.notes
    if scanned.stopped:
        notes = (*notes, f"The rest was not looked at: {scanned.why}")
    coverage, config = scanned.coverage, voice.config
    judged = judge(path, scanned.scores, config, voice.name, coverage, settings, notes)
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


class _Plan:
    """What a voice wants to see, pass by pass; what it saw; and what decoding for it may cost.

    wanted: the moments that are to be looked at in the pass at work.
    """

    def __init__(
        self,
        voice: Voice,
        video: FaceVideo,
        row: Moments,
        settings: ScanSettings,
        content: str,
        known: Mapping[int, ScoredMoment],
    ):
        self.voice, self.wanted = voice, frozenset[int]()
        self._video, self._row, self._known = video, row, known
        self._size = video.metadata.width, video.metadata.height
        self._limit = settings.max_gigapixels
        self._frames = 0  # that were decoded
        self._scored: dict[int, ScoredMoment] = {}
        self._left_out: Sequence[int] = ()  # of the pass, because decoding costs too much
        self._pass = 0
        self._stopped = self._why = ""
        self._notes: list[str] = []
        at_most = MAX_PASSES if video.frame_times.seekable else MAX_PASSES_UNINDEXED
        thresholds = voice.config.thresholds
        self._passes = passes(row, self._highest, thresholds, settings, content, at_most)

    def next_pass(self) -> bool:
        """Whether there is one; then `wanted` is what it needs."""
        planned = next(self._passes, None)
        if planned is None:
            return False
        self._pass += 1
        self._scored |= {m: self._known[m] for m in planned if m in self._known}
        new = [moment for moment in planned if moment not in self._known]
        affordable = self._affordable(new)
        self.wanted, self._left_out = frozenset(affordable), new[len(affordable) :]
        return True

    def add(
        self, look: Look, of_models: Mapping[int, Sequence[Prediction]]
    ) -> Sequence[Prediction]:
        """Takes note of a moment that it wanted -> its predictions."""
        predictions = self.voice.predictions(of_models)
        self._scored[look.moment] = ScoredMoment.of(look, predictions)
        return predictions

    def end_pass(self, error: VideoError | None) -> bool:
        """error: why no more could be decoded, if so. Whether to look any further."""
        reason = why = ""
        if error:
            reason, why = error.reason, error.detail.rpartition(": ")[2]  # without the path
        elif self._left_out:
            reason, why = "too_much_to_decode", self._too_much(self._left_out)
        elif self._pass == 1 and all(moment.damaged for moment in self._scored.values()):
            reason, why = "damaged", next(iter(self._scored.values())).damaged
        if reason and self._pass == 1:
            self._stopped, self._why = reason, why
        elif reason:
            self._notes.append(f"It was not looked at more closely: {why}")
        return not reason

    def scanned(self) -> ScannedVideo:
        moments = tuple(self._scored[moment] for moment in sorted(self._scored))
        whole = {m.moment: bool(m.faces) for m in moments if not m.damaged}
        if len(whole) < len(moments):
            damaged = f"{len(moments) - len(whole)} of {len(moments)} moments"
            what = f"{damaged} do not decode and count as not looked at: get the file again."
            self._notes.append(what)
        return ScannedVideo(
            self._row,
            moments,
            self._row.coverage(whole),
            tuple(_numbered(moments)),
            self._stopped,
            self._why,
            tuple(self._notes),
        )

    def _highest(self) -> dict[int, float | None]:
        """P(fake) of the most suspicious face of each moment so far."""
        return {moment: scored.highest for moment, scored in self._scored.items()}

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


def scored_looks(
    models: Sequence[Predictor], asked: Sequence[int], looks: Iterable[Look]
) -> Iterator[tuple[Look, Mapping[int, Sequence[Prediction]]]]:
    """Each look with what the models of these numbers say of its clips; about a batch of clips is
    held.

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
            said = {
                number: iter(models[number].predict(clips) if clips else ()) for number in asked
            }
            for waits in waiting:
                yield waits, {n: [next(of) for _ in waits.clips] for n, of in said.items()}
            waiting = []
        if error:
            raise error
        if look is None:
            return
