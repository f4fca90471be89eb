"""The typed evaluation result: what metrics.json holds, written and read.

`python -m trainer.evaluation.documents` writes docs/metrics.schema.json from these classes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from pipelines.dataclass_json import from_json, to_json
from pipelines.verdict import Thresholds
from trainer.calibration import Calibration
from trainer.evaluation.bootstrap import Interval
from trainer.evaluation.measurement import Measurement, SliceMeasurement
from trainer.evaluation.reliability import ReliabilityBin
from trainer.leakage import Leakage

SCHEMA: Literal["dfdetect-metrics/1"] = "dfdetect-metrics/1"


class SchemaError(ValueError):
    """An evaluation result of another version."""


@dataclasses.dataclass(frozen=True)
class VerdictThresholds:
    """P(fake) up to which a video is REAL, and from which on it is FAKE; what a score loses for
    the places at which it was searched for (`pipelines.verdict.corrected`)."""

    real_below: float
    fake_above: float
    search_cost: float = Thresholds.search_cost

    @classmethod
    def of(cls, thresholds: Thresholds) -> VerdictThresholds:
        return cls(thresholds.real_below, thresholds.fake_above, thresholds.search_cost)


@dataclasses.dataclass(frozen=True)
class AsServed:
    """What of the videos was looked at, as serving would.

    settings: of `pipelines.coverage.ScanSettings`. moments, share: means over the videos with a
    face; of each, the moments looked at and the share of its length. largest_gap_s: of them all.
    """

    settings: Mapping[str, Any]
    moments: float
    share: float
    largest_gap_s: float


@dataclasses.dataclass(frozen=True)
class Resampling:
    """How the bootstrap intervals were made; units: how many source videos there are."""

    resamples: int
    seed: int
    level: float
    unit: str
    units: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrameLevel(Measurement):
    """The metrics of frames, each for itself."""

    frames: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipLevel(Measurement):
    """The metrics of clips, each for itself."""

    clips: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class VideoLevel(Measurement):
    """The metrics of videos that have a score."""

    videos: int


@dataclasses.dataclass(frozen=True)
class VerdictCounts:
    """How often each verdict is given, by truth; shares are of all videos, NO_FACE among them.

    too_little_evidence: videos that are INCONCLUSIVE though their score alone would decide.
    """

    counts: Mapping[str, Mapping[str, int]]
    videos: int
    decided: int
    too_little_evidence: int
    inconclusive_share: float | None
    no_face_share: float | None
    correct_share: float | None
    correct_share_of_decided: float | None

    def total(self, verdict: str) -> int:
        return sum(row[verdict] for row in self.counts.values())


@dataclasses.dataclass(frozen=True)
class MethodSummary:
    """A manipulation method in short."""

    videos: int
    roc_auc: float | None
    recall: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slice(SliceMeasurement):
    """A part of the videos by name: of a method, a compression, a size of the face and so on."""

    name: str


@dataclasses.dataclass(frozen=True)
class Slices:
    """Slices by what they are cut by."""

    dataset: tuple[Slice, ...]
    method: tuple[Slice, ...]
    compression: tuple[Slice, ...]
    method_compression: tuple[Slice, ...]
    split: tuple[Slice, ...]
    face_size: tuple[Slice, ...]

    @property
    def all(self) -> list[Slice]:
        return [part for parts in vars(self).values() for part in parts]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetResult(SliceMeasurement):
    """One folder of shards: what the model was trained on, and what it was tested on here."""

    data: str
    trained_on: tuple[str, ...]
    tested_on: tuple[str, ...]
    seen_dataset: bool | None
    sample_data: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class RobustnessRow:
    """Video metrics under a condition; interval: of the ROC-AUC."""

    roc_auc: float | None
    interval: Interval | None
    recall: float | None
    false_alarm_rate: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConditionRow(RobustnessRow):
    """Video metrics under a condition of `trainer.evaluation.robustness`."""

    kind: str
    level: int
    label: str


@dataclasses.dataclass(frozen=True)
class Robustness:
    """The same videos without and under each condition."""

    clean: RobustnessRow
    conditions: tuple[ConditionRow, ...]


@dataclasses.dataclass(frozen=True)
class ErrorFrame:
    """A frame of the clip to blame; number: among those of its frames that hold a face."""

    number: int
    time_s: float
    probability_fake: float


@dataclasses.dataclass(frozen=True)
class WorstError:
    """A video with a wrong verdict, and the clip to blame: its number in the evaluation."""

    dataset: str
    video: str
    method: str
    compression: str
    truth: str
    verdict: str
    probability_fake: float
    clip: int
    start_s: float
    end_s: float
    frames: tuple[ErrorFrame, ...]


@dataclasses.dataclass(frozen=True)
class MemberProvenance:
    """What a model of an ensemble was trained on and with which settings.

    model_sha256: of the file of weights that it was calibrated with.
    """

    name: str
    model_sha256: str
    trained_on: tuple[str, ...]
    train: Mapping[str, Any]
    train_split: Mapping[str, Any] | None
    sample_data: bool


@dataclasses.dataclass(frozen=True)
class ModelProvenance:
    """What a model was trained on and with which settings, as far as it is known.

    Of an ensemble, trained_on is of all members, and train and train_split are those of each.
    """

    name: str
    trained_on: tuple[str, ...]
    train: Mapping[str, Any]
    preprocess: Mapping[str, Any]
    train_split: Mapping[str, Any] | None
    sample_data: bool = False
    members: tuple[MemberProvenance, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """What metrics.json holds; docs/evaluation.md says what each key means."""

    schema: Literal["dfdetect-metrics/1"]
    split: str
    videos: int
    clips: int
    frames: int
    no_face_known: bool
    unusable: Mapping[str, int]
    sample_data: bool
    shuffled_labels: bool
    fingerprint: str
    fingerprint_checked: bool
    leakage: Leakage
    thresholds: VerdictThresholds
    calibration: Calibration | None
    bootstrap: Resampling
    frame: FrameLevel
    clip: ClipLevel
    video: VideoLevel
    verdicts: VerdictCounts
    reliability: tuple[ReliabilityBin, ...]
    methods: Mapping[str, MethodSummary]
    slices: Slices
    cross_dataset: tuple[DatasetResult, ...]
    robustness: Robustness | None
    worst_errors: tuple[WorstError, ...]
    model: ModelProvenance
    as_served: AsServed | None = None

    @property
    def levels(self) -> dict[str, Measurement]:
        return {"video": self.video, "clip": self.clip, "frame": self.frame}

    def to_dict(self) -> dict[str, Any]:
        """What metrics.json holds, ready for json.dumps."""
        return to_json(self)

    @classmethod
    def from_dict(cls, values: Any) -> EvaluationResult:
        """The inverse of `to_dict`. Keys that are not known are passed over, and metrics that the
        file lacks are not defined.

        Raises SchemaError for another schema, and ValueError where another key is missing or a
        value is of another type.
        """
        if not isinstance(values, dict) or "schema" not in values:
            raise ValueError(f"it has no 'schema'; expected {SCHEMA}.")
        if values["schema"] != SCHEMA:
            raise SchemaError(
                f"holds {values['schema']}, expected {SCHEMA}. Evaluate again with this version."
            )
        return from_json(cls, values)
