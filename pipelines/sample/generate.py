"""Generation of the sample data set, in FaceForensics++'s layout."""

from __future__ import annotations

import concurrent.futures
import concurrent.futures.process
import json
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import threadpoolctl

from pipelines.atomic import replacing_folder
from pipelines.sample import MIN_IDENTITIES, NOTICE
from pipelines.sample.animate import FPS, animate, sensor_noise
from pipelines.sample.fakes import face_swap, self_blend
from pipelines.sample.identities import make_identity
from pipelines.sample.portraits import align, builtin, from_folder
from pipelines.video.h264 import x264_options

SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}  # of the pairs of people
PROVENANCE_NAME = "sample-data.json"  # how the set was made; marks it as generated


def generate(
    out: str | Path,
    identities: int = 24,
    seed: int = 0,
    portraits: str | Path | None = None,
    frames: int = 40,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Writes the set to the folder `out` and returns it; all of it or nothing.

    A person gives one real video, a FaceSwap with the partner's face and a SelfBlend. The same
    arguments give the same bytes. `progress` is called with (people done, people in all).
    Raises ValueError for arguments that cannot work and FileExistsError where `out` exists and
    `overwrite` was not asked for.
    """
    out = Path(out)
    if identities < MIN_IDENTITIES or identities % 2:
        raise ValueError(
            f"--identities is {identities}; an even number from {MIN_IDENTITIES} is needed: "
            "people come in pairs, one pair or more in each split."
        )
    if frames < 1:
        raise ValueError(f"--frames is {frames}; it must be at least 1.")
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out}: exists already. Give another folder, or --overwrite.")
    bases = _portraits(portraits)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(out) as temporary:
        jobs = [
            (temporary, list(bases.values()), pair, seed, frames) for pair in _pairs(identities)
        ]
        workers = min(len(jobs), os.cpu_count() or 1)
        # Fresh processes: a fork of one that runs TensorFlow's threads can hang.
        with concurrent.futures.ProcessPoolExecutor(
            workers, multiprocessing.get_context("spawn"), _compute_with_one_thread
        ) as pool:
            for done, _ in enumerate(pool.map(_write_pair, jobs), 1):
                if progress:
                    progress(2 * done, identities)
        _write_splits(temporary / "splits", _pairs(identities))
        provenance = {"notice": NOTICE, "photos": sorted(bases), "identities": identities}
        provenance |= {"seed": seed, "frames": frames}
        (temporary / PROVENANCE_NAME).write_text(json.dumps(provenance, indent=2) + "\n")
    return out


def _portraits(folder: str | Path | None) -> dict[str, np.ndarray]:
    # Here, for it loads TensorFlow, and this module is loaded by each worker process.
    from pipelines.faces.detect import MtcnnDetector

    photos = builtin() if folder is None else from_folder(Path(folder))
    return dict(zip(photos, align(photos, MtcnnDetector(min_face=40)), strict=True))


def _pairs(identities: int) -> list[tuple[int, int]]:
    return [(i, i + 1) for i in range(0, identities, 2)]


def _write_splits(folder: Path, pairs: list[tuple[int, int]]) -> None:
    folder.mkdir(parents=True)
    ends = {"val": max(1, round(SHARES["val"] * len(pairs)))}
    ends["test"] = max(1, round(SHARES["test"] * len(pairs)))
    train = len(pairs) - ends["val"] - ends["test"]
    parts = {
        "train": pairs[:train],
        "val": pairs[train : train + ends["val"]],
        "test": pairs[train + ends["val"] :],
    }
    for split, members in parts.items():
        ids = [[f"{a:03d}", f"{b:03d}"] for a, b in members]
        (folder / f"{split}.json").write_text(json.dumps(ids))


def _compute_with_one_thread() -> None:
    """In a worker: there is one for every core already. Beside other work, threads for SciPy's
    many tiny systems of equations wait for each other far longer than they compute."""
    cv2.setNumThreads(1)
    threadpoolctl.threadpool_limits(1)


def _write_pair(job: tuple[Path, list[np.ndarray], tuple[int, int], int, int]) -> None:
    """All six videos of two people."""
    root, bases, pair, seed, frames = job
    clips = {
        i: animate(make_identity(bases, i, seed), np.random.default_rng([seed, i, 1]), frames)
        for i in pair
    }
    for target, donor in (pair, pair[::-1]):
        images, points = clips[target]
        rng = np.random.default_rng([seed, target, 2])
        a, b = f"{target:03d}", f"{donor:03d}"
        videos = {
            f"original_sequences/youtube/c23/videos/{a}.mp4": images,
            f"manipulated_sequences/FaceSwap/c23/videos/{a}_{b}.mp4": face_swap(
                images, points, *clips[donor], rng
            ),
            f"manipulated_sequences/SelfBlend/c23/videos/{a}_{a}.mp4": self_blend(
                images, points, rng
            ),
        }
        # The same noise for all three: only the face may tell them apart.
        noise = sensor_noise(images.shape, np.random.default_rng([seed, target, 3]))
        for name, result in videos.items():
            write_video(root / name, np.clip(result + noise, 0, 255).astype(np.uint8))


def write_video(path: Path, frames: np.ndarray) -> None:
    """H.264 at constant quality 23 (FaceForensics++'s c23), the same bytes every time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options=x264_options(23))
        stream.pix_fmt = "yuv420p"
        stream.height, stream.width = frames.shape[1:3]
        for image in frames:
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
