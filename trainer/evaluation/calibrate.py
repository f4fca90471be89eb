"""Calibration of a trained model: temperature and thresholds fitted on the validation split.

The best epoch was chosen on that split too, so what is measured here is a little too good.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from pipelines.clip import FAKE, LABEL_NAMES, REAL
from pipelines.coverage import Coverage, ScanSettings
from pipelines.shards.open import ClipDataset
from pipelines.verdict import ClipEvidence, Thresholds, Verdict, VideoVerdict, judge_tracks
from pipelines.video.moments import first_pass
from trainer.calibration import (
    MAX_FPR,
    Calibration,
    apply,
    check_share,
    choose_thresholds,
    fit_temperature,
    log_loss,
)
from trainer.evaluation.as_served import Recording, content_of, holds_all_moments, look
from trainer.evaluation.measured_model import of_run
from trainer.evaluation.predictions import Predictions, predict
from trainer.evaluation.scored import ScoredClip, ScoredVideo
from trainer.evaluation.search_cost import FEWEST, measure_search_cost
from trainer.leakage import Seen, collect
from trainer.run import Run

SPLIT = "val"
AS_SERVED = "as served"
_WHY_NOT = {
    "train": "the model was fitted to it, and is surer there than of anything new",
    "test": "what is measured there afterwards would no longer be of videos new to the model",
}


def calibrate(
    run: str | os.PathLike,
    data: str | os.PathLike,
    split: str = SPLIT,
    max_fpr: float = MAX_FPR,
) -> Calibration:
    """Fits a run's temperature and thresholds on a split and writes its calibration.json.

    Raises ValueError for another split than "val", for one with videos that the model was
    trained on or without both classes, and FileNotFoundError or ValueError where run or data
    cannot be used.
    """
    if split != SPLIT:
        why = _WHY_NOT.get(split, "there is no such split")
        raise ValueError(f"Calibration is refused on split {split!r}: {why}. Use {SPLIT!r}.")
    check_share(max_fpr)
    trained = Run.open(run)
    dataset = open_validation(trained, data, split)
    predictions = predict(of_run(trained, calibrated=False), [dataset], [split])
    return trained.write_calibration(fit(predictions, split, max_fpr))


def open_validation(
    run: Run, data: str | os.PathLike, split: str = SPLIT, purpose: str = "calibration"
) -> ClipDataset:
    """The data set whose split is to calibrate or to judge the run's model.

    Raises FileNotFoundError or ValueError where it cannot be used, or the split lacks a class or
    holds videos of the training.
    """
    return open_unseen(data, run.fingerprint, [(str(run.folder), run.seen)], split, purpose)


def open_unseen(
    data: str | os.PathLike,
    fingerprint: str,
    trainings: Sequence[tuple[str, Seen | None]],
    split: str = SPLIT,
    purpose: str = "calibration",
) -> ClipDataset:
    """As `open_validation`, for crops of a fingerprint and the models of several trainings: the
    name of each, and what it has seen if that is known."""
    dataset = ClipDataset.open(data, fingerprint)
    counts = dataset.label_counts(split)
    if not all(counts.values()):
        clips = " and ".join(f"{counts[label]} {name}" for label, name in LABEL_NAMES.items())
        raise ValueError(f"{data} has {clips} {split} clips; {purpose} needs both classes.")
    known = [(name, seen) for name, seen in trainings if seen]
    here = collect(dataset, split) if known else None
    for name, seen in known:
        assert here
        if common := len(seen.common(here).videos):
            raise ValueError(
                f"{dataset.folder}: {common} of {len(here.videos)} {split} videos were in the "
                f"training of {name}; {purpose} needs videos that are new to the model. "
                f"{_WHY_NOT['train']}."
            )
    return dataset


@dataclasses.dataclass(frozen=True, eq=False)
class _Calibrated:
    """What a calibration sees of the videos: the evidence of each, and its coverage if known."""

    evidence: Sequence[Sequence[ClipEvidence]]
    coverage: Sequence[Coverage | None]
    labels: np.ndarray

    def judge(self, thresholds: Thresholds) -> list[VideoVerdict]:
        return [
            judge_tracks(clips, thresholds, coverage)
            for clips, coverage in zip(self.evidence, self.coverage, strict=True)
        ]


def fit(predictions: Predictions, split: str, max_fpr: float) -> Calibration:
    """The calibration of an uncalibrated model on its own predictions.

    Of shards that hold all moments of their videos, those count that serving would look at, and
    the search cost is measured; of others all clips do, and it is the union bound. Thresholds are
    chosen among the videos of which a face has evidence enough for a verdict; the rates are those
    of the verdicts on all videos with a face. Raises ValueError where a class has no such video.
    """
    (dataset,) = predictions.datasets
    served = holds_all_moments(dataset)
    videos = predictions.scored
    used = _first_looks(predictions) if served else [video.clips for video in videos]
    chosen = [
        (predictions.clips[number], 1 / len(numbers))
        for numbers in used
        for number in numbers
        if len(predictions.clips[number].times_s)
    ]
    logits = [clip.logit for clip, _ in chosen]
    labels = [clip.video.label for clip, _ in chosen]
    weights = [weight for _, weight in chosen]
    temperature = fit_temperature(logits, labels, weights)
    probabilities = apply([clip.logit for clip in predictions.clips], temperature)
    clips = [
        dataclasses.replace(clip, probability_fake=float(probability))
        for clip, probability in zip(predictions.clips, probabilities, strict=True)
    ]
    cost, people = Thresholds.search_cost, 0
    if served:
        recordings = [
            Recording.of([clips[number] for number in video.clips], dataset.config)
            for video in videos
        ]
        found = _looked_at(videos, recordings, Thresholds())
        real = _by_person(videos, recordings)
        if len(real) >= FEWEST:
            people = len(real)
            cost = measure_search_cost(
                real, lambda cost: _choose(found, max_fpr, cost), ScanSettings()
            )
        found = _looked_at(videos, recordings, _choose(found, max_fpr, cost))
    else:
        found = _all_clips(videos, clips)
    thresholds = _choose(found, max_fpr, cost)
    verdicts = np.array([video.verdict for video in found.judge(thresholds)])
    fakes = found.labels == FAKE
    return Calibration(
        temperature=temperature,
        real_below=thresholds.real_below,
        fake_above=thresholds.fake_above,
        max_fpr=max_fpr,
        split=split,
        videos=len(videos),
        fake_videos=int(fakes.sum()),
        false_alarm_rate=float(np.mean(verdicts[~fakes] == Verdict.FAKE)),
        detection_rate=float(np.mean(verdicts[fakes] == Verdict.FAKE)),
        miss_rate=float(np.mean(verdicts[fakes] == Verdict.REAL)),
        inconclusive_rate=float(np.mean(verdicts == Verdict.INCONCLUSIVE)),
        log_loss_before=log_loss(logits, labels, 1.0, weights),
        log_loss_after=log_loss(logits, labels, temperature, weights),
        search_cost=cost,
        measured_on=people,
        sampled=AS_SERVED if served else moments_text(dataset),
    )


def _first_looks(predictions: Predictions) -> list[list[int]]:
    """Of each video, the clips in the moments that serving looks at first: where it looks next
    depends on the probabilities, and these on the temperature."""
    (dataset,) = predictions.datasets
    used = []
    for video in predictions.scored:
        recording = Recording.of([predictions.clips[n] for n in video.clips], dataset.config)
        seen = set(first_pass(recording.moments, ScanSettings(), content_of(video)))
        own = [n for n in video.clips if predictions.clips[n].clip in seen]
        used.append([n for n in own if len(predictions.clips[n].times_s)])
    return used


def _looked_at(
    videos: Sequence[ScoredVideo], recordings: Sequence[Recording], thresholds: Thresholds
) -> _Calibrated:
    """What serving would see of the videos by those thresholds."""
    settings = ScanSettings()
    seen = [
        look(recording, thresholds, settings, content_of(video))
        for video, recording in zip(videos, recordings, strict=True)
    ]
    pairs = list(zip(recordings, seen, strict=True))
    return _Calibrated(
        [recording.evidence(moments) for recording, moments in pairs],
        [recording.coverage(moments) for recording, moments in pairs],
        _labels(videos),
    )


def _all_clips(videos: Sequence[ScoredVideo], clips: Sequence[ScoredClip]) -> _Calibrated:
    evidence = [
        [clips[number].evidence() for number in video.clips if len(clips[number].times_s)]
        for video in videos
    ]
    return _Calibrated(evidence, [None] * len(videos), _labels(videos))


def _labels(videos: Sequence[ScoredVideo]) -> np.ndarray:
    return np.array([video.video.label for video in videos])


def _by_person(
    videos: Sequence[ScoredVideo], recordings: Sequence[Recording]
) -> list[list[Recording]]:
    """The real videos of each person, or of each source where no person is named."""
    people: dict[str, list[Recording]] = {}
    for scored, recording in zip(videos, recordings, strict=True):
        video = scored.video
        if video.label == REAL:
            names = video.identities[:1]
            person = f"{video.dataset}/{names[0]}" if names else video.source_key
            people.setdefault(person, []).append(recording)
    return list(people.values())


def _choose(found: _Calibrated, max_fpr: float, cost: float) -> Thresholds:
    """The thresholds at a search cost."""
    judged = found.judge(Thresholds(search_cost=cost))
    real_below, fake_above = _thresholds(judged, found.labels, max_fpr)
    return Thresholds(real_below, fake_above, search_cost=cost)


def moments_text(dataset: ClipDataset) -> str:
    number = dataset.config.clips_per_video
    return f"{number} moment{'' if number == 1 else 's'} a video"


def _thresholds(
    videos: Sequence[VideoVerdict], truth: np.ndarray, max_fpr: float
) -> tuple[float, float]:
    """(real_below, fake_above), chosen among the videos that a threshold can decide.

    A face with too little evidence is INCONCLUSIVE whatever its score, so that the highest score
    of the others is what makes a video FAKE; no verdict follows from it where there is none.
    """
    scores, labels = [], []
    for video, label in zip(videos, truth, strict=True):
        decidable = [track.score for track in video.tracks if not track.evidence.lacks()]
        if decidable:
            scores.append(max(decidable))
            labels.append(label)
    for label, name in LABEL_NAMES.items():
        if label not in labels:
            raise ValueError(
                f"None of the {name} videos shows a face well enough for a verdict; calibration "
                "needs both classes."
            )
    return choose_thresholds(scores, labels, max_fpr)


def describe(calibration: Calibration) -> str:
    """What was found, in lines for people."""
    real = calibration.videos - calibration.fake_videos
    lines = [
        f"calibrated on {calibration.videos} videos, {calibration.sampled}",
        f"temperature {calibration.temperature:.3f}: log-loss {calibration.log_loss_before:.4f} -> "
        f"{calibration.log_loss_after:.4f}",
        f"search cost {calibration.search_cost:g}: {_why_cost(calibration)}",
        f"REAL at or below {calibration.real_below:.3f}, FAKE at or above "
        f"{calibration.fake_above:.3f}: of {real} real videos {calibration.false_alarm_rate:.1%} "
        f"called FAKE; of {calibration.fake_videos} fakes {calibration.detection_rate:.1%} called "
        f"FAKE, {calibration.miss_rate:.1%} REAL; {calibration.inconclusive_rate:.1%} of all "
        "INCONCLUSIVE",
    ]
    if calibration.false_alarm_rate > calibration.max_fpr:
        lines.append(
            f"No threshold keeps false alarms at {calibration.max_fpr:.1%}: too many real videos "
            "score exactly 1. This model should not be used."
        )
    elif real * calibration.max_fpr < 1:
        lines.append(
            f"{real} real videos are too few to measure false alarms of {calibration.max_fpr:.1%}; "
            "none was allowed, and the true rate may be higher."
        )
    return "\n".join(lines)


def _why_cost(calibration: Calibration) -> str:
    if calibration.measured_on:
        return (
            f"measured on real videos of {calibration.measured_on} people, strung together to 60 "
            "times their length and side by side"
        )
    if calibration.sampled == AS_SERVED:
        return f"the union bound; real videos of {FEWEST} people are needed to measure it"
    return (
        "the union bound; shards of `dfdetect preprocess --sampling all` are needed to measure it"
    )
