"""What is said of a video: from what the model saw in its clips to tracks and a verdict."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from pipelines.clip import Clip
from serving.client import Prediction
from serving.verdict import Thresholds, decide, track_scores, video_score


@dataclasses.dataclass(frozen=True)
class ClipScore:
    """All that is kept of a clip once the model has seen it; times in seconds of the video.

    sampled: frames that were looked at; frames: those in which the face was found.
    """

    clip: int
    track: int
    probability_fake: float
    start_s: float
    end_s: float
    frames: int
    sampled: int


@dataclasses.dataclass(frozen=True)
class TrackResult:
    """The verdict on one face; times in seconds from the video's start."""

    track: int
    verdict: str
    probability_fake: float
    start_s: float
    end_s: float
    frames: int


@dataclasses.dataclass(frozen=True)
class VideoResult:
    """The verdict on a video. probability_fake, start_s and end_s are None without a face.

    model: its name and version. fingerprint: that of the preprocessing.
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

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def clip_scores(clips: Sequence[Clip], predictions: Sequence[Prediction]) -> list[ClipScore]:
    """The scores of clips, which each hold a face. Raises ValueError if the lengths differ."""
    return [
        ClipScore(
            clip=clip.index,
            track=clip.track,
            probability_fake=prediction.probability_fake,
            start_s=round(float(clip.times_s[clip.found].min()), 3),
            end_s=round(float(clip.times_s[clip.found].max()), 3),
            frames=int(clip.found.sum()),
            sampled=len(clip.images),
        )
        for clip, prediction in zip(clips, predictions, strict=True)
    ]


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
    tracks = [score.track for score in scores]
    probabilities = [score.probability_fake for score in scores]
    score = video_score(tracks, probabilities) if scores else None
    return VideoResult(
        path=path,
        verdict=decide(score, thresholds),
        probability_fake=score,
        model=model,
        fingerprint=fingerprint,
        frames_sampled=sum(score.sampled for score in scores),
        frames_with_face=sum(score.frames for score in scores),
        start_s=min((score.start_s for score in scores), default=None),
        end_s=max((score.end_s for score in scores), default=None),
        tracks=tuple(
            _track(track, [s for s in scores if s.track == track], probability, thresholds)
            for track, probability in track_scores(tracks, probabilities).items()
        ),
        detail=detail,
    )


def _track(
    track: int, scores: Sequence[ClipScore], probability: float, thresholds: Thresholds
) -> TrackResult:
    return TrackResult(
        track=track,
        verdict=decide(probability, thresholds),
        probability_fake=probability,
        start_s=min(score.start_s for score in scores),
        end_s=max(score.end_s for score in scores),
        frames=sum(score.frames for score in scores),
    )
