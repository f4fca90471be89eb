"""Video files -> verdicts, by the same face code that made the training crops."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from pipelines.clip import Clip, VideoError
from pipelines.config import PreprocessConfig
from serving.client import BATCH, InProcessModel, Model, ModelServerError, RestClient
from serving.result import ClipScore, VideoResult, clip_scores, judge
from serving.verdict import Thresholds


class Extractor(Protocol):
    config: PreprocessConfig

    def clips(self, path: str) -> Iterator[Clip]: ...


def predict_video(
    path: str, extractor: Extractor, model: Model, thresholds: Thresholds | None = None
) -> VideoResult:
    """The verdict on one video, by the model's own thresholds unless they are given.

    Holds a few clips in memory, however long the video is. Raises VideoError for a video that
    cannot be read, ModelServerError for a model that does not answer. A video without a usable
    face is a result: NO_FACE.
    """
    thresholds = thresholds or model.config().thresholds
    scores: list[ClipScore] = []
    detail = ""
    try:
        found = iter(extractor.clips(path))
        while clips := list(islice(found, BATCH)):
            scores += clip_scores(clips, model.predict([clip.images for clip in clips]))
    except VideoError as error:
        if error.reason != "no_face":
            raise
        detail = error.detail
    fingerprint = extractor.config.fingerprint
    return judge(str(path), scores, thresholds, model.version(), fingerprint, detail)


def describe(result: VideoResult, calibrated: bool) -> str:
    """A result in a line for people; calibrated: whether the model's P(fake) is."""
    if result.probability_fake is None:
        return f"{result.path}: {result.verdict}. {result.detail}"
    note = "" if calibrated else " (uncalibrated)"
    return (
        f"{result.path}: {result.verdict}, P(fake) = {result.probability_fake:.2f}{note}, "
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
        started = time.monotonic()
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
        seconds = round(time.monotonic() - started, 3)
        results.append({**result.to_dict(), "seconds": seconds})
        if say:
            print(describe(result, config.thresholds.calibrated), flush=True)
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
