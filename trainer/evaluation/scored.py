"""Clips and videos with what a model says of them, and the rule from the ones to the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from pipelines.clip import Video
from pipelines.verdict import (
    Evidence,
    Thresholds,
    Verdict,
    decide,
    deciding_track,
    track_scores,
)


@dataclasses.dataclass(frozen=True, eq=False)
class ScoredClip:
    """A clip, what is known of it and what the model says; of its frames, those with a face.

    data: which of the data sets it is from. position: of its record in the split, as
    `read_records` reads it. times_s, frame_probabilities: (F,). face_px: the face box's shorter
    side, median over the frames; None where no box is known.
    """

    video: Video
    data: int
    position: int
    track: int
    clip: int
    probability_fake: float
    times_s: np.ndarray
    frame_probabilities: np.ndarray
    face_px: float | None


@dataclasses.dataclass(frozen=True, eq=False)
class ScoredVideo:
    """A video and what the system says of it; without a face there is no score.

    decides: the track that score and verdict are of. clips: their numbers in the list that the
    video was made of. face_px: mean over the clips.
    """

    video: Video
    data: int
    score: float | None
    verdict: Verdict
    decides: int | None = None
    clips: tuple[int, ...] = ()
    tracks: int = 0
    frames: int = 0
    face_px: float | None = None
    start_s: float | None = None
    end_s: float | None = None


def group_clips(clips: Sequence[ScoredClip]) -> dict[tuple[str, ...], list[int]]:
    """Numbers of the clips of each video.

    A video is told by dataset, method, compression and id together: the methods of FaceForensics++
    name their videos alike, and so do its compressions.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for number, clip in enumerate(clips):
        groups.setdefault(video_key(clip.video), []).append(number)
    return groups


def video_key(video: Video) -> tuple[str, ...]:
    return (video.dataset, video.method, video.compression, video.id)


def score_videos(clips: Sequence[ScoredClip], thresholds: Thresholds) -> list[ScoredVideo]:
    """The videos of the clips, scored by the rule that serving uses, sorted by key."""
    return [
        _score_video(clips, numbers, thresholds)
        for _, numbers in sorted(group_clips(clips).items())
    ]


def _score_video(
    clips: Sequence[ScoredClip], numbers: Sequence[int], thresholds: Thresholds
) -> ScoredVideo:
    rows = [clips[number] for number in numbers]
    seen = [row for row in rows if len(row.times_s)]
    if not seen:
        return ScoredVideo(rows[0].video, rows[0].data, None, Verdict.NO_FACE, clips=tuple(numbers))
    decides, score, verdict = _decide(seen, [row.probability_fake for row in seen], thresholds)
    sizes = [row.face_px for row in seen if row.face_px is not None]
    return ScoredVideo(
        video=rows[0].video,
        data=rows[0].data,
        score=score,
        verdict=verdict,
        decides=decides,
        clips=tuple(numbers),
        tracks=len({row.track for row in seen}),
        frames=sum(len(row.times_s) for row in seen),
        face_px=float(np.mean(sizes)) if sizes else None,
        start_s=float(min(row.times_s.min() for row in seen)),
        end_s=float(max(row.times_s.max() for row in seen)),
    )


def _decide(
    rows: Sequence[ScoredClip], probabilities: Sequence[float], thresholds: Thresholds
) -> tuple[int, float, Verdict]:
    """Number, P(fake) and verdict of the track that decides; each clip holds a face."""
    scores = track_scores([row.track for row in rows], probabilities)
    verdicts = {}
    for track, score in scores.items():
        own = [row for row in rows if row.track == track]
        evidence = Evidence.of([len(r.times_s) for r in own], [r.face_px for r in own])
        verdicts[track] = decide(score, thresholds, evidence)
    decides = deciding_track(scores, verdicts)
    return decides, scores[decides], verdicts[decides]


def rescore(
    videos: Sequence[ScoredVideo],
    clips: Sequence[ScoredClip],
    probabilities: np.ndarray,
    thresholds: Thresholds,
) -> list[float]:
    """Scores of the videos that have one, were P(fake) of the clips `probabilities` (N,)."""
    scores = []
    for video in videos:
        if video.score is not None:
            seen = [n for n in video.clips if len(clips[n].times_s)]
            rows = [clips[n] for n in seen]
            scores.append(_decide(rows, probabilities[seen].tolist(), thresholds)[1])
    return scores


def deciding_clip(video: ScoredVideo, clips: Sequence[ScoredClip]) -> int:
    """Of the track that gave the video its score, the number of the clip with the highest one."""
    of_track = [n for n in video.clips if clips[n].track == video.decides and len(clips[n].times_s)]
    return max(of_track, key=lambda n: clips[n].probability_fake)
