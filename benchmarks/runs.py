"""Trainings that are compared with each other, their videos' scores, and intervals over people.

What a benchmark trained stays in its folder: the same command again resumes it, or keeps it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.clip import FAKE, REAL, Video
from pipelines.shards.open import ClipDataset
from trainer.evaluation.bootstrap import Bootstrap, Interval
from trainer.evaluation.labelled_scores import LabelledScores
from trainer.evaluation.measured_model import of_run
from trainer.evaluation.metrics import RECALL, ROC_AUC, Metric
from trainer.evaluation.predictions import predict
from trainer.evaluation.scored import ScoredVideo
from trainer.run import MODEL_NAME, Run

ROOT = Path(__file__).resolve().parents[1]


def train(data: Path, out: Path, flags: Sequence[str]) -> None:
    """`dfdetect train` into the folder `out`, unless it is finished there, whatever its flags.

    In a process of its own, which begins with nothing that an earlier training left in memory.
    Raises subprocess.CalledProcessError where it fails.
    """
    if (out / MODEL_NAME).is_file():
        print(f"{out}: kept", flush=True)
        return
    # -P: the code beside this file, and not what lies in the current folder.
    command = [sys.executable, "-P", "-m", "dfdetect", "train"]
    command += ["--data", str(data), "--out", str(out)]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    subprocess.run([*command, *flags], check=True, env={**os.environ, "PYTHONPATH": path})


def score(run: Path, data: ClipDataset, split: str) -> list[ScoredVideo]:
    """The videos of a split that have a face, scored by a run as it was trained, uncalibrated."""
    return predict(of_run(Run.open(run), calibrated=False), [data], [split]).scored


def person(video: Video) -> str:
    """The unit of an interval: who is seen in a video, which of a fake is its target; the source
    video where no people are named."""
    return f"{video.dataset}/{video.identities[0]}" if video.identities else video.source_key


def labelled(videos: Sequence[ScoredVideo]) -> LabelledScores:
    """The videos' scores, resampled by person."""
    return LabelledScores.of(
        [each.video.label for each in videos],
        [each.score for each in videos],
        sources=[person(each.video) for each in videos],
    )


def pair_order(videos: Sequence[ScoredVideo]) -> LabelledScores:
    """For each fake whose real video is there, 1 where it has the higher score of the two, else 0:
    their recall is the share of pairs in the right order."""

    def source(each: ScoredVideo) -> tuple[str, str]:
        return each.video.source_key, each.video.compression

    reals = {source(each): each.score for each in videos if each.video.label == REAL}
    pairs = [each for each in videos if each.video.label == FAKE and source(each) in reals]
    return LabelledScores.of(
        [FAKE] * len(pairs),
        [float(each.score > reals[source(each)]) for each in pairs],
        sources=[person(each.video) for each in pairs],
    )


def estimate(scores: LabelledScores, metric: Metric) -> tuple[float | None, Interval | None]:
    """A metric and its 95 % interval; None where it is not defined."""
    if not scores.has(metric.needs):
        return None, None
    interval = Bootstrap().intervals(scores, [metric]).get(metric.name)
    return float(metric.compute(scores)), interval


def as_text(value: float | None, interval: Interval | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else "")


def auc_text(videos: Sequence[ScoredVideo]) -> str:
    return as_text(*estimate(labelled(videos), ROC_AUC))


def order_text(videos: Sequence[ScoredVideo]) -> str:
    return as_text(*estimate(pair_order(videos), RECALL))


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))
