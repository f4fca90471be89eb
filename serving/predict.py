"""Video files -> verdicts, by the same face code that made the training crops."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipelines.clip import Clip, VideoError
from pipelines.config import PreprocessConfig
from serving.client import InProcessModel, Model, ModelServerError, RestClient
from serving.verdict import Thresholds, decide, track_scores, video_score


class Extractor(Protocol):
    config: PreprocessConfig

    def extract(self, path: str) -> list[Clip]: ...


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
    """The verdict on a video. probability_fake is None where there was no face."""

    path: str
    verdict: str
    probability_fake: float | None
    model: str
    fingerprint: str
    frames_sampled: int
    frames_with_face: int
    start_s: float | None
    end_s: float | None
    seconds: float
    tracks: tuple[TrackResult, ...]
    detail: str = ""

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def predict_video(
    path: str, extractor: Extractor, model: Model, thresholds: Thresholds | None = None
) -> VideoResult:
    """The verdict on one video, by the model's own thresholds unless they are given.

    Raises VideoError for a video that cannot be read, ModelServerError for a model that does
    not answer. A video without a usable face is a result: NO_FACE.
    """
    started = time.monotonic()
    thresholds = thresholds or model.config().thresholds
    clips: list[Clip] = []
    detail = ""
    try:
        clips = extractor.extract(path)
    except VideoError as error:
        if error.reason != "no_face":
            raise
        detail = error.detail
    predictions = model.predict([clip.images for clip in clips]) if clips else []
    ids = [clip.track for clip in clips]
    probabilities = [p.probability_fake for p in predictions]
    score = video_score(ids, probabilities) if clips else None
    tracks = tuple(
        _track_result(track, [c for c in clips if c.track == track], probability, thresholds)
        for track, probability in track_scores(ids, probabilities).items()
    )
    return VideoResult(
        path=str(path),
        verdict=decide(score, thresholds),
        probability_fake=score,
        model=model.name,
        fingerprint=extractor.config.fingerprint,
        frames_sampled=sum(len(clip.images) for clip in clips),
        frames_with_face=sum(int(clip.found.sum()) for clip in clips),
        start_s=min((t.start_s for t in tracks), default=None),
        end_s=max((t.end_s for t in tracks), default=None),
        seconds=round(time.monotonic() - started, 3),
        tracks=tracks,
        detail=detail,
    )


def _track_result(
    track: int, clips: list[Clip], probability: float, thresholds: Thresholds
) -> TrackResult:
    times = np.concatenate([clip.times_s[clip.found] for clip in clips])
    return TrackResult(
        track=track,
        verdict=decide(probability, thresholds),
        probability_fake=probability,
        start_s=round(float(times.min()), 3),
        end_s=round(float(times.max()), 3),
        frames=len(times),
    )


def describe(result: VideoResult) -> str:
    """A result in a line for people."""
    if result.probability_fake is None:
        return f"{result.path}: {result.verdict}. {result.detail}"
    return (
        f"{result.path}: {result.verdict}, P(fake) = {result.probability_fake:.2f} (uncalibrated), "
        f"{len(result.tracks)} face(s) in {result.frames_with_face} of {result.frames_sampled} "
        f"sampled frames, {result.start_s:.1f}-{result.end_s:.1f} s"
    )


def _predict_all(videos: list[str], model: Model, say: bool) -> tuple[list[dict], bool]:
    """A result or an error for each video, and whether there was an error."""
    config = model.config()  # before the detector loads: a dead server shows at once
    from pipelines.faces.extract import FaceExtractor

    extractor = FaceExtractor(config.preprocess)
    results: list[dict[str, Any]] = []
    failed = False
    for path in videos:
        try:
            result = predict_video(path, extractor, model, config.thresholds)
        except (VideoError, ModelServerError) as error:
            failed = True
            print(f"dfdetect predict: {path}: {error}", file=sys.stderr)
            if isinstance(error, VideoError):
                results.append({"path": path, "error": error.reason, "detail": error.detail})
            else:
                results.append({"path": path, "error": "model_server", "detail": str(error)})
            continue
        results.append(result.to_dict())
        if say:
            print(describe(result), flush=True)
    return results, failed


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="dfdetect predict",
        description="Verdicts on videos: FAKE, REAL, INCONCLUSIVE or NO_FACE.",
        allow_abbrev=False,
    )
    parser.add_argument("videos", nargs="+", metavar="VIDEO")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--model-server", metavar="URL", help="a TensorFlow Serving REST address")
    where.add_argument("--model-dir", type=Path, metavar="DIR", help="load the model here instead")
    parser.add_argument("--model-name", default="dfdetect", help="on the server (%(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON list on standard output")
    args = parser.parse_args(argv)
    try:
        model: Model
        if args.model_server:
            model = RestClient(args.model_server, args.model_name)
        else:
            model = InProcessModel(args.model_dir)
        with contextlib.closing(model):
            results, failed = _predict_all(args.videos, model, say=not args.json)
    except (ModelServerError, ValueError, OSError) as error:
        print(f"dfdetect predict: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(results, indent=2, allow_nan=False))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
