"""Fine-tuning against training from scratch: test AUC by the number of steps, drawn as a curve.

python benchmarks/fine_tuning.py DATA BASE OUT --steps 2000 [--shares 0.1 0.2 0.5 1] [--seeds 3]
    [--fine-tuning "--backbone-rate 0.1"] [--split test] [TRAIN FLAGS]

DATA: shards to learn from and to be tested on, of other people or of another method than those BASE
was trained on; BASE: what `dfdetect train --pretrained` takes, such as a run's model.keras, of the
network that the flags name. All other flags are those of `dfdetect train`, and stand last;
--fine-tuning has those of the trainings from BASE alone.

Each share of the steps is a training of its own, with its own rise and fall of the learning rate,
from scratch and from BASE, for each seed. A training has --epochs (4) epochs, and its model is that
of the best. AUC: the mean over the seeds, with its 95 % interval by resampling people, of a fake
its target. What was trained before is kept in OUT: for other settings give another.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.runs import as_text, labelled, markdown, score, train  # noqa: E402
from pipelines.shards.open import ClipDataset  # noqa: E402
from trainer.evaluation.bootstrap import Bootstrap, Interval, percentile_interval  # noqa: E402
from trainer.evaluation.labelled_scores import LabelledScores  # noqa: E402
from trainer.evaluation.metrics import ROC_AUC  # noqa: E402

SCRATCH, BASE = "scratch", "base"


@dataclasses.dataclass(frozen=True, eq=False)
class Point:
    """The AUC after so many steps: of each seed, and in each resample of people the mean over the
    seeds, (resamples,); NaN where it is not defined."""

    steps: int
    aucs: tuple[float, ...]
    resampled: np.ndarray

    @classmethod
    def of(cls, steps: int, seeds: Sequence[LabelledScores]) -> Point:
        """seeds: scores of the same videos by the model of each seed. Raises ValueError where an
        AUC is not defined."""
        if not all(scores.has(ROC_AUC.needs) for scores in seeds):
            raise ValueError("The split has videos of one class alone: there is no AUC.")
        drawn = [Bootstrap().draw(scores, [ROC_AUC])[ROC_AUC.name] for scores in seeds]
        aucs = tuple(float(ROC_AUC.compute(scores)) for scores in seeds)
        return cls(steps, aucs, np.mean(drawn, axis=0))

    @property
    def auc(self) -> float:
        return float(np.mean(self.aucs))

    @property
    def interval(self) -> Interval | None:
        return percentile_interval(self.resampled)


Curves = Mapping[str, Sequence[Point]]  # by where they start, with steps rising


def steps_of(steps: int, shares: Sequence[float], epochs: int) -> list[int]:
    """The steps of each share, in whole epochs. Raises ValueError where one has too few."""
    counts = sorted({round(share * steps / epochs) * epochs for share in shares})
    if not counts or not counts[0] or not all(0 < share <= 1 for share in shares):
        raise ValueError(
            f"--steps {steps}, --shares {' '.join(map(str, shares))}: a share must be more than 0, "
            f"at most 1, and enough for a step in each of the {epochs} epochs."
        )
    return counts


def verdict(curves: Curves) -> str:
    """From which share of the steps on fine-tuning reaches what training from scratch reaches in
    all of them, and how the two differ in a tenth, or whatever the least is, and in all."""
    scratch, tuned = curves[SCRATCH], curves[BASE]
    goal = scratch[-1]
    enough = next((point for point in tuned if point.auc >= goal.auc), None)
    lines = [
        f"From scratch, {goal.steps} steps: AUC {as_text(goal.auc, goal.interval)}.",
        f"Fine-tuning reaches that in {enough.steps} steps, {enough.steps / goal.steps:.0%}."
        if enough
        else f"Fine-tuning does not reach that in {tuned[-1].steps} steps.",
    ]
    for point in dict.fromkeys((tuned[0], tuned[-1])):
        interval = percentile_interval(point.resampled - goal.resampled)
        text = as_text(point.auc - goal.auc, interval)
        lines.append(f"Fine-tuned for {point.steps} steps, less that: {text}.")
    return "\n".join(lines)


def table(curves: Curves) -> str:
    rows = [
        [
            str(scratch.steps),
            f"{scratch.steps / curves[SCRATCH][-1].steps:.0%}",
            *(as_text(point.auc, point.interval) for point in (scratch, tuned)),
            *(" ".join(f"{auc:.3f}" for auc in point.aucs) for point in (scratch, tuned)),
        ]
        for scratch, tuned in zip(curves[SCRATCH], curves[BASE], strict=True)
    ]
    head = ("steps", "share", "AUC from scratch", "AUC fine-tuned")
    return markdown((*head, "its seeds, from scratch", "fine-tuned"), rows)


def plot(curves: Curves, path: Path, title: str) -> None:
    """Draws both curves with their intervals, and each seed as a dot."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    names = {SCRATCH: "from scratch", BASE: "fine-tuned"}
    for start, points in curves.items():
        steps = [point.steps for point in points]
        (line,) = axes.plot(steps, [point.auc for point in points], "-", label=names[start])
        for point in points:
            axes.plot([point.steps] * len(point.aucs), point.aucs, ".", color=line.get_color())
        if all(point.interval for point in points):
            bounds = np.array([point.interval for point in points]).T
            axes.fill_between(steps, *bounds, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.axhline(curves[SCRATCH][-1].auc, color="grey", linewidth=0.8, linestyle=":")
    axes.set(title=title, xlabel="steps", ylabel="AUC of videos", xscale="log")
    axes.set_xticks(steps, steps)
    axes.minorticks_off()
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("data", type=Path, help="shards from `dfdetect preprocess`")
    parser.add_argument("base", help="what `dfdetect train --pretrained` takes")
    parser.add_argument("out", type=Path, help="folder for the runs, the table and the curve")
    parser.add_argument("--steps", type=int, required=True, help="of the longest training")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.2, 0.5, 1.0])
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each kind")
    parser.add_argument("--epochs", type=int, default=4, help="of each training")
    parser.add_argument("--fine-tuning", default="", help="flags of trainings from BASE alone")
    parser.add_argument("--split", default="test", choices=("val", "test"))
    args, flags = parser.parse_known_args()
    try:
        data, counts = ClipDataset.open(args.data), steps_of(args.steps, args.shares, args.epochs)
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    from_base = ["--pretrained", args.base, *shlex.split(args.fine_tuning)]
    curves: dict[str, list[Point]] = {SCRATCH: [], BASE: []}
    for steps in counts:
        for start, own in ((SCRATCH, []), (BASE, from_base)):
            length = ["--epochs", str(args.epochs), "--epoch-steps", str(steps // args.epochs)]
            seeds = []
            for seed in range(args.seeds):
                run = args.out / f"{start}-{steps}-{seed}"
                train(args.data, run, [*flags, *own, *length, "--seed", str(seed)])
                seeds.append(labelled(score(run, data, args.split)))
            curves[start].append(Point.of(steps, seeds))
    text = f"{args.split} split, {args.seeds} seeds\n\n{table(curves)}\n\n{verdict(curves)}\n"
    (args.out / "fine_tuning.md").write_text(text)
    plot(curves, args.out / "fine_tuning.png", f"{args.split} split of {args.data.name}")
    print(f"\n{text}")


if __name__ == "__main__":
    main()
