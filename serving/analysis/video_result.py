"""The result of a video: the model's predictions on its clips, its face tracks, its verdict, or
that of a demo model none."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipelines.clip import Clip
from pipelines.config import PreprocessConfig
from pipelines.coverage import Coverage, ScanSettings
from pipelines.names import escape
from pipelines.verdict import ClipEvidence, Segment, TrackVerdict, Verdict, judge_tracks
from serving.client import ModelConfig, Prediction
from serving.provenance.file_facts import FileFacts

# In place of a verdict, of a video and of each face, where the model was trained on the generated
# set: what the rule makes of its score says nothing of anyone, so nobody is told.
DEMO = "DEMO"
DEMO_WORDS = "DEMO MODEL: no verdict"
DEMO_REASON = (
    "This model was trained on generated videos, to try the system. It cannot tell anything about "
    "real people. For verdicts, use a model that was trained on real footage."
)


@dataclasses.dataclass(frozen=True)
class ClipScore:
    """All that is kept of a clip once the model has seen it; times in seconds of the video.

    clip: the number of its moment in the video. track: that of its face. has_face: of each frame
    that was looked at whether the face is in it. face_px: median over these of the face box's
    shorter side, px of the video; None where it was not kept. notes: the clip's.
    """

    clip: int
    track: int
    probability_fake: float
    start_s: float
    end_s: float
    has_face: Sequence[bool]
    face_px: float | None = None
    notes: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON, in which `has_face` has the name of earlier versions, whose files are read."""
        values = dataclasses.asdict(self)
        values["found"] = values.pop("has_face")
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ClipScore:
        """The inverse of `to_dict`."""
        rest = dict(values)
        return cls(has_face=rest.pop("found"), **rest)

    @property
    def evidence(self) -> ClipEvidence:
        """What of it the verdict rests on."""
        return ClipEvidence(
            clip=self.clip,
            track=self.track,
            probability_fake=self.probability_fake,
            frames=sum(self.has_face),
            face_px=self.face_px,
            start_s=self.start_s,
            end_s=self.end_s,
        )


@dataclasses.dataclass(frozen=True)
class TrackResult:
    """The verdict on one face; times in seconds from the video's start. verdict: as in VideoResult.
    segments: where it is FAKE, in order of time."""

    track: int
    verdict: str
    probability_fake: float
    start_s: float
    end_s: float
    frames: int
    median_face_px: float | None = None
    segments: tuple[Segment, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON."""
        segments = [
            {
                "start_s": part.start_s,
                "end_s": part.end_s,
                "probability_fake": part.score,
                "clips": part.clips,
            }
            for part in self.segments
        ]
        return {**dataclasses.asdict(self), "verdict": str(self.verdict), "segments": segments}


@dataclasses.dataclass(frozen=True)
class Opinion:
    """What one of several models says of a video: what it would say if it were asked alone.

    model, fingerprint, verdict, probability_fake, tracks, decides, reasons: as in VideoResult.
    calibrated, real_below, fake_above: of the model's thresholds. A video of which the model could
    not see enough for a verdict is INCONCLUSIVE.
    """

    model: str
    fingerprint: str
    verdict: str
    probability_fake: float | None
    calibrated: bool
    real_below: float
    fake_above: float
    tracks: tuple[TrackResult, ...]
    decides: int | None
    reasons: tuple[str, ...]

    @classmethod
    def of(cls, result: VideoResult, config: ModelConfig) -> Opinion:
        """config: what the model says of itself."""
        return cls(
            result.model,
            result.fingerprint,
            result.verdict,
            result.probability_fake,
            config.thresholds.calibrated,
            config.thresholds.real_below,
            config.thresholds.fake_above,
            result.tracks,
            result.decides,
            result.reasons,
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            **values,
            "verdict": str(self.verdict),
            "tracks": [track.to_dict() for track in self.tracks],
            "reasons": list(self.reasons),
        }


@dataclasses.dataclass(frozen=True)
class VideoResult:
    """The verdict on a video. probability_fake, start_s and end_s are None without a face.

    path: as text that can be printed and stored (`pipelines.names`). verdict: a Verdict, or DEMO
    where a demo model saw a face. model: its name and version. fingerprint: that of the
    preprocessing. frames_sampled: those that were looked at; frames_with_face: those of them with
    any. median_face_px: of the track that decides, whose number is `decides`. reasons: why there
    is too little for a verdict, if so. notes: what was done to see the faces, where that was not
    the usual, and what was left out. coverage: what of the video was looked at. opinions: of
    each model, where several were asked, in their order. file_facts: what is known of the file
    beside what it shows, if that was read; nothing else here follows from it.
    """

    path: str
    verdict: str
    probability_fake: float | None
    model: str
    fingerprint: str
    frames_sampled: int
    frames_with_face: int
    start_s: float | None
    end_s: float | None
    tracks: tuple[TrackResult, ...]
    detail: str = ""
    decides: int | None = None
    median_face_px: float | None = None
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    coverage: Coverage | None = None
    opinions: tuple[Opinion, ...] = ()
    file_facts: FileFacts | None = None

    @property
    def models_disagree(self) -> bool:
        """Whether there are opinions of different verdicts; one that saw no face has none."""
        given = {opinion.verdict for opinion in self.opinions} - {DEMO, Verdict.NO_FACE}
        return len(given) > 1

    @property
    def ranked(self) -> tuple[TrackResult, ...]:
        """The tracks as people are shown them: the highest-scoring first."""
        return tuple(sorted(self.tracks, key=lambda track: (-track.probability_fake, track.track)))

    @property
    def segments(self) -> list[tuple[float, float]]:
        """(start, end) in seconds of where a face is FAKE, of all of them."""
        return [(part.start_s, part.end_s) for track in self.tracks for part in track.segments]

    def without_verdict(self) -> VideoResult:
        """The same by a demo model: scores stay, what the rule makes of them does not."""
        tracks = (dataclasses.replace(t, verdict=DEMO, segments=()) for t in self.tracks)
        return dataclasses.replace(
            self,
            verdict=DEMO if self.tracks else self.verdict,
            tracks=tuple(tracks),
            reasons=(DEMO_REASON,),
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        facts = values.pop("file_facts")
        return {
            **values,
            "verdict": str(self.verdict),
            "tracks": [track.to_dict() for track in self.tracks],
            "reasons": list(self.reasons),
            "notes": list(self.notes),
            "coverage": self.coverage.to_dict() if self.coverage else None,
            "opinions": [opinion.to_dict() for opinion in self.opinions],
            "models_disagree": self.models_disagree,
            "file_facts": facts.to_dict() if facts else None,
        }


def verdict_words(verdict: str) -> str:
    """A verdict, or DEMO, as people are shown it in a line of text."""
    return DEMO_WORDS if verdict == DEMO else str(verdict)


def face_sizes(clip: Clip) -> np.ndarray:
    """(F,) float: the face box's shorter side in each frame with the face, px of the video."""
    boxes = clip.boxes[clip.has_crop]
    return np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])


