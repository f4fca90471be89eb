"""Report document (`dfdetect-report/1`): JSON for programs, pages and files."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from pipelines.verdict import Verdict
from pipelines.video.probe import VideoMetadata
from serving.analysis.crops import Crop, Kind
from serving.analysis.video_result import VideoResult
from serving.client import ModelConfig

SCHEMA = "dfdetect-report/1"
MAX_PEAKS = 5
MAX_TRACKS = 16  # that are listed: of a film every shot may show new faces
LIMITS = (
    "Only faces are judged: an edit outside of faces is not seen.",
    "Sound is not analysed: a cloned voice is not noticed.",
    "A video that is generated as a whole may hold no trace that this model knows.",
    "Fakes of methods that were not in the training data may be missed.",
    "After a cut a face counts as the same only where place, size and appearance all agree: one "
    "person may be several faces here, and two who look alike one. A soft cut may be missed.",
    "Not every frame is looked at: an edit between two moments, or of a few seconds, may be "
    "missed.",
    "A score is evidence, not proof; never decide about a person by it alone.",
)
Box = tuple[int, ...]  # x1 y1 x2 y2, px of the picture
DEMO_LIMITS = (
    "Anything about real people: a score of a demo model is no evidence for or against anyone.",
)


@dataclasses.dataclass(frozen=True)
class ReportInputs:
    """All that a report is made of."""

    result: VideoResult
    frames: Mapping[int, Mapping[float, float]]  # track -> time of a frame with it -> P(fake)
    boxes: Mapping[int, Mapping[float, Box]]  # the same -> where the face is
    size: tuple[int, int] | None  # (W, H) of the picture that they are in; None without a face
    sampled: Sequence[Sequence[float]]  # times of the frames of each moment that was looked at
    crops: Sequence[tuple[Kind, int, Crop]]  # with the track
    heat_maps: Sequence[np.ndarray | None]
    strip: Sequence[float]  # times of its thumbnails
    metadata: VideoMetadata
    file: Mapping[str, Any]  # name, sha256, bytes
    config: ModelConfig
    seconds: Mapping[str, float]  # by stage, and in total


def build(inputs: ReportInputs) -> dict[str, Any]:
    """The document."""
    result, thresholds = inputs.result, inputs.config.thresholds
    demo = inputs.config.provenance.sample_data
    times_s = sorted({time for moment in inputs.sampled for time in moment})
    with_face = {time for seen in inputs.frames.values() for time in seen}
    listed = {track for _, track, _ in inputs.crops}
    frames = {track: seen for track, seen in inputs.frames.items() if track in listed}
    return {
        "schema": SCHEMA,
        "verdict": str(result.verdict),
        "probability_fake": result.probability_fake,
        "calibrated": thresholds.calibrated,
        "thresholds": {"real_below": thresholds.real_below, "fake_above": thresholds.fake_above},
        # What its score meant for generated videos tells nothing of this one.
        "reliability": None if demo else _reliability(result.probability_fake, inputs.config),
        "reasons": list(_reasons(inputs)),
        "detail": result.detail,
        "frames_sampled": len(times_s),
        "frames_with_face": len(with_face),
        "median_face_px": result.median_face_px,
        "coverage": result.coverage.to_dict() if result.coverage else None,
        # As a player shows it: upright and in square pixels, unlike the file's width and height.
        "picture": dict(zip(("width", "height"), inputs.size, strict=True))
        if inputs.size
        else None,
        "tracks": list(_tracks(inputs, times_s)),
        "peaks": peaks(frames, inputs.sampled, thresholds.fake_above),
        "faces": [
            {
                "n": n,
                "track": track,
                "time_s": crop.time_s,
                "frame_probability": crop.frame_probability,
                "kind": kind,
                "heat_map": heat_map is not None,
            }
            for n, ((kind, track, crop), heat_map) in enumerate(
                zip(inputs.crops, inputs.heat_maps, strict=True)
            )
        ],
        "strip": [{"n": n, "time_s": time_s} for n, time_s in enumerate(inputs.strip)],
        "file": {**inputs.file, **_of_file(inputs.metadata)},
        "file_facts": result.file_facts.to_dict() if result.file_facts else None,
        "model": _model(result, inputs.config),
        "opinions": [opinion.to_dict() for opinion in result.opinions],
        "models_disagree": result.models_disagree,
        "processing_s": dict(inputs.seconds),
        "created": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "limits": list(DEMO_LIMITS if demo else LIMITS),
    }


def without_location(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document without the place of recording: only that the file names one is told."""
    facts = document.get("file_facts")
    if not facts or not facts["container"]:
        return dict(document)
    container = {**facts["container"], "location": ""}
    return {**document, "file_facts": {**facts, "container": container}}


