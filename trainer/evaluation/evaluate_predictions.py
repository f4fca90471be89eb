"""Predictions -> the evaluation result: metrics by level and slice, verdicts, worst errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipelines.clip import FAKE, LABEL_NAMES, REAL
from pipelines.config import PreprocessConfig
from pipelines.ensemble import Member
from pipelines.verdict import Thresholds, Verdict, decide
from trainer.calibration import Calibration
from trainer.evaluation.bootstrap import LEVEL, Bootstrap
from trainer.evaluation.labelled_scores import LabelledScores
from trainer.evaluation.measured_model import Detector
from trainer.evaluation.measurement import measure
from trainer.evaluation.metrics import FALSE_ALARM_RATE, RECALL, ROC_AUC
from trainer.evaluation.predictions import Predictions
from trainer.evaluation.reliability import calibration_bins
from trainer.evaluation.result import (
    SCHEMA,
    AsServed,
    ClipLevel,
    ConditionRow,
    DatasetResult,
    ErrorFrame,
    EvaluationResult,
    FrameLevel,
    MemberProvenance,
    MethodSummary,
    ModelProvenance,
    Resampling,
    Robustness,
    RobustnessRow,
    VerdictCounts,
    VerdictThresholds,
    VideoLevel,
    WorstError,
)
from trainer.evaluation.scored import ScoredVideo, deciding_clip, rescore
from trainer.evaluation.slices import measure_slice, measure_slices
from trainer.leakage import Leakage, check_leakage
from trainer.run import training_datasets

WORST = 10  # errors that are kept
CROPS = 4  # frames of each


def evaluate_predictions(
    detector: Detector, predictions: Predictions, bootstrap: Bootstrap
) -> EvaluationResult:
    """All that metrics.json holds, of the predictions alone."""
    videos, scored = predictions.videos, predictions.scored
    thresholds = detector.thresholds
    labelled = LabelledScores.of_videos(scored, thresholds.fake_above)
    frame, clip, video = _levels(predictions, labelled, bootstrap)
    slices = measure_slices(videos, thresholds.fake_above, bootstrap)
    crops = predictions.datasets[0].config
    return EvaluationResult(
        schema=SCHEMA,
        split=" + ".join(predictions.splits),
        videos=len(scored),
        clips=clip.count,
        frames=frame.count,
        no_face_known=predictions.listed,
        unusable=predictions.unusable,
        sample_data=holds_generated(predictions),
        shuffled_labels=any(
            model.config.get("train", {}).get("shuffle_labels", False) for model in detector.trained
        ),
        fingerprint=crops.fingerprint,
        fingerprint_checked=detector.fingerprint is not None,
        leakage=measure_leakage(detector, scored),
        thresholds=VerdictThresholds.of(thresholds),
        calibration=Calibration.from_dict(detector.calibration) if detector.calibration else None,
        bootstrap=resampling(bootstrap, labelled),
        frame=frame,
        clip=clip,
        video=video,
        verdicts=count_verdicts(videos, thresholds),
        reliability=calibration_bins(labelled.labels, labelled.scores),
        methods={
            part.name: MethodSummary(part.videos, part.value(ROC_AUC), part.value(RECALL))
            for part in slices.method
        },
        slices=slices,
        cross_dataset=tuple(
            _evaluate_dataset(predictions, number, detector, bootstrap)
            for number in range(len(predictions.datasets))
        ),
        robustness=_evaluate_robustness(predictions, thresholds, bootstrap),
        worst_errors=worst_errors(predictions),
        model=_describe_model(detector, crops),
        as_served=_describe_coverage(predictions),
    )


def _describe_model(detector: Detector, crops: PreprocessConfig) -> ModelProvenance:
    trained_on = {name for model in detector.trained for name in training_datasets(model.config)}
    return ModelProvenance(
        name=detector.name,
        trained_on=tuple(sorted(trained_on)),
        sample_data=any(model.config.get("sample_data", False) for model in detector.trained),
        train=dict(detector.config.get("train", {})),
        preprocess=crops.to_dict(),
        train_split=detector.config.get("splits", {}).get("train"),
        members=tuple(
            MemberProvenance(
                name=model.name,
                model_sha256=Member.of(model.name, model.calibration).model_sha256,
                trained_on=training_datasets(model.config),
                train=dict(model.config.get("train", {})),
                train_split=model.config.get("splits", {}).get("train"),
                sample_data=bool(model.config.get("sample_data", False)),
            )
            for model in detector.members
        ),
    )


def _describe_coverage(predictions: Predictions) -> AsServed | None:
    coverage = [video.coverage for video in predictions.scored if video.coverage]
    if not predictions.settings or not coverage:
        return None
    return AsServed(
        settings=predictions.settings.to_dict(),
        moments=float(np.mean([each.moments for each in coverage])),
        share=float(np.mean([each.share for each in coverage])),
        largest_gap_s=max(each.largest_gap_s for each in coverage),
    )


def holds_generated(predictions: Predictions) -> bool:
    """Whether any of the data sets is a generated one."""
    return any(dataset.generated for dataset in predictions.datasets)


def measure_leakage(detector: Detector, videos: Sequence[ScoredVideo]) -> Leakage:
    """What of the videos the model's training has seen."""
    return check_leakage([model.seen for model in detector.trained], [row.video for row in videos])


def resampling(bootstrap: Bootstrap, videos: LabelledScores) -> Resampling:
    return Resampling(
        resamples=bootstrap.resamples,
        seed=bootstrap.seed,
        level=LEVEL,
        unit="source video",
        units=videos.source_count,
    )


