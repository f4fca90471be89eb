"""Our batched MTCNN against the mtcnn package's own driver, on the same frames in one run.

python benchmarks/detection.py VIDEO
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from mtcnn import MTCNN

from pipelines.faces.detect import MtcnnDetector, iou
from pipelines.video import probe, read_frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video")
    parser.add_argument("--frames", type=int, default=16)
    args = parser.parse_args()
    info = probe(args.video)
    frames = read_frames(info, range(min(args.frames, info.frames)))
    ours, theirs = MtcnnDetector(), MTCNN()
    ours.detect(frames)  # both once before the clock runs: the first call builds the graph
    theirs.detect_faces(frames[0])

    start = time.perf_counter()
    found = ours.detect(frames)
    ours_s = time.perf_counter() - start
    start = time.perf_counter()
    expected = [theirs.detect_faces(frame) for frame in frames]
    theirs_s = time.perf_counter() - start

    overlaps = []
    for mine, plain in zip(found, expected, strict=True):
        boxes = np.array([face.box for face in mine]).reshape(-1, 4)
        for face in plain:
            x, y, w, h = face["box"]
            if w > 40 and face["confidence"] > 0.97:
                overlaps.append(iou(np.array([x, y, x + w, y + h]), boxes).max(initial=0.0))
    print(f"{len(frames)} frames of {info.width}x{info.height}: ours {ours_s:.3f} s, ", end="")
    print(f"package {theirs_s:.3f} s, ratio {theirs_s / ours_s:.1f}")
    recall = np.mean(np.array(overlaps) > 0.5)
    print(f"{len(overlaps)} faces of the package: recall {recall:.3f}, ", end="")
    print(f"mean IoU {np.mean(overlaps):.3f}")


if __name__ == "__main__":
    main()