def clip_score(clip: Clip, prediction: Prediction) -> ClipScore:
    """The score of a clip, which holds a face."""
    times_s = clip.times_s[clip.has_crop]
    return ClipScore(
        clip=clip.index,
        track=clip.track,
        probability_fake=prediction.probability_fake,
        start_s=round(float(times_s.min()), 3),
        end_s=round(float(times_s.max()), 3),
        has_face=tuple(clip.has_crop.tolist()),
        face_px=round(float(np.median(face_sizes(clip))), 1),
        notes=clip.notes,
    )


def judge(
    path: str,
    scores: Sequence[ClipScore],
    config: ModelConfig,
    model: str,
    coverage: Coverage,
    settings: ScanSettings,
    notes: Sequence[str] = (),
) -> VideoResult:
    """The verdict on a video from all of its clips, in any order. No clips: NO_FACE.

    config: what the model says of itself. model: its name and version. coverage: what was looked
    at, by these settings. notes: what was left out.
    """
    evidence = (score.evidence for score in scores)
    video = judge_tracks(evidence, config.thresholds, coverage, settings)
    any_face: dict[int, list[bool]] = {}  # in each clip, whether a frame holds any face
    for score in scores:
        pairs = zip(any_face.get(score.clip, score.has_face), score.has_face, strict=True)
        any_face[score.clip] = [before or now for before, now in pairs]
    deciding = video.deciding
    result = VideoResult(
        path=escape(path),
        verdict=video.verdict,
        probability_fake=video.score,
        model=model,
        fingerprint=config.preprocess.fingerprint,
        frames_sampled=coverage.frames,
        frames_with_face=sum(map(sum, any_face.values())),
        start_s=min((score.start_s for score in scores), default=None),
        end_s=max((score.end_s for score in scores), default=None),
        tracks=tuple(_track_result(track, scores) for track in video.tracks),
        detail="" if scores else _no_face(config.preprocess),
        decides=deciding.track if deciding else None,
        median_face_px=deciding.evidence.face_px if deciding else None,
        reasons=video.reasons,
        notes=tuple(dict.fromkeys([*(note for s in scores for note in s.notes), *notes])),
        coverage=coverage,
    )
    return result.without_verdict() if config.provenance.sample_data else result


def _no_face(crops: PreprocessConfig) -> str:
    return (
        f"no face of {crops.min_face} px or more (at {crops.detect_side} px) with score "
        f"{crops.min_confidence} in {crops.min_face_share:.0%} of the frames of any moment that "
        "was looked at."
    )


def _track_result(track: TrackVerdict, scores: Sequence[ClipScore]) -> TrackResult:
    own = [score for score in scores if score.track == track.track]
    return TrackResult(
        track=track.track,
        verdict=track.verdict,
        probability_fake=track.score,
        start_s=min(score.start_s for score in own),
        end_s=max(score.end_s for score in own),
        frames=track.evidence.frames,
        median_face_px=track.evidence.face_px,
        segments=track.segments,
    )
