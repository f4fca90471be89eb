"""The detector to beat: how smooth a face's contour is, against its surroundings. No training.

python benchmarks/face_surroundings.py DATA [DATA ...] --reals DATA --out SCORES.jsonl

DATA: shards of `dfdetect preprocess --crop-size 384 --margin 0.9 --image-format png` (or near it).
Of each crop the energy of the Laplacian is taken in the zone of jaw, temples and hairline, where
swaps are blended in, and in the ring around it: what was generated or blended is smoother than what
a camera saw beside it. A video's score is the mean difference of their logarithms; FAKE is what
lies below 95 % of the real videos of --reals. Writes lines for benchmarks/base_model_gate.py.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# From the middle of the face, in eye distances.
CONTOUR, RING = (0.85, 1.35), (1.35, 2.1)
MIDDLE_BELOW_EYES, FLATTENED = 0.55, 0.85
FALSE_ALARMS = 0.05


def difference(image: np.ndarray, landmarks: np.ndarray) -> float:
    """Log energy of the Laplacian, contour less ring. image: (S, S, 3) uint8 BGR. landmarks: (5, 2)
    px of it; eyes first."""
    eye_distance = float(np.hypot(*(landmarks[1] - landmarks[0])))
    x, y = (np.indices(image.shape[:2])[::-1] - landmarks[:2].mean(0)[:, None, None]) / eye_distance
    away = np.hypot(x, (y - MIDDLE_BELOW_EYES) * FLATTENED)
    luma = cv2.cvtColor(image, cv2.COLOR_BGR2YCrCb)[..., 0]
    energy = cv2.Laplacian(luma, cv2.CV_32F) ** 2
    contour, ring = (
        np.log(energy[(away > low) & (away < high)].mean() + 0.05) for low, high in (CONTOUR, RING)
    )
    return float(contour - ring)


def read(folder: Path) -> Iterator[tuple[str, int, float]]:
    """(id, label, difference) of each video, the mean over its crops."""
    import tensorflow as tf

    from pipelines.clip import SPLITS
    from pipelines.shards.open import ClipDataset
    from pipelines.shards.schema import parse

    dataset = ClipDataset.open(folder)
    paths = [str(shard.path) for split in SPLITS for shard in dataset.shards(split)]
    videos: dict[str, tuple[int, list[float]]] = {}
    for record in tf.data.TFRecordDataset(paths).as_numpy_iterator():
        video, clip, _ = parse(record)
        _, found = videos.setdefault(video.id, (video.label, []))
        for t in np.flatnonzero(clip.has_crop):
            image = cv2.imdecode(np.frombuffer(clip.images[t], np.uint8), cv2.IMREAD_COLOR)
            to_crop = clip.transforms[t]
            found.append(difference(image, clip.landmarks[t] @ to_crop[:, :2].T + to_crop[:, 2]))
    for name, (label, found) in sorted(videos.items()):
        yield name, label, float(np.mean(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--reals", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    reals = np.array([value for _, label, value in read(args.reals) if label == 0])
    threshold = np.quantile(reals, FALSE_ALARMS)
    lines = []
    for name, _, value in (row for folder in args.data for row in read(folder)):
        probability = 1 / (1 + np.exp((value - reals.mean()) / reals.std()))
        verdict = "FAKE" if value < threshold else "INCONCLUSIVE"
        lines.append({"path": name, "verdict": verdict, "probability_fake": probability})
    args.out.write_text("".join(json.dumps(line) + "\n" for line in lines))
    print(
        f"{args.out}: {len(lines)} videos; FAKE below {threshold:.3f}, of {len(reals)} real ones."
    )


if __name__ == "__main__":
    main()