def _levels(
    predictions: Predictions, videos: LabelledScores, bootstrap: Bootstrap
) -> tuple[FrameLevel, ClipLevel, VideoLevel]:
    """The metrics with intervals of frames, clips and videos, each of them for itself."""
    clips = [clip for clip in predictions.clips if len(clip.times_s)]
    frames = [len(clip.times_s) for clip in clips]
    of_clips = LabelledScores.of(
        [clip.video.label for clip in clips],
        [clip.probability_fake for clip in clips],
        videos.threshold,
        [clip.video.source_key for clip in clips],
    )
    of_frames = LabelledScores.of(
        np.repeat(of_clips.labels, frames),
        np.concatenate([clip.frame_probabilities for clip in clips]),
        videos.threshold,
        np.repeat(of_clips.sources, frames),
    )
    frame, clip, video = (measure(scores, bootstrap) for scores in (of_frames, of_clips, videos))
    return (
        FrameLevel(**vars(frame), frames=frame.count),
        ClipLevel(**vars(clip), clips=clip.count),
        VideoLevel(**vars(video), videos=video.count),
    )


def count_verdicts(videos: Sequence[ScoredVideo], thresholds: Thresholds) -> VerdictCounts:
    """How often each verdict is given to videos with and without a face."""
    counts = {
        name: {
            verdict.value: sum(v.verdict == verdict and v.video.label == label for v in videos)
            for verdict in Verdict
        }
        for label, name in LABEL_NAMES.items()
    }
    correct = counts["real"][Verdict.REAL] + counts["fake"][Verdict.FAKE]
    given = Counter(video.verdict for video in videos)
    decided = given[Verdict.REAL] + given[Verdict.FAKE]
    total = len(videos)
    overruled = [
        video
        for video in videos
        if video.score is not None and video.verdict != decide(video.score, thresholds)
    ]
    return VerdictCounts(
        counts=counts,
        videos=total,
        decided=decided,
        too_little_evidence=len(overruled),
        inconclusive_share=given[Verdict.INCONCLUSIVE] / total if total else None,
        no_face_share=given[Verdict.NO_FACE] / total if total else None,
        correct_share=correct / total if total else None,
        correct_share_of_decided=correct / decided if decided else None,
    )


def _evaluate_dataset(
    predictions: Predictions,
    number: int,
    detector: Detector,
    bootstrap: Bootstrap,
) -> DatasetResult:
    videos = [video for video in predictions.videos if video.data == number]
    datasets = {video.video.dataset for video in videos}
    trainings = [training_datasets(model.config) for model in detector.trained]
    trained_on = {name for training in trainings for name in training}
    return DatasetResult(
        data=str(predictions.datasets[number].folder),
        trained_on=tuple(sorted(trained_on)),
        tested_on=tuple(sorted(datasets)),
        # Of an ensemble, one member that does not tell may have seen it.
        seen_dataset=bool(datasets & trained_on) or (False if all(trainings) else None),
        sample_data=predictions.datasets[number].generated,
        **vars(measure_slice(videos, videos, detector.thresholds.fake_above, bootstrap)),
    )


def _evaluate_robustness(
    predictions: Predictions, thresholds: Thresholds, bootstrap: Bootstrap
) -> Robustness | None:
    if not predictions.conditions:
        return None
    videos = predictions.scored

    def row(scores: Sequence[float] | None = None) -> dict[str, Any]:
        """The fields of a RobustnessRow; scores: of the videos under a condition."""
        labelled = LabelledScores.of_videos(videos, thresholds.fake_above, scores)
        got = measure(labelled, bootstrap, [ROC_AUC])
        return {
            "roc_auc": got.value(ROC_AUC),
            "interval": got.interval(ROC_AUC),
            "recall": got.value(RECALL),
            "false_alarm_rate": got.value(FALSE_ALARM_RATE),
        }

    return Robustness(
        clean=RobustnessRow(**row()),
        conditions=tuple(
            ConditionRow(
                kind=condition.kind,
                level=condition.level,
                label=condition.label,
                **row(
                    rescore(
                        videos, predictions.clips, probabilities, thresholds, predictions.settings
                    )
                ),
            )
            for condition, probabilities in zip(
                predictions.conditions, predictions.under_conditions, strict=True
            )
        ),
    )


def worst_errors(predictions: Predictions, most: int = WORST) -> tuple[WorstError, ...]:
    """The videos with a wrong verdict, the most certain errors first, and the clip to blame."""
    wrong = {REAL: Verdict.FAKE, FAKE: Verdict.REAL}
    errors = [
        (video.score, video)
        for video in predictions.scored
        if video.score is not None and video.verdict == wrong[video.video.label]
    ]
    errors.sort(key=lambda error: (-abs(error[0] - error[1].video.label), error[1].video.key))
    return tuple(_worst_error(video, score, predictions) for score, video in errors[:most])


def _worst_error(video: ScoredVideo, score: float, predictions: Predictions) -> WorstError:
    number = deciding_clip(video, predictions.clips)
    clip = predictions.clips[number]
    chosen = np.unique(np.linspace(0, len(clip.times_s) - 1, CROPS).round().astype(int))
    return WorstError(
        dataset=video.video.dataset,
        video=video.video.id,
        method=video.video.method,
        compression=video.video.compression,
        truth=LABEL_NAMES[video.video.label],
        verdict=str(video.verdict),
        probability_fake=score,
        clip=number,
        start_s=float(clip.times_s.min()),
        end_s=float(clip.times_s.max()),
        frames=tuple(
            ErrorFrame(int(i), float(clip.times_s[i]), float(clip.frame_probabilities[i]))
            for i in chosen
        ),
    )
