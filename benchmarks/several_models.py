"""Cost of a second opinion: one model, two that want the same crops, two that want others.

python benchmarks/several_models.py VIDEO [--seconds S] [--rounds N]

VIDEO, of a face, becomes a video of that length at 720p as FaceForensics++ publishes its videos.
It is judged as `dfdetect predict` does, by exported EfficientNet-Lite0 of random weights. Seconds
are process time of all threads; ratios are of the same round, to one model.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before serving.py of this folder

from benchmarks.long_videos import exported, repeated
from benchmarks.videos import like_faceforensics
from pipelines.config import PreprocessConfig
from pipelines.faces.extract import FaceExtractor
from serving.analysis.panel import Panel
from serving.predict.predict import predict_video

BACKBONE = "efficientnet_lite0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path, metavar="VIDEO")
    parser.add_argument("--seconds", type=int, default=60, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    args = parser.parse_args()
    crops = PreprocessConfig(faces="all")
    wider = dataclasses.replace(crops, margin=crops.margin + 0.2)
    faces = FaceExtractor(crops)
    with tempfile.TemporaryDirectory() as folder:
        ten_s = like_faceforensics(args.video, Path(folder), 1280, 720)
        video = str(repeated(ten_s, args.seconds // 10))
        one, same = (exported(BACKBONE, crops, f"{folder}/{name}") for name in "ab")
        other = exported(BACKBONE, wider, f"{folder}/c")
        panels = {
            "one model": Panel([one]),
            "two, the same crops": Panel([one, same]),
            "two, other crops": Panel([one, other]),
        }
        spent: dict[str, list[float]] = {name: [] for name in panels}
        for round_number in range(args.rounds + 1):
            for name, panel in panels.items():
                started = time.process_time()
                predict_video(video, faces, panel)
                if round_number:  # the first builds graphs
                    spent[name].append(time.process_time() - started)
    for name, seconds in spent.items():
        ratios = [a / b for a, b in zip(seconds, spent["one model"], strict=True)]
        print(
            f"{name:20}  {statistics.median(seconds):6.2f} s  {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
