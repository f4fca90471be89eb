"""What is said of a video: from what the model saw in its clips to tracks and a verdict."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Protocol

import numpy as np

from pipelines.clip import Clip
from serving.client import BATCH, Prediction
from serving.verdict import Evidence, Thresholds, decide, deciding_track, track_scores


@dataclasses.dataclass(frozen=True)
class ClipScore:
    """All that is kept of a clip once the model has seen it; times in seconds of the video.

    sampled: frames that were looked at; frames: those in which the face was found. face_px: median
    of the face box's shorter side over these, px of the video; None where it was not kept.
    """

    clip: int
    track: int
    probability_fake: float
    start_s: float
    end_s: float
    frames: int
    sampled: int
    face_px: float | None = None


@dataclasses.dataclass(frozen=True)
class TrackResult:
    """The verdict on one face; times in seconds from the video's start."""

    track: int
    verdict: str
    probability_fake: float
    start_s: float
    end_s: float
    frames: int
    median_face_px: float | None = None


@dataclasses.dataclass(frozen=True)
class VideoResult:
    """The verdict on a video. probability_fake, start_s and end_s are None without a face.

    model: its name and version. fingerprint: that of the preprocessing. median_face_px: of the
    track that decides, whose number is `decides`. reasons: why the evidence is too little, if so.
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

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


class Predictor(Protocol):
    """The part of a Model that gives scores."""

    def predict(self, clips: Sequence[Sequence[bytes]]) -> list[Prediction]: ...


def ask(model: Predictor, clips: Iterable[Clip]) -> Iterator[tuple[Clip, Prediction]]:
    """Each clip with what the model says of it; a batch of clips is held at a time."""
    waiting = iter(clips)
    while batch := list(islice(waiting, BATCH)):
        yield from zip(batch, model.predict([clip.images for clip in batch]), strict=True)


def face_sizes(clip: Clip) -> np.ndarray:
    """(F,) float: the face box's shorter side in each frame with the face, px of the video."""
    boxes = clip.boxes[clip.found]
    return np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])


def clip_score(clip: Clip, prediction: Prediction) -> ClipScore:
    """The score of a clip, which holds a face."""
    times_s = clip.times_s[clip.found]
    return ClipScore(
        clip=clip.index,
        track=clip.track,
        probability_fake=prediction.probability_fake,
        start_s=round(float(times_s.min()), 3),
        end_s=round(float(times_s.max()), 3),
        frames=len(times_s),
        sampled=len(clip.images),
        face_px=round(float(np.median(face_sizes(clip))), 1),
    )


def clip_scores(clips: Sequence[Clip], predictions: Sequence[Prediction]) -> list[ClipScore]:
    """The scores of clips, which each hold a face. Raises ValueError if the lengths differ."""
    return [clip_score(clip, p) for clip, p in zip(clips, predictions, strict=True)]


def judge(
    path: str,
    scores: Sequence[ClipScore],
    thresholds: Thresholds,
    model: str,
    fingerprint: str,
    detail: str = "",
) -> VideoResult:
    """The verdict on a video from all of its clips, in any order. No clips: NO_FACE.

    detail: why there is no clip.
    """
    scores = sorted(scores, key=lambda score: (score.clip, score.track))  # sums depend on order
    by_track = track_scores([s.track for s in scores], [s.probability_fake for s in scores])
    tracks = {
        track: _track(track, [s for s in scores if s.track == track], probability, thresholds)
        for track, probability in by_track.items()
    }
    decides = tracks[deciding_track(by_track)] if tracks else None
    evidence = Evidence(decides.frames, decides.median_face_px) if decides else None
    return VideoResult(
        path=path,
        verdict=decides.verdict if decides else decide(None, thresholds),
        probability_fake=decides.probability_fake if decides else None,
        model=model,
        fingerprint=fingerprint,
        frames_sampled=sum(score.sampled for score in scores),
        frames_with_face=sum(score.frames for score in scores),
        start_s=min((score.start_s for score in scores), default=None),
        end_s=max((score.end_s for score in scores), default=None),
        tracks=tuple(tracks.values()),
        detail=detail,
        decides=decides.track if decides else None,
        median_face_px=decides.median_face_px if decides else None,
        reasons=tuple(evidence.lacks()) if evidence else (),
    )


def _track(
    track: int, scores: Sequence[ClipScore], probability: float, thresholds: Thresholds
) -> TrackResult:
    evidence = Evidence.of([s.frames for s in scores], [s.face_px for s in scores])
    return TrackResult(
        track=track,
        verdict=decide(probability, thresholds, evidence),
        probability_fake=probability,
        start_s=min(score.start_s for score in scores),
        end_s=max(score.end_s for score in scores),
        frames=evidence.frames,
        median_face_px=evidence.face_px,
    )
