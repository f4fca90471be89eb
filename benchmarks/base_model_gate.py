"""The gate of docs/base_model.md: what a model's verdicts are worth on videos nobody here made.

python benchmarks/base_model_gate.py INDEX SCORES [SCORES ...] [--leave-out TEXT,TEXT]

INDEX: CSV with uri, label and method, and as they are known identities and pair; uris are absolute,
or relative to INDEX. Two videos of a pair are the same moment, real and fake. SCORES: JSON lines
with path, verdict and probability_fake, or folders of them, as `dfdetect score` leaves them;
videos that are not in INDEX are real (a folder of real people). Intervals are of 95 %, over
people: everybody's videos are drawn together. Methods that hold a TEXT of --leave-out count in
none of the figures. Exit code: 0 where the gate is passed, else 1.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pipelines.csv_cells import unescape_cell  # noqa: E402
from trainer.evaluation.bootstrap import Interval, percentile_interval  # noqa: E402

SWAPS = "faceswap"  # methods that hold this word
RESAMPLES = 1000


class Video:
    """A scored video: its label (1: fake), people, method, pair, score and verdict."""

    def __init__(self, scored: dict, listed: dict[str, str]):
        self.label = int(listed.get("label") == "fake")
        self.method = listed.get("method", "")
        self.people = listed.get("identities") or listed.get("pair") or scored["path"]
        self.pair = listed.get("pair", "")
        self.score, self.verdict = scored["probability_fake"], scored["verdict"]


def read(index: Path, scores: list[Path]) -> list[Video]:
    """The videos with a score, NO_FACE among them with none; the paths of INDEX are looked up."""
    with open(index, newline="") as file:
        rows = [{k: unescape_cell(v) for k, v in row.items()} for row in csv.DictReader(file)]
    listed = {str((index.parent / row["uri"]).resolve()): row for row in rows}
    files = [f for path in scores for f in (sorted(path.glob("scores-*.jsonl")) or [path])]
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return [Video(line, listed.get(str(Path(line["path"]).resolve()), {})) for line in lines]


def auc(videos: list[Video]) -> float:
    seen = [v for v in videos if v.score is not None]
    labels = [v.label for v in seen]
    return roc_auc_score(labels, [v.score for v in seen]) if len(set(labels)) == 2 else np.nan


def order(videos: list[Video]) -> float:
    """Share of pairs of which the fake has the higher score; equal ones count half."""
    pairs: dict[str, dict[int, float]] = {}
    for video in videos:
        if video.pair and video.score is not None:
            pairs.setdefault(video.pair, {})[video.label] = video.score
    both = [pair for pair in pairs.values() if len(pair) == 2]
    return float(np.mean([np.sign(pair[1] - pair[0]) / 2 + 0.5 for pair in both] or [np.nan]))


def share(verdict: str) -> Callable[[list[Video]], float]:
    """Of the videos, how many got the verdict."""
    return lambda videos: float(np.mean([v.verdict == verdict for v in videos] or [np.nan]))


def interval(videos: list[Video], figure: Callable[[list[Video]], float]) -> Interval | None:
    """By the bootstrap over people; None where most resamples have no such figure."""
    people: dict[str, list[Video]] = {}
    for video in videos:
        people.setdefault(video.people, []).append(video)
    groups, rng = list(people.values()), np.random.default_rng(0)
    drawn = [
        figure([v for i in rng.integers(len(groups), size=len(groups)) for v in groups[i]])
        for _ in range(RESAMPLES)
    ]
    return percentile_interval(np.array(drawn))


def figures(videos: list[Video]) -> list[tuple[str, list[Video], Callable, float, int]]:
    """(what, of which videos, how, the gate's bound, +1 for at least and -1 for at most)."""
    paired = [v for v in videos if v.pair]
    # Videos of INDEX only: more real ones of another kind would change what AUC means.
    listed = [v for v in videos if v.method]
    real = [v for v in videos if not v.label]
    swaps = [v for v in videos if SWAPS in v.method]
    return [
        ("AUC", listed, auc, 0.75, 1),
        ("AUC of pairs", paired, auc, 0.75, 1),
        ("order of pairs", paired, order, 0.75, 1),
        ("false alarms: real called FAKE", real, share("FAKE"), 0.05, -1),
        ("swaps called FAKE", swaps, share("FAKE"), 0.30, 1),
        ("real called INCONCLUSIVE", real, share("INCONCLUSIVE"), np.nan, 1),
        ("fake called REAL", [v for v in listed if v.label], share("REAL"), np.nan, 1),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("index", type=Path)
    parser.add_argument("scores", type=Path, nargs="+")
    parser.add_argument("--leave-out", default="MEAD crop,256px crop")
    args = parser.parse_args()
    left_out = [text for text in args.leave_out.split(",") if text]
    videos = [
        video
        for video in read(args.index, args.scores)
        if not any(text in video.method for text in left_out)
    ]
    passed = True
    for name, chosen, figure, bound, sign in figures(videos):
        value, bounds = figure(chosen), interval(chosen, figure)
        around = f" [{bounds[0]:.3f}, {bounds[1]:.3f}]" if bounds else ""
        goal = ""
        if np.isfinite(bound):
            reached = bool(sign * value >= sign * bound)
            passed &= reached
            goal = f"  {'>=' if sign > 0 else '<='} {bound:.2f}: {'yes' if reached else 'NO'}"
        print(f"{name:32s} {value:.3f}{around} of {len(chosen)} videos{goal}")
    print("The gate is passed." if passed else "The gate is NOT passed.")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
