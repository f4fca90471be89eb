"""What is in a folder of shards: counts, checksums, and a picture of the crops."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console

from pipelines.clip import FAKE, SPLITS, Clip, Video
from pipelines.preprocess import summary
from pipelines.shards import INFO_NAME

LABEL_PX = 18  # height of a row's caption


def load_info(folder: str | Path) -> dict:
    """dataset_info.json. Raises FileNotFoundError where the folder holds no finished set."""
    path = Path(folder) / INFO_NAME
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: not there, so {folder} holds no finished data set. Run `dfdetect preprocess`."
        )
    return json.loads(path.read_text())


def verify(folder: str | Path, info: dict) -> list[str]:
    """Shards that are missing or not what was written, a sentence each."""
    problems = []
    for name, facts in sorted(info["shards"].items()):
        path = Path(folder) / name
        if not path.is_file():
            problems.append(f"{path}: missing; run the preprocessing again.")
            continue
        with path.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        if digest != facts["sha256"]:
            problems.append(
                f"{path}: SHA-256 is {digest[:16]}..., {INFO_NAME} has {facts['sha256'][:16]}...; "
                "the file was changed or damaged."
            )
    return problems


def read_clips(folder: str | Path, split: str) -> Iterator[tuple[Video, Clip]]:
    """All clips of a split, in the order of the shards."""
    import tensorflow as tf

    from pipelines.schema import parse

    files = sorted(str(p) for p in Path(folder).glob(f"{split}-*.tfrecord"))
    for record in tf.data.TFRecordDataset(files).as_numpy_iterator():
        video, clip, _ = parse(record)
        yield video, clip


def contact_sheet(
    clips: list[tuple[Video, Clip]], frames: int = 8, side_px: int = 96
) -> np.ndarray:
    """A captioned row of crops per clip -> (H, W, 3) uint8 BGR."""
    rows = []
    for video, clip in clips:
        row = np.full((side_px + LABEL_PX, frames * side_px, 3), 32, np.uint8)
        caption = (
            f"{'FAKE' if video.label == FAKE else 'REAL'} {video.key} "
            f"clip {clip.index} track {clip.track} {video.split}"
        )
        cv2.putText(
            row, caption, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255,) * 3, 1, cv2.LINE_AA
        )
        chosen = np.unique(np.linspace(0, len(clip.images) - 1, frames).astype(int))
        for column, t in enumerate(chosen):
            if clip.images[t]:
                image = cv2.imdecode(np.frombuffer(clip.images[t], np.uint8), cv2.IMREAD_COLOR)
                x = column * side_px
                row[LABEL_PX:, x : x + side_px] = cv2.resize(
                    np.asarray(image), (side_px, side_px), interpolation=cv2.INTER_AREA
                )
        rows.append(row)
    return np.vstack(rows)


def write_contact_sheet(folder: str | Path, path: str | Path, rows: int = 16) -> None:
    """Writes a PNG of clips spread evenly over each split."""
    chosen = []
    for split in SPLITS:
        clips = list(read_clips(folder, split))
        share = max(1, rows // len(SPLITS))
        step = max(1, len(clips) // share)
        chosen.extend(clips[::step][:share])
    if not chosen:
        raise ValueError(f"{folder}: its shards hold no clips, so there is nothing to draw.")
    temporary = Path(f"{path}.tmp")
    temporary.write_bytes(cv2.imencode(".png", contact_sheet(chosen))[1].tobytes())
    os.replace(temporary, path)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="dfdetect inspect",
        description="What is in a folder of face-clip shards.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", help="what `dfdetect preprocess` wrote")
    parser.add_argument("--contact-sheet", metavar="PNG", help="draw a row of crops per clip")
    parser.add_argument("--rows", type=int, default=16, help="rows of it (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print dataset_info.json instead")
    args = parser.parse_args(argv)
    try:
        info = load_info(args.folder)
        problems = verify(args.folder, info)
        if args.contact_sheet and not problems:
            write_contact_sheet(args.folder, args.contact_sheet, args.rows)
    except (OSError, ValueError) as error:
        print(f"dfdetect inspect: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(info, indent=2, sort_keys=True))
    else:
        console = Console()
        console.print(summary(info))
        console.print(f"rejects: {info['rejects'] or 'none'}; fingerprint {info['fingerprint']}")
        if args.contact_sheet and not problems:
            console.print(f"contact sheet: {args.contact_sheet}")
    for problem in problems:
        print(f"dfdetect inspect: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
