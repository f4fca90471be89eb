"""Report document (`dfdetect-report/1`) as the API's description shows it: its JSON schema.

`serving.analysis.report_document` makes the document; nothing is converted here.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from serving.analysis.crops import Kind
from serving.provenance.file_facts import FileFacts
from serving.web.examples import REPORT

VerdictName = Literal["FAKE", "REAL", "INCONCLUSIVE", "NO_FACE", "DEMO"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Thresholds(_Part):
    real_below: float
    fake_above: float


class Reliability(_Part):
    """Of the held-out videos with such a score, how many were fake."""

    low: float
    high: float
    videos: int
    fake: int


class CoverageBody(_Part):
    """How much of the video was looked at."""

    duration_s: float
    seconds: float = Field(description="of the moments, in all")
    share: float
    moments: int
    moments_with_face: int
    usable_share: float
    largest_gap_s: float
    frames: int
    frames_total: int
    gaps: list[tuple[float, float]] = Field(description="start and end of each, s")


class Picture(_Part):
    """The frame as a player shows it, px: upright, in square pixels."""

    width: int
    height: int


class SegmentBody(_Part):
    """Where a run of moments scores FAKE."""

    start_s: float
    end_s: float
    probability_fake: float
    clips: int


class TrackBody(_Part):
    """A face over the video; of each of `times_s`, null where it was not seen."""

    track: int
    verdict: VerdictName
    probability_fake: float
    decides: bool
    start_s: float
    end_s: float
    frames: int
    median_face_px: float | None
    face: int = Field(description="`n` of its picture")
    times_s: list[float]
    frame_probability: list[float | None]
    boxes: list[tuple[int, int, int, int] | None] = Field(description="x1 y1 x2 y2, px")
    segments: list[SegmentBody]


class Peak(_Part):
    """A run of frames at or above the threshold for FAKE."""

    track: int
    start_s: float
    end_s: float
    probability_fake: float


class FaceBody(_Part):
    """A picture of a face, at `faces/{n}.jpg`."""

    n: int
    track: int
    time_s: float
    frame_probability: float
    kind: Kind
    heat_map: bool = Field(description="whether there is `faces/{n}/heat.png`")


class Thumbnail(_Part):
    """A picture of the whole frame, at `strip/{n}.jpg`."""

    n: int
    time_s: float


class File(_Part):
    name: str = Field(description="what the client calls it")
    sha256: str
    bytes: int
    duration_s: float | None
    container: str | None
    codec: str | None
    width: int | None
    height: int | None
    fps: float | None


class ModelBody(_Part):
    name: str
    version: str
    fingerprint: str = Field(description="of the crops that it takes")
    trained_on: list[str]
    sample_data: bool = Field(description="trained on generated videos: it gives no verdict")
    tested_on: list[str]
    false_alarm_rate: float | None
    test_videos: int | None


class OpinionTrack(_Part):
    """A face as one of several models scores it."""

    track: int
    verdict: VerdictName
    probability_fake: float
    start_s: float
    end_s: float
    frames: int
    median_face_px: float | None
    segments: list[SegmentBody]


class OpinionBody(_Part):
    """What one of several models says, as if it were asked alone."""

    model: str = Field(description="its name and version")
    fingerprint: str
    verdict: VerdictName
    probability_fake: float | None
    calibrated: bool
    real_below: float
    fake_above: float
    tracks: list[OpinionTrack]
    decides: int | None
    reasons: list[str]


class Seconds(_Part):
    faces: float
    model: float
    total: float


class ReportBody(_Part):
    """The document."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [REPORT]})

    format: Literal["dfdetect-report/1"] = Field(alias="schema")
    verdict: VerdictName
    probability_fake: float | None
    calibrated: bool
    thresholds: Thresholds
    reliability: Reliability | None
    reasons: list[str]
    detail: str
    frames_sampled: int
    frames_with_face: int
    median_face_px: float | None
    coverage: CoverageBody | None
    picture: Picture | None
    tracks: list[TrackBody]
    peaks: list[Peak]
    faces: list[FaceBody]
    strip: list[Thumbnail]
    file: File
    file_facts: FileFacts | None
    model: ModelBody
    opinions: list[OpinionBody] = Field(description="of each model, where several were asked")
    models_disagree: bool
    processing_s: Seconds
    created: str = Field(description="UTC, ISO 8601")
    limits: list[str]
