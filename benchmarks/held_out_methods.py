"""Trained without a method, tested on it: the AUC on manipulations that are new to a detector.

python benchmarks/held_out_methods.py DATA OUT [--methods A B] [--split test] [TRAIN FLAGS]

DATA: shards whose fakes are of several methods: of FaceForensics++, of `dfdetect make-blends` or of
the generated set. One detector is trained on all of them, and one without each, into OUT, where it
is kept: for other settings give another. All other flags are those of `dfdetect train`, and stand
last. Fakes of a method are compared with all real videos of the split. Pair order: of the fakes
whose real video is there, the share with the higher score of the two. In brackets: 95 % intervals
by resampling people, of a fake its target.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.runs import auc_text, markdown, order_text, score, train  # noqa: E402
from pipelines.clip import FAKE, ORIGINAL, REAL  # noqa: E402
from pipelines.shards.open import ClipDataset  # noqa: E402
from trainer.evaluation.scored import ScoredVideo  # noqa: E402
from trainer.input.clips import check_methods  # noqa: E402

HEAD = (
    *("left out", "its fakes", "AUC on it", "AUC on it, trained with it"),
    *("AUC on the others", "pair order on it", "pair order, trained with it"),
)


def methods_of(data: ClipDataset) -> list[str]:
    """The methods of the training split's fakes. Raises ValueError for fewer than two."""
    methods = sorted(set(data.splits["train"]["methods"]) - {ORIGINAL})
    if len(methods) < 2:
        raise ValueError(
            f"{data.folder}: its fakes are of {', '.join(methods) or 'no method'}; several methods "
            "are needed to leave one out."
        )
    return methods


def row(method: str, without: Sequence[ScoredVideo], whole: Sequence[ScoredVideo]) -> list[str]:
    """A method's row of the table. without, whole: the same videos, scored by the detector that was
    trained without the method, and by the one that was trained on all."""

    def with_reals(videos: Sequence[ScoredVideo], is_it: bool) -> list[ScoredVideo]:
        return [
            each
            for each in videos
            if each.video.label == REAL or (each.video.method == method) == is_it
        ]

    own, own_whole = with_reals(without, True), with_reals(whole, True)
    return [
        method,
        str(sum(each.video.label == FAKE for each in own)),
        auc_text(own),
        auc_text(own_whole),
        auc_text(with_reals(without, False)),
        order_text(own),
        order_text(own_whole),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("data", type=Path, help="shards from `dfdetect preprocess`")
    parser.add_argument("out", type=Path, help="folder for the runs and the table")
    parser.add_argument("--methods", nargs="+", help="to leave out, one at a time (default: all)")
    parser.add_argument("--split", default="test", choices=("val", "test"))
    args, flags = parser.parse_known_args()
    try:
        data = ClipDataset.open(args.data)
        methods = args.methods or methods_of(data)
        check_methods(data, methods)
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    train(args.data, args.out / "all", flags)
    for method in methods:
        train(args.data, args.out / f"without-{method}", [*flags, "--without-methods", method])
    whole = score(args.out / "all", data, args.split)
    rows = [
        row(method, score(args.out / f"without-{method}", data, args.split), whole)
        for method in methods
    ]
    reals = sum(each.video.label == REAL for each in whole)
    text = (
        f"{args.split} split, {reals} real videos; trained on all methods: AUC {auc_text(whole)}, "
        f"pair order {order_text(whole)}\n\n{markdown(HEAD, rows)}\n"
    )
    (args.out / "held_out_methods.md").write_text(text)
    print(f"\n{text}")


if __name__ == "__main__":
    main()
