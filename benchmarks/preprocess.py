"""Speed and exactness of video to shard, against decoding alone and plain MTCNN.

python benchmarks/preprocess.py VIDEO ... [--cache FOLDER] [--skip-plain]

Measures on the videos given and on the same people at 720p and 1080p, made as FaceForensics++
publishes its videos (300 frames, H.264, crf 23, 250-frame GOP). All ratios come from one run:
  decode   our reader, the sampled frames only, as RGB
  whole    decode, faces, crops, records, written as TFRecord
  plain    OpenCV's reader and the mtcnn package, frame by frame at native resolution
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import numpy as np
from videos import at_published_sizes

from pipelines.clip import Video
from pipelines.config import PreprocessConfig
from pipelines.faces.boxes import iou
from pipelines.faces.detect import MtcnnDetector, shrink
from pipelines.faces.extract import FaceExtractor
from pipelines.faces.follow import detect_through
from pipelines.shards.schema import serialize
from pipelines.shards.write import write_records
from pipelines.tensorflow_settings import compute_reproducibly
from pipelines.video.decode import read_frames
from pipelines.video.probe import probe
from pipelines.video.sampling import sample_clips

CONFIG = PreprocessConfig()
KEYPOINTS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")


def sampled(path: Path) -> list[np.ndarray]:
    """The frame indices of each clip."""
    times_s = probe(str(path)).times_s
    return sample_clips(
        times_s, CONFIG.clips_per_video, CONFIG.frames_per_clip, CONFIG.frame_stride
    )


def decode(path: Path, threads: int = 0) -> list[np.ndarray]:
    indices = np.concatenate(sampled(path)).tolist()
    return [f for f in read_frames(probe(str(path)), indices, threads) if f is not None]


def whole(extractor: FaceExtractor, path: Path, folder: str) -> None:
    video = Video(path.stem, str(path), 0, "benchmark", split="train")
    clips = extractor.extract(str(path))
    records = [serialize(video, clip, CONFIG.fingerprint) for clip in clips]
    write_records(f"{folder}/{path.stem}.tfrecord", records)


def plain_frames(path: Path) -> Iterator[np.ndarray]:
    """The sampled frames by OpenCV, read one after the other."""
    wanted = set(np.concatenate(sampled(path)).tolist())
    capture = cv2.VideoCapture(str(path))
    for index in range(max(wanted) + 1):
        capture.grab()
        if index in wanted:
            yield cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(theirs: list[list[dict]], ours: list[list]) -> tuple[int, list[float], list[float]]:
    """(faces of the package to be found, IoU of those found, their landmark errors)."""
    wanted, overlaps, errors = 0, [], []
    for plain, mine in zip(theirs, ours, strict=True):
        boxes = np.array([face.box for face in mine]).reshape(-1, 4)
        for face in plain:
            x, y, width, height = face["box"]
            if width <= 40 or face["confidence"] <= 0.97:
                continue
            wanted += 1
            overlap = iou(np.array([x, y, x + width, y + height]), boxes)
            if len(boxes) and overlap.max() >= 0.5:
                points = np.array([face["keypoints"][name] for name in KEYPOINTS])
                apart = np.linalg.norm(mine[overlap.argmax()].landmarks - points, axis=1)
                overlaps.append(float(overlap.max()))
                errors.append(float(apart.mean() / np.linalg.norm(points[0] - points[1])))
    return wanted, overlaps, errors


def our_faces(detector: MtcnnDetector, path: Path) -> list[list]:
    """Faces by frame, in px of the source."""
    frames = decode(path)
    small = [shrink(frame, CONFIG.detect_side) for frame in frames]
    scale = frames[0].shape[1] / small[0].shape[1]
    cuts = np.cumsum([0, *(len(clip) for clip in sampled(path))])
    clips = [small[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]
    found = [faces for clip in detect_through(detector, clips) for faces in clip]
    for faces in found:
        for face in faces:
            face.box[:] *= scale
            face.landmarks[:] *= scale
    return found


def measure_plain(paths: list[Path]) -> list[tuple[float, list[list[dict]]]]:
    from mtcnn import MTCNN

    detector = MTCNN()
    detector.detect_faces(next(plain_frames(paths[0])))  # builds its graph
    results = []
    for path in paths:
        start = time.perf_counter()
        faces = [detector.detect_faces(frame) for frame in plain_frames(path)]
        results.append((time.perf_counter() - start, faces))
    return results


_worker: FaceExtractor


def _start_worker(warm_up: Path) -> None:
    global _worker
    compute_reproducibly()
    _worker = FaceExtractor(CONFIG, threads=1)
    _worker.extract(str(warm_up))


def _work(job: tuple[Path, str]) -> None:
    whole(_worker, *job)


def two_processes(paths: list[Path], folder: str, runs: int) -> float:
    """Seconds for all videos by two processes with one thread each, once they are warm.

    paths: longest first, so that neither process waits long for the other at the end.
    """
    with multiprocessing.get_context("spawn").Pool(2, _start_worker, (paths[-1],)) as pool:
        jobs = [(path, folder) for path in paths]
        work = lambda: list(pool.imap_unordered(_work, jobs))  # noqa: E731
        work()  # both are up
        return statistics.median(seconds(work) for _ in range(runs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--cache", type=Path, help="where the larger videos are kept")
    parser.add_argument("--runs", type=int, default=3, help="the median counts (%(default)s)")
    parser.add_argument("--skip-plain", action="store_true", help="leave out the slow part")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        groups = at_published_sizes(args.videos, args.cache or Path(folder))
        run(groups, folder, args.runs, args.skip_plain)


def run(groups: dict[str, list[Path]], folder: str, runs: int, skip_plain: bool) -> None:
    paths = [path for group in groups.values() for path in group]
    extractor = FaceExtractor(CONFIG)
    for path in paths:  # builds the graphs and fills the file cache
        whole(extractor, path, folder)
    times: dict[str, dict[Path, list[float]]] = {"decode": {}, "whole": {}}
    for _ in range(runs):
        for path in paths:
            for name, work in (
                ("decode", lambda: decode(path)),  # noqa: B023
                ("whole", lambda: whole(extractor, path, folder)),  # noqa: B023
            ):
                times[name].setdefault(path, []).append(seconds(work))
    median = {name: {p: statistics.median(t) for p, t in by.items()} for name, by in times.items()}
    plain = None if skip_plain else dict(zip(paths, measure_plain(paths), strict=True))
    print(f"{'videos':8}{'n':>4}{'decode s':>10}{'whole s':>10}{'ratio':>8}{'plain/whole':>13}")
    for name, group in {**groups, "all": paths}.items():
        decoded, done = (sum(median[side][p] for p in group) for side in ("decode", "whole"))
        row = f"{name:8}{len(group):4}{decoded / len(group):10.3f}{done / len(group):10.3f}"
        row += f"{done / decoded:8.2f}"
        print(row + (f"{sum(plain[p][0] for p in group) / done:13.1f}" if plain else ""))
    one = sum(median["whole"].values())
    longest_first = sorted(paths, key=lambda path: -median["whole"][path])
    two = two_processes(longest_first, folder, runs)
    print(f"two processes of one thread against one of two: {one / two:.2f} times the rate")
    if plain:
        detector = MtcnnDetector(CONFIG.min_face)
        found = [compare(plain[p][1], our_faces(detector, p)) for p in paths]
        wanted = sum(n for n, _, _ in found)
        overlaps = [x for _, part, _ in found for x in part]
        errors = [x for _, _, part in found for x in part]
        print(
            f"{wanted} faces of the package over 40 px with score over 0.97: "
            f"recall {len(overlaps) / wanted:.3f}, mean IoU {np.mean(overlaps):.3f}, "
            f"median landmark error {np.median(errors):.4f} of the eyes' distance"
        )


if __name__ == "__main__":
    main()
