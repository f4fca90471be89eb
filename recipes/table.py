"""The table at the end of a recipe: published figures beside those of a run, as Markdown.

python recipes/table.py RECIPE [OUT]

Without OUT, or where a data set was not there, the column of the run is empty.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
METRIC = "roc_auc"


@dataclasses.dataclass(frozen=True)
class Row:
    """What is tested: its name, the run, the data set, and of that one method or all."""

    test: str
    run: str
    dataset: str
    method: str = ""


@dataclasses.dataclass(frozen=True)
class Protocol:
    """level: of what the figures are, "video" or "frame"."""

    trained_on: str
    level: str
    rows: tuple[Row, ...]


METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
CROSS_DATASET = {"celeb-df-v2": "Celeb-DF v2", "dfd": "DFD", "dfdc": "DFDC"}
PROTOCOLS = {
    "sbi": Protocol(
        "real videos of FF++ c23, blended with themselves",
        "video",
        tuple(
            Row(name, "sbi", dataset)
            for dataset, name in {**CROSS_DATASET, "faceforensics": "FF++ c23"}.items()
        ),
    ),
    "deepfakebench": Protocol(
        "FF++ c23, four methods",
        "frame",
        tuple(
            Row(name, "all-methods", dataset)
            for dataset, name in {
                "faceforensics": "FF++ c23",
                "celeb-df-v1": "Celeb-DF v1",
                **CROSS_DATASET,
            }.items()
        ),
    ),
    "leave_one_out": Protocol(
        "FF++ c23, the three other methods",
        "video",
        tuple(Row(name, f"without-{name}", "faceforensics", name) for name in METHODS),
    ),
}
# Where the figures of published.csv were read.
SOURCES = {
    "sbi": "github.com/mapooon/SelfBlendedImages, README.md of 2023-02-03, table under Test: "
    "EfficientNet-B4 trained on FF++'s real videos (c23, raw), AUC of videos. Its code reads DFD "
    "in raw (DFD_COMPRESSION=raw). For FF++ c23 itself no figure was found",
    "deepfakebench": "github.com/SCLBD/DeepfakeBench, README.md, table under Results, which cites "
    "arXiv:2307.01426: AUC of frames",
    "speechforensics": "Liang et al., SpeechForensics, NeurIPS 2024, arXiv:2508.09913, table 1: "
    "AUC of videos, FF++ HQ (c23)",
}


def published(recipe: str) -> list[dict[str, str]]:
    """The rows of published.csv for a recipe."""
    with open(HERE / "published.csv", newline="") as file:
        return [row for row in csv.DictReader(file) if row["protocol"] == recipe]


def measured(path: Path, level: str, method: str = "") -> tuple[str, str]:
    """From a metrics.json: the AUC in % with its interval, and how many real and fake videos, as
    text; "" where the file is not there. method: of the fakes with which the real are compared."""
    if not path.is_file():
        return "", ""
    metrics = json.loads(path.read_text())
    part: Mapping[str, Any] = metrics[level]
    counted: Mapping[str, Any] = metrics["video"]
    if method:
        slices = {each["name"]: each for each in metrics["slices"]["method"]}
        if method not in slices:
            raise SystemExit(
                f"{path}: no video of {method}, but of {', '.join(slices) or 'no method'}. "
                "Preprocess with all methods, and repeat the recipe."
            )
        part = counted = slices[method]
    generated = " (generated)" if metrics["sample_data"] else ""
    return _percent(part), f"{counted['real']} + {counted['fake']}{generated}"


def _percent(part: Mapping[str, Any]) -> str:
    value, interval = part[METRIC], part["intervals"].get(METRIC)
    if value is None:
        return "not defined"
    text = f"{100 * value:.1f}"
    return f"{text} [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]" if interval else text


def table(recipe: str, out: Path | None = None) -> str:
    """The Markdown table of a recipe, with the sources below it."""
    protocol, figures = PROTOCOLS[recipe], published(recipe)
    detectors = list(dict.fromkeys(row["detector"] for row in figures))
    known = {(row["test"], row["detector"]): row["auc"] for row in figures}
    lines = []
    for row in protocol.rows:
        path = out / "evaluation" / row.run / row.dataset / "metrics.json" if out else Path()
        own, videos = measured(path, protocol.level, row.method)
        lines.append(
            [row.test, own, videos, *(known.get((row.test, name), "") for name in detectors)]
        )
    head = [f"tested on; {protocol.level} AUC, %", "this run", "real + fake videos", *detectors]
    sources = dict.fromkeys(SOURCES[row["source"]] for row in figures)
    return "\n".join(
        [
            f"Trained on {protocol.trained_on}.",
            "",
            *map(_line, [head, ["---"] * len(head), *lines]),
            "",
            *(f"Published figures: {source}." for source in sources),
        ]
    )


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", choices=PROTOCOLS)
    parser.add_argument("out", nargs="?", type=Path, help="the recipe's OUT")
    args = parser.parse_args()
    print(table(args.recipe, args.out))


if __name__ == "__main__":
    main()
