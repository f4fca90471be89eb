"""Time of an evaluation against the bare `model.predict` over the same clips.

python benchmarks/evaluation.py RUN DATA [--split train] [--copies 1] [--rounds 3] [--sweep]

RUN: a finished run of `dfdetect train`; DATA: shards of its settings. Both sides read the shards,
decode the crops and run the model; an evaluation also computes its intervals and writes its report,
which takes the same few seconds whatever the number of clips. --copies: how often each shard is
read, for the more clips. --sweep: also once with --robustness, against 1 + the number of conditions
times a plain evaluation.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from benchmarks.turns import ratio  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="train", choices=("train", "val", "test"))
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sweep", action="store_true")
    args = parser.parse_args()

    from pipelines.shards.open import ClipDataset
    from trainer.evaluation.evaluate import evaluate
    from trainer.evaluation.predictions import BATCH
    from trainer.evaluation.robustness import CONDITIONS
    from trainer.input.clips import read_clips
    from trainer.report.render import write_report
    from trainer.run import Run

    with tempfile.TemporaryDirectory() as folder:
        data = _copies(args.data, args.split, args.copies, Path(folder))
        model = Run.open(args.run).model
        clips = read_clips(ClipDataset.open(data), args.split)
        inputs = clips.map(lambda x: {"clips": x["clips"], "mask": x["mask"]})
        batches = inputs.batch(BATCH).prefetch(2)

        def bare() -> None:
            model.predict(batches, verbose=0)

        def whole(data: Path = data, robustness: bool = False) -> None:
            out = Path(folder) / "out"
            write_report(out, evaluate(args.run, data, out, args.split, robustness=robustness))

        model.predict(batches.take(2), verbose=0)
        # Once before, so that neither imports nor the fonts' first use are counted.
        whole(args.data)
        times: dict[str, list[float]] = {"bare": [], "whole": []}
        for _ in range(args.rounds):
            times["bare"].append(_seconds(bare))
            times["whole"].append(_seconds(whole))
        print(f"bare {times['bare']}, evaluation {times['whole']} s")
        print(f"evaluation / bare: {ratio(times['whole'], times['bare'])}")
        if args.sweep:
            plain, swept = _seconds(whole), _seconds(lambda: whole(robustness=True))
            share = swept / (plain * (1 + len(CONDITIONS)))
            print(
                f"with {len(CONDITIONS)} conditions: {swept:.0f} s, {swept / plain:.1f} times a "
                f"plain evaluation, {share:.2f} of 1 + conditions"
            )


def _copies(data: Path, split: str, copies: int, folder: Path) -> Path:
    """A data set that names each of the split's shards `copies` times."""
    info = json.loads((data / "dataset_info.json").read_text())
    shards = {n: entry for n, entry in info["shards"].items() if n.startswith(f"{split}-")}
    info["shards"] = {}
    for i, (name, entry) in enumerate(list(shards.items()) * copies):
        link = f"{split}-{i:05d}-of-{len(shards) * copies:05d}.tfrecord"
        (folder / link).symlink_to((data / name).resolve())
        info["shards"][link] = entry
    (folder / "dataset_info.json").write_text(json.dumps(info))
    return folder


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return round(time.perf_counter() - started, 2)


if __name__ == "__main__":
    main()