def _of_file(metadata: VideoMetadata) -> dict[str, Any]:
    names = ("duration_s", "container", "codec", "width", "height", "fps")
    return {name: getattr(metadata, name) for name in names}


def _model(result: VideoResult, config: ModelConfig) -> dict[str, Any]:
    name, _, version = result.model.partition("/")  # an ensemble's version names its models
    provenance = config.provenance
    return {
        "name": name,
        "version": version,
        "fingerprint": result.fingerprint,
        "trained_on": list(provenance.trained_on),
        "sample_data": provenance.sample_data,
        "tested_on": list(provenance.tested_on),
        "false_alarm_rate": provenance.false_alarm_rate,
        "test_videos": provenance.test_videos,
    }


def _reliability(score: float | None, config: ModelConfig) -> dict[str, Any] | None:
    """The bin of the model's test that holds the score; a bin ends before the next begins."""
    bins = config.provenance.reliability
    if score is None or not bins:
        return None
    below = [b for b in bins if b.low <= score]
    return dataclasses.asdict(max(below, key=lambda b: b.low)) if below else None


def _reasons(inputs: ReportInputs) -> Iterator[str]:
    """What the verdict rests on or, of a demo model, first why there is none."""
    result, thresholds = inputs.result, inputs.config.thresholds
    if inputs.config.provenance.sample_data:
        yield from (*result.reasons, *_seen(result, ""), *result.notes)
        return
    yield from _seen(result, "; the highest-scoring one decides")
    score = result.probability_fake
    if score is not None and any(track.probability_fake > score for track in result.tracks):
        yield "A face that scores higher is seen too small or too briefly to be called FAKE."
    yield from result.reasons
    yield from result.notes
    if result.verdict == Verdict.INCONCLUSIVE and not result.reasons:
        yield (
            f"The score lies between the two thresholds: up to {100 * thresholds.real_below:.3g} % "
            f"is REAL, {100 * thresholds.fake_above:.3g} % and more is FAKE."
        )


def _seen(result: VideoResult, which_decides: str) -> Iterator[str]:
    size = f"; median face {result.median_face_px:.0f} px" if result.median_face_px else ""
    if looked := result.coverage:
        yield f"Moments with a usable face: {looked.moments_with_face} of {looked.moments}{size}."
    if len(result.tracks) > 1:
        listed = f" The {MAX_TRACKS} highest-scoring ones are listed."
        more = listed if len(result.tracks) > MAX_TRACKS else ""
        yield f"{len(result.tracks)} faces were followed{which_decides}.{more}"


def _tracks(inputs: ReportInputs, times_s: Sequence[float]) -> Iterator[dict[str, Any]]:
    """Those of which there is a picture, the highest-scoring first."""
    pictures = {track: n for n, (kind, track, _) in enumerate(inputs.crops) if kind == "best"}
    by_number = {track.track: track for track in inputs.result.tracks}
    for number, face in pictures.items():
        seen, boxes = inputs.frames[number], inputs.boxes[number]
        yield {
            **by_number[number].to_dict(),
            "decides": number == inputs.result.decides,
            "face": face,
            "times_s": list(times_s),
            "frame_probability": [seen.get(time) for time in times_s],
            "boxes": [list(boxes[time]) if time in boxes else None for time in times_s],
        }


def peaks(
    frames: Mapping[int, Mapping[float, float]],
    sampled: Sequence[Sequence[float]],
    fake_above: float,
) -> list[dict[str, Any]]:
    """Runs of sampled frames of a clip in which a face scores `fake_above` or more, by their
    highest score: {"track", "start_s", "end_s", "probability_fake"}."""
    runs = []
    for track, seen in frames.items():
        for clip in sampled:
            for high, run in groupby(clip, key=lambda time: seen.get(time, -1.0) >= fake_above):
                times_s = list(run)
                if high:
                    runs.append(
                        {
                            "track": track,
                            "start_s": times_s[0],
                            "end_s": times_s[-1],
                            "probability_fake": max(seen[time] for time in times_s),
                        }
                    )
    runs.sort(key=lambda peak: (-peak["probability_fake"], peak["track"], peak["start_s"]))
    return runs[:MAX_PEAKS]
