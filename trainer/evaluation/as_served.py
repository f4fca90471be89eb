"""Videos as serving would look at them, replayed from the scores of all their moments.

Shards of `--sampling all` hold every moment of a video that shows a face. A moment without a record
shows none; what comes after a video's last record is not known of and counts as not there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from pipelines.config import PreprocessConfig
from pipelines.coverage import Coverage, ScanSettings
from pipelines.shards.open import ClipDataset
from pipelines.verdict import ClipEvidence, Thresholds
from pipelines.video.moments import Moments, passes
from trainer.evaluation.predictions import Predictions
from trainer.evaluation.scored import ScoredClip, ScoredVideo, score_videos


@dataclasses.dataclass(frozen=True, eq=False)
class Recording:
    """A video of which every moment is scored. faces: moment -> what each face there adds."""

    moments: Moments
    faces: Mapping[int, Sequence[ClipEvidence]]

    @classmethod
    def of(cls, clips: Sequence[ScoredClip], config: PreprocessConfig) -> Recording:
        """From the clips of one video, of shards of `config`."""
        faces: dict[int, list[ClipEvidence]] = {}
        for clip in clips:
            if len(clip.times_s):
                faces.setdefault(clip.clip, []).append(clip.evidence())
        return cls(_moments(clips, config), faces)

    def highest(self, moment: int) -> float | None:
        """P(fake) of the face that scores highest there; None without a face."""
        faces = self.faces.get(moment)
        return max(face.probability_fake for face in faces) if faces else None

    def evidence(self, moments: Iterable[int]) -> list[ClipEvidence]:
        """Of all faces in those moments."""
        return [face for moment in moments for face in self.faces.get(moment, ())]

    def coverage(self, moments: Iterable[int]) -> Coverage:
        return self.moments.coverage({moment: moment in self.faces for moment in moments})


def _moments(clips: Sequence[ScoredClip], config: PreprocessConfig) -> Moments:
    """The moments of a video by the records of it: those between two records lie evenly."""
    starts = {clip.clip: clip.start_s for clip in clips}
    last = max(starts)
    # The last record's moment is as long as the others, unless its frames show that it is shorter.
    shown_s = max(clip.times_s[-1] for clip in clips if clip.clip == last and len(clip.times_s))
    step_s = starts[last] / (last * config.frames_per_clip) if last else _step_s(clips)
    end_s = float(shown_s) + step_s
    index, start_s = zip(*sorted({0: 0.0, **starts}.items()), strict=True)
    edges = np.interp(np.arange(last + 2), [*index, last + 1], [*start_s, end_s])
    frames = config.frames_per_clip * config.frame_stride
    shares = np.arange(frames) / frames
    times_s = (edges[:-1, None] + np.diff(edges)[:, None] * shares).ravel()
    every = np.arange(0, len(times_s), config.frame_stride)
    return Moments(times_s, np.split(every, last + 1))


def _step_s(clips: Sequence[ScoredClip]) -> float:
    """From one sample to the next in a video of a single moment."""
    steps = np.concatenate([np.diff(clip.times_s) for clip in clips])
    return float(np.median(steps)) if len(steps) else 0.0


def look(
    video: Recording, thresholds: Thresholds, settings: ScanSettings, content: str
) -> list[int]:
    """The moments that serving would look at, ascending. content: as in `first_pass`."""
    scores: dict[int, float | None] = {}
    for wanted in passes(video.moments, lambda: scores, thresholds, settings, content):
        scores.update((moment, video.highest(moment)) for moment in wanted)
    return sorted(scores)


def require_all_moments(dataset: ClipDataset) -> None:
    """Raises ValueError where shards do not hold all moments of their videos."""
    if holds_all_moments(dataset):
        return
    config = dataset.config
    if config.sampling == "uniform":
        raise ValueError(
            f"{dataset.folder}: clips spread over a share of each video (--sampling uniform); what "
            "serving would look at can be replayed for models of consecutive frames only."
        )
    raise ValueError(
        f"{dataset.folder}: holds {config.clips_per_video} moments of each video, not all that "
        "serving may look at. Run `dfdetect preprocess` on the same input again, with --sampling "
        "all, --splits val,test and another --output."
    )


def holds_all_moments(dataset: ClipDataset) -> bool:
    return dataset.config.sampling == "all"


def content_of(video: ScoredVideo) -> str:
    """What stands for the file's content, which a record does not hold: the places at which a
    video is looked at follow from its name here, and are others than in its file."""
    return "/".join(video.video.full_key)


def only_looked_at(
    predictions: Predictions, thresholds: Thresholds, settings: ScanSettings
) -> Predictions:
    """Of predictions for all moments, those that serving would look at, with their coverage.

    Raises ValueError where a data set does not hold all moments.
    """
    for dataset in predictions.datasets:
        require_all_moments(dataset)
    kept: list[int] = []
    coverage: dict[tuple[str, ...], Coverage] = {}
    for video in predictions.scored:
        own = [predictions.clips[number] for number in video.clips]
        recording = Recording.of(own, predictions.datasets[video.data].config)
        seen = look(recording, thresholds, settings, content_of(video))
        coverage[video.video.full_key] = recording.coverage(seen)
        kept += [number for number in video.clips if predictions.clips[number].clip in set(seen)]
    kept.sort()
    clips = [predictions.clips[number] for number in kept]
    faceless = [video for video in predictions.videos if video.score is None]
    return dataclasses.replace(
        predictions,
        clips=clips,
        videos=score_videos(clips, thresholds, coverage, settings) + faceless,
        under_conditions=predictions.under_conditions[:, kept],
        settings=settings,
    )
