"""Scored clips and videos: a model's predictions on a data set, judged by the one scoring rule."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from pipelines.clip import Video
from pipelines.coverage import Coverage, ScanSettings
from pipelines.verdict import (
    ClipEvidence,
    Segment,
    Thresholds,
    Verdict,
    VideoVerdict,
    judge_tracks,
)


@dataclasses.dataclass(frozen=True, eq=False)
class ScoredClip:
    """A clip with its metadata and the model's predictions; of its frames, those with a face.

    data: which of the data sets it is from. position: of its record in the split, as
    `read_records` reads it. times_s, frame_probabilities: (F,). face_px: the face box's shorter
    side, median over the frames; None where no box is known. logit: before any temperature.
    start_s: when its first frame is shown, with a face or without.
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
    logit: float = math.nan
    start_s: float = 0.0

    def evidence(self, probability_fake: float | None = None) -> ClipEvidence:
        """What it, which holds a face, adds to the verdict on its video; with another P(fake)
        than the model's."""
        return ClipEvidence(
            clip=self.clip,
            track=self.track,
            probability_fake=self.probability_fake
            if probability_fake is None
            else probability_fake,
            frames=len(self.times_s),
            face_px=self.face_px,
            start_s=float(self.times_s[0]),
            end_s=float(self.times_s[-1]),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class ScoredVideo:
    """A video with its score and verdict; without a face there is no score.

    decides: the track that score and verdict are of. clips: their numbers in the list that the
    video was made of. face_px: mean over the clips. coverage: None where it is not known which
    part of the video the clips are. segments: where the deciding track is FAKE.
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
    coverage: Coverage | None = None
    segments: tuple[Segment, ...] = ()


def group_clips(clips: Sequence[ScoredClip]) -> dict[tuple[str, ...], list[int]]:
    """Numbers of the clips of each video.

    A video is identified by dataset, method, compression and id together.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for number, clip in enumerate(clips):
        groups.setdefault(clip.video.full_key, []).append(number)
    return groups


def score_videos(
    clips: Sequence[ScoredClip],
    thresholds: Thresholds,
    coverage: Mapping[tuple[str, ...], Coverage] | None = None,
    settings: ScanSettings | None = None,
) -> list[ScoredVideo]:
    """The videos of the clips, scored by the rule that serving uses, sorted by key.

    coverage: of each video, by its key, where that is known."""
    coverage = coverage or {}
    return [
        _score_video(clips, numbers, thresholds, coverage.get(key), settings)
        for key, numbers in sorted(group_clips(clips).items())
    ]


def _score_video(
    clips: Sequence[ScoredClip],
    numbers: Sequence[int],
    thresholds: Thresholds,
    coverage: Coverage | None,
    settings: ScanSettings | None,
) -> ScoredVideo:
    rows = [clips[number] for number in numbers]
    seen = [row for row in rows if len(row.times_s)]
    if not seen:
        return ScoredVideo(rows[0].video, rows[0].data, None, Verdict.NO_FACE, clips=tuple(numbers))
    judged = judge_tracks([row.evidence() for row in seen], thresholds, coverage, settings)
    assert judged.deciding  # there is a face
    sizes = [row.face_px for row in seen if row.face_px is not None]
    return ScoredVideo(
        video=rows[0].video,
        data=rows[0].data,
        score=judged.score,
        verdict=judged.verdict,
        decides=judged.deciding.track,
        clips=tuple(numbers),
        tracks=len(judged.tracks),
        frames=sum(len(row.times_s) for row in seen),
        face_px=float(np.mean(sizes)) if sizes else None,
        start_s=float(min(row.times_s.min() for row in seen)),
        end_s=float(max(row.times_s.max() for row in seen)),
        coverage=coverage,
        segments=judged.deciding.segments,
    )


def rescore(
    videos: Sequence[ScoredVideo],
    clips: Sequence[ScoredClip],
    probabilities: np.ndarray,
    thresholds: Thresholds,
    settings: ScanSettings | None = None,
) -> list[float]:
    """Scores of the videos that have one, were P(fake) of the clips `probabilities` (N,)."""
    judged = (judge_video(video, clips, probabilities, thresholds, settings) for video in videos)
    return [verdict.score for verdict in judged if verdict.score is not None]


def judge_video(
    video: ScoredVideo,
    clips: Sequence[ScoredClip],
    probabilities: np.ndarray,
    thresholds: Thresholds,
    settings: ScanSettings | None = None,
) -> VideoVerdict:
    """The verdict on a video, were P(fake) of the clips `probabilities` (N,)."""
    evidence = [
        clips[number].evidence(float(probabilities[number]))
        for number in video.clips
        if len(clips[number].times_s)
    ]
    return judge_tracks(evidence, thresholds, video.coverage, settings)


def deciding_clip(video: ScoredVideo, clips: Sequence[ScoredClip]) -> int:
    """Of the track that gave the video its score, the number of the clip with the highest one."""
    of_track = [n for n in video.clips if clips[n].track == video.decides and len(clips[n].times_s)]
    return max(of_track, key=lambda n: clips[n].probability_fake)
