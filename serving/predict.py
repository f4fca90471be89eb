"""Video files -> verdicts, by the same face code that made the training crops."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipelines.clip import Clip, VideoError
from pipelines.config import PreprocessConfig
from serving.client import (
    InProcessModel,
    Model,
    ModelConfig,
    ModelServerError,
    ModelSpec,
    connect,
    is_server,
    model_folder,
)
from serving.find import Found, find_videos
from serving.result import ClipScore, VideoResult, ask, by_one_version, clip_score, judge
from serving.table import check_place, write_csv


class Extractor(Protocol):
    config: PreprocessConfig

    def clips(self, path: str) -> Iterator[Clip]: ...


def predict_video(path: str, extractor: Extractor, model: Model) -> VideoResult:
    """The verdict on one video.

    Holds a few clips in memory, however long the video is. Raises VideoError for a video that
    cannot be read, ModelServerError for a model that does not answer or is replaced meanwhile. A
    video without a usable face is a result: NO_FACE.
    """
    scores: list[ClipScore] = []
    detail = ""
    with by_one_version(model, extractor.config) as (config, version):
        try:
            scores = [clip_score(clip, said) for clip, said in ask(model, extractor.clips(path))]
        except VideoError as error:
            if error.reason != "no_face":
                raise
            detail = error.detail
    fingerprint = extractor.config.fingerprint
    return judge(str(path), scores, config.thresholds, version, fingerprint, detail)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a path: a result, or an error, a word for machines and a sentence.

    report: the file that shows the result, if one was asked for.
    """

    path: str
    result: VideoResult | None = None
    report: str = ""
    seconds: float = 0.0
    error: str = ""
    detail: str = ""

    def to_dict(self) -> dict[str, Any]:
        if self.result is None:
            return {"path": self.path, "error": self.error, "detail": self.detail}
        report = {"report": self.report} if self.report else {}
        return {**self.result.to_dict(), **report, "seconds": self.seconds}


# Path of a video -> its result, and the report that was written of it, if any.
Judge = Callable[[str], tuple[VideoResult, str]]


def outcomes(videos: Sequence[str], judge_video: Judge) -> Iterator[Outcome]:
    """The outcome of each video, as it comes; one that cannot be judged does not stop the rest."""
    for path in videos:
        started = time.monotonic()
        try:
            result, report = judge_video(path)
        except VideoError as error:
            yield Outcome(path, error=error.reason, detail=error.detail)
        except ModelServerError as error:
            yield Outcome(path, error="model_server", detail=str(error))
        else:
            yield Outcome(path, result, report, round(time.monotonic() - started, 3))


def describe(result: VideoResult, calibrated: bool) -> str:
    """A result for people: a line, one more for each face where there are several, and why the
    evidence is too little where it is.

    calibrated: whether the model's P(fake) is.
    """
    if result.probability_fake is None:
        return f"{result.path}: {result.verdict}. {result.detail}"
    note = "" if calibrated else " (uncalibrated)"
    lines = [
        f"{result.path}: {result.verdict}, P(fake) = {result.probability_fake:.2f}{note}, "
        f"{len(result.tracks)} face(s) in {result.frames_with_face} of {result.frames_sampled} "
        f"sampled frames, {result.start_s:.1f}-{result.end_s:.1f} s"
    ]
    if len(result.tracks) > 1:
        lines += [
            f"  face {number}: {track.verdict}, P(fake) = {track.probability_fake:.2f}, "
            f"{track.frames} frames, {track.start_s:.1f}-{track.end_s:.1f} s"
            for number, track in enumerate(result.tracks, 1)  # as in a report
        ]
    return "\n".join(lines + [f"  {reason}" for reason in result.reasons])


