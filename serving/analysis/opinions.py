"""Opinions of several models on one video, beside each other, and the verdict of the first."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from pipelines.clip import VideoError
from pipelines.config import PreprocessConfig
from pipelines.coverage import ScanSettings
from pipelines.verdict import Verdict
from serving.analysis.panel import Predictor, Voice
from serving.analysis.scan import (
    FaceVideo,
    OnLook,
    OnMoment,
    ScannedVideo,
    ScoredMoment,
    result,
    scan,
)
from serving.analysis.video_result import Opinion, VideoResult, judge

# The video as it looks to models that want such crops.
OpenVideo = Callable[[PreprocessConfig], FaceVideo]


def scan_for_all(
    video: FaceVideo,
    open_video: OpenVideo,
    models: Sequence[Predictor],
    voices: Sequence[Voice],
    settings: ScanSettings,
    content: str,
    *,
    known: Sequence[Mapping[int, ScoredMoment]] = (),
    on_look: OnLook | None = None,
    on_moment: OnMoment | None = None,
) -> list[ScannedVideo]:
    """As `scan`, of voices that may want other crops than the first: one way through the video for
    all that want the same. video: opened for the first voice; open_video: opens it for another."""
    already = list(known) or [{}] * len(voices)
    by_crops: dict[tuple[str, int], list[int]] = {}
    for number, voice in enumerate(voices):
        by_crops.setdefault(_what_it_sees(voice.config.preprocess), []).append(number)
    scans: dict[int, ScannedVideo] = {}
    for numbers in by_crops.values():
        own = [voices[number] for number in numbers]
        found = scan(
            video if 0 in numbers else open_video(own[0].config.preprocess),
            models,
            own,
            settings,
            content,
            known=[already[number] for number in numbers],
            on_look=on_look if 0 in numbers else None,
            on_moment=on_moment,
        )
        scans |= zip(numbers, found, strict=True)
    return [scans[number] for number in range(len(voices))]


def _what_it_sees(config: PreprocessConfig) -> tuple[str, int]:
    """What crops and moments follow from."""
    spread = config.clips_per_video if config.sampling == "uniform" else 0
    return config.fingerprint, spread


def result_of_all(
    path: str, scans: Sequence[ScannedVideo], voices: Sequence[Voice], settings: ScanSettings
) -> VideoResult:
    """The first voice's verdict, with the opinion of each model where there are several.

    Raises VideoError as `result` does for the first voice.
    """
    lead = result(path, scans[0], voices[0], settings)
    if len(voices) == 1:
        return lead
    opinions = tuple(
        _opinion(path, scanned, voice, settings)
        for scanned, voice in zip(scans, voices, strict=True)
        if voice.ensemble is None
    )
    return dataclasses.replace(lead, opinions=opinions)


def _opinion(path: str, scanned: ScannedVideo, voice: Voice, settings: ScanSettings) -> Opinion:
    try:
        return Opinion.of(result(path, scanned, voice, settings), voice.config)
    except VideoError as error:  # what it saw is no verdict; the first voice's may be one
        seen = judge(path, scanned.scores, voice.config, voice.name, scanned.coverage, settings)
        given = Opinion.of(seen, voice.config)
        why = error.detail.removeprefix(f"{path}: ")
        return dataclasses.replace(given, verdict=Verdict.INCONCLUSIVE, reasons=(why,))
