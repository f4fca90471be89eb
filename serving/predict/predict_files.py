"""Inference on the videos that `dfdetect predict` is given: a line each, a table, reports."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipelines.coverage import ScanSettings
from pipelines.ensemble import Ensemble
from serving.analysis.json_list import JsonList
from serving.analysis.panel import Panel
from serving.analysis.report_document import MAX_TRACKS
from serving.analysis.scan import OnMoment
from serving.analysis.sentences import fake_parts, looked_at
from serving.analysis.video_result import DEMO, VideoResult, verdict_words
from serving.client import ModelConfig, ModelSource
from serving.predict.csv_table import CsvTable, check_place
from serving.predict.inputs import Inputs, find_videos
from serving.predict.predict import JudgeVideo, Outcome, outcomes, predict_video
from serving.provenance.printable import printable
from serving.provenance.reader import FactsReader


def open_panel(sources: Sequence[ModelSource], ensemble: Ensemble | None, wait_s: float) -> Panel:
    """The models, each opened. ensemble: of them all, if there is one.

    wait_s: how long to wait for a server that is still starting. Raises FileNotFoundError,
    ModelServerError.
    """
    for source in sources:  # what is missing is told before any model, which takes seconds
        if not source.is_server:
            source.exported()
    return Panel([source.open(wait_s) for source in sources], ensemble)


def predict_files(
    names: Sequence[str],
    open_panel: Callable[[], Panel],
    as_json: bool = False,
    csv: Path | None = None,
    reports: Path | None = None,
    settings: ScanSettings | None = None,
    facts_reader: FactsReader | None = None,
) -> int:
    """Judges the videos that the names stand for. Exit code 1 where some could not be judged.

    Tells of each as it comes, so that what is done is there however it ends. open_panel: called
    only where there is a video. csv: a table to write. reports: a folder for a page on each video.
    settings: how closely to look. facts_reader: as in `predict_video`.
    Raises OSError, ValueError or ModelServerError where nothing, or nothing more, can be done.
    """
    if csv:
        check_place(csv)
    inputs, missing = _look_up(names)
    failed = False
    with contextlib.ExitStack() as stack:
        judged: Iterable[Outcome] = ()
        if inputs.videos:
            panel = stack.enter_context(contextlib.closing(open_panel()))
            closely = settings or ScanSettings()
            judged = _judge_all(inputs.videos, panel, as_json, reports, closely, facts_reader)
        # Only now: an earlier table stays where there is no model.
        lists: list[CsvTable | JsonList] = []
        if csv:
            lists.append(stack.enter_context(contextlib.closing(CsvTable(csv))))
        if as_json:
            lists.append(stack.enter_context(contextlib.closing(JsonList(sys.stdout))))
        for outcome in itertools.chain(judged, missing):
            failed |= outcome.result is None
            for rows in lists:
                rows.add(outcome.to_dict())
    return int(failed)


def _look_up(names: Sequence[str]) -> tuple[Inputs, list[Outcome]]:
    """What there is to do, and an outcome for each name that stands for nothing."""
    inputs = find_videos(names)
    missing = [
        Outcome(name, error="not_found", detail="no video there; give a file, folder or pattern.")
        for name in inputs.nothing
    ]
    for outcome in missing:
        _complain(outcome)
    if inputs.skipped:
        _note(f"skipped {inputs.skipped} file(s) that are no videos by their name")
    return inputs, missing


def _judge_all(
    videos: Sequence[str],
    panel: Panel,
    as_json: bool,
    reports: Path | None,
    settings: ScanSettings,
    facts_reader: FactsReader | None,
) -> Iterable[Outcome]:
    """The outcome of each video as it comes; people are told of it once the caller has it."""
    config = panel.voices()[0].config
    # On a terminal the bar would be drawn into the list.
    bar = ProgressBar(len(videos), shown=not (as_json and sys.stdout.isatty()))
    judge_video = _judge(panel, config, reports, settings, facts_reader, bar.moments_done)

    def told() -> Iterator[Outcome]:
        with bar:
            for outcome in outcomes(videos, judge_video):
                yield outcome
                if outcome.result is None:
                    _complain(outcome)
                elif not as_json:
                    print(describe(outcome.result, config.thresholds.calibrated), flush=True)
                bar.video_done()

    return told()


def _judge(
    panel: Panel,
    config: ModelConfig,
    reports: Path | None,
    settings: ScanSettings,
    facts_reader: FactsReader | None,
    on_moment: OnMoment,
) -> JudgeVideo:
    # Only now: the detector takes seconds to load, and a dead server has shown already.
    from pipelines.video.confined import shared_reader

    reader = shared_reader()
    reader.start()  # meanwhile the detector loads
    from pipelines.faces.extract import FaceExtractor
    from serving.predict.report_files import ReportFiles

    extractor = FaceExtractor(config.preprocess, reader=reader)
    if reports:
        return ReportFiles(reports, extractor, panel, settings, on_moment, facts_reader)

    def judge_video(path: str) -> tuple[VideoResult, str]:
        return predict_video(path, extractor, panel, settings, on_moment, facts_reader), ""

    return judge_video


def _complain(outcome: Outcome) -> None:
    _note(f"dfdetect predict: {outcome.path}: {outcome.error}: {outcome.detail}")


def _note(text: str) -> None:
    with contextlib.suppress(OSError):  # a full log is no reason to judge no more videos
        print(text, file=sys.stderr, flush=True)


def describe(result: VideoResult, calibrated: bool) -> str:
    """A result for people: a line; where it is fake; one more for each face where there are
    several; what each of several models says; why there is too little for a verdict, what was done
    to see the faces, and what is claimed of the file, if anything is. What a demo model says is a
    score, not a probability of anything.

    calibrated: whether the model's P(fake) is.
    """
    looked = f"; {looked_at(result.coverage)}" if result.coverage else ""
    if result.probability_fake is None:
        line = f"{result.path}: {result.verdict}. {result.detail.rstrip('.')}{looked}"
        texts = (*_opinions(result), *_credentials(result))
        return "\n".join([line, *(f"  {text}" for text in texts)])
    demo = result.verdict == DEMO
    score = "score = " if demo else "P(fake) = "
    note = "" if calibrated or demo else " (uncalibrated)"
    lines = [
        f"{result.path}: {verdict_words(result.verdict)}, {score}{result.probability_fake:.2f}"
        f"{note}, {len(result.tracks)} face(s){looked}"
    ]
    if result.coverage and (parts := fake_parts(result.segments, result.coverage.duration_s)):
        lines.append(f"  {parts}")
    if len(result.tracks) > 1:
        lines += [
            f"  face {number}: {verdict_words(track.verdict)}, "
            f"{score}{track.probability_fake:.2f}, "
            f"{track.frames} frames, {track.start_s:.1f}-{track.end_s:.1f} s"
            for number, track in enumerate(result.ranked[:MAX_TRACKS], 1)  # as in a report
        ]
    texts = (*_opinions(result), *result.reasons, *result.notes, *_credentials(result))
    return "\n".join(lines + [f"  {text}" for text in texts])


def _opinions(result: VideoResult) -> Iterator[str]:
    """What each model says, where several were asked, and whether they disagree."""
    if not result.opinions:
        return
    if result.models_disagree:
        yield "The models disagree."
    for opinion in result.opinions:
        line = f"{opinion.model}: {verdict_words(opinion.verdict)}"
        if opinion.probability_fake is not None:
            name = "score" if opinion.verdict == DEMO else "P(fake)"
            line += f", {name} = {opinion.probability_fake:.2f}"
        yield line + ("" if opinion.calibrated or opinion.verdict == DEMO else " (uncalibrated)")


def _credentials(result: VideoResult) -> Iterator[str]:
    """What is claimed of the file, where anything is."""
    credentials = result.file_facts and result.file_facts.content_credentials
    if credentials and credentials.status in ("found", "elsewhere", "unreadable"):
        yield f"Content Credentials: {printable(credentials.summary, 1000)}"


class ProgressBar:
    """A bar on standard error, if that is a terminal, while it is entered: how many videos are
    done and, of the one at work, how many moments."""

    def __init__(self, videos: int, shown: bool = True):
        console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self._bar = Progress(
            *columns,
            console=console,
            transient=True,
            disable=not (shown and console.is_terminal),
            redirect_stdout=sys.stdout.isatty(),  # or what is piped on would go to the terminal
        )
        self._videos = self._bar.add_task("videos", total=videos)
        self._moments = self._bar.add_task("moments", total=None, visible=False)

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._bar.stop()

    def moments_done(self, done: int, planned: int) -> None:
        if done == 1:
            self._bar.reset(self._moments, total=planned, visible=True)
        self._bar.update(self._moments, completed=done, total=planned)

    def video_done(self) -> None:
        self._bar.advance(self._videos)