@contextlib.contextmanager
def progress(videos: int) -> Iterator[Callable[[], None]]:
    """A bar on standard error if that is a terminal -> what to call after each video."""
    console = Console(stderr=True)
    columns = (TextColumn("videos"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
        redirect_stdout=sys.stdout.isatty(),  # or what is piped on would go to the terminal
    ) as bar:
        task = bar.add_task("", total=videos)
        yield lambda: bar.advance(task)


def _complain(text: str) -> None:
    print(f"dfdetect predict: {text}", file=sys.stderr, flush=True)


def _open(args: argparse.Namespace) -> Model:
    if not args.model_server:
        return InProcessModel(model_folder(args.model_dir, ModelSpec.parse(args.model_name).name))
    model = connect(args.model_server, args.model_name)
    if args.wait_seconds > 0:
        model.wait_ready(args.wait_seconds)
    return model


def _judge(model: Model, config: ModelConfig, reports: Path | None) -> Judge:
    # Only now: the detector takes seconds to load, and a dead server has shown already.
    from pipelines.faces.extract import FaceExtractor

    extractor = FaceExtractor(config.preprocess)
    if reports:
        from serving.report_files import ReportFiles

        return ReportFiles(reports, extractor, model)
    return lambda path: (predict_video(path, extractor, model), "")


def _predict_all(
    videos: Sequence[str], model: Model, say: bool, reports: Path | None
) -> list[Outcome]:
    """The outcomes of all videos; tells people of each as it comes."""
    config = model.config()
    judge_video = _judge(model, config, reports)
    done = []
    with progress(len(videos)) as advance:
        for outcome in outcomes(videos, judge_video):
            done.append(outcome)
            if outcome.result is None:
                _complain(f"{outcome.path}: {outcome.error}: {outcome.detail}")
            elif say:
                print(describe(outcome.result, config.thresholds.calibrated), flush=True)
            advance()
    return done


def _look(names: Sequence[str]) -> tuple[Found, list[Outcome]]:
    """What there is to do, and an outcome for each name that stands for nothing."""
    found = find_videos(names)
    missing = [
        Outcome(name, error="not_found", detail="no video there; give a file, folder or pattern.")
        for name in found.nothing
    ]
    for outcome in missing:
        _complain(f"{outcome.path}: {outcome.error}: {outcome.detail}")
    if found.skipped:
        print(f"skipped {found.skipped} file(s) that are no videos by their name", file=sys.stderr)
    return found, missing


def _work(args: argparse.Namespace) -> int:
    if args.csv:
        check_place(args.csv)
    found, done = _look(args.videos)
    if found.videos:
        with contextlib.closing(_open(args)) as model:
            say = not args.json
            done = _predict_all(found.videos, model, say, args.out_report) + done
    results = [outcome.to_dict() for outcome in done]
    if args.json:
        print(json.dumps(results, indent=2, allow_nan=False), flush=True)
    if args.csv:
        write_csv(args.csv, results)
    return int(any(outcome.result is None for outcome in done))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dfdetect predict",
        description="Verdicts on videos: FAKE, REAL, INCONCLUSIVE or NO_FACE.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "videos",
        nargs="+",
        metavar="VIDEO",
        help="files, folders, or patterns such as 'FOLDER/**/*.mp4' (in quotes)",
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--model-server",
        metavar="URL",
        help="TensorFlow Serving's address: http(s)://HOST:PORT for REST, grpc://HOST:PORT",
    )
    where.add_argument(
        "--model-dir",
        type=Path,
        metavar="DIR",
        help="load the model here instead: what `export` wrote, or one version of it",
    )
    parser.add_argument(
        "--model-name",
        default="dfdetect",
        metavar="NAME[/versions/V|/labels/L]",
        help="on the server, its highest version unless another is named (default: %(default)s)",
    )
    parser.add_argument(
        "--wait-seconds",
        type=float,
        default=0.0,
        metavar="S",
        help="how long to wait for a server that is still starting or loading the model "
        "(default: %(default)g, ask at once)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON list on standard output")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a table, a row a video")
    parser.add_argument(
        "--out-report", type=Path, metavar="DIR", help="write a report of each video, one HTML file"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    parser = _parser()
    args = parser.parse_args(argv)
    if args.model_server and not is_server(args.model_server):
        parser.error(
            f"--model-server is {args.model_server!r}; give http://HOST:PORT or grpc://HOST:PORT."
        )
    try:
        ModelSpec.parse(args.model_name)
    except ValueError as error:
        parser.error(f"--model-name: {error}")
    try:
        return _work(args)
    except (ModelServerError, ValueError, OSError) as error:
        _complain(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
