"""Core-seconds of preprocessing a video, and from them hours and dollars on Dataflow, on paper.

python benchmarks/cost.py VIDEO ... [--cache FOLDER] [--videos 1000 100000 10000000] [--vcpus 1000]

Measures process time and sizes from file to record, in one process of one thread, on the videos
given and on the same people at 720p and 1080p, made as FaceForensics++ publishes its videos; then
what the launcher does before a job starts, for 100,000 videos; then calculates hours, dollars and
gigabytes.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from rich.console import Console
from rich.table import Table
from videos import at_published_sizes

from pipelines import datasets
from pipelines.beam.plan import make_plan, write_plan
from pipelines.clip import Video
from pipelines.config import PreprocessConfig
from pipelines.faces.extract import FaceExtractor
from pipelines.shards.schema import serialize
from pipelines.splits.assign import split_videos
from pipelines.splits.audit import audit
from pipelines.tensorflow_settings import compute_reproducibly

# Dollars, batch workers in us-central1: list prices of https://cloud.google.com/dataflow/pricing
# and https://cloud.google.com/storage/pricing, which change; read them before you rely on this.
VCPU_HOUR, GB_HOUR, DISK_GB_HOUR, STORED_GB_MONTH = 0.056, 0.003557, 0.000054, 0.020
MEMORY_GB, DISK_GB = 4, 12.5  # for a vCPU of an n2-standard-4 with a disk of 50 GB
START_UP_H = 5 / 60  # of a worker, with the image to pull: an assumption


def measure(paths: list[Path]) -> tuple[float, float, float]:
    """(core-seconds, bytes read, bytes of records) per video."""
    config = PreprocessConfig()
    extractor = FaceExtractor(config, threads=1)
    for path in paths:  # builds the graphs and fills the file cache
        extractor.extract(str(path))
    started, size = _cpu_seconds(), 0
    for path in paths:
        video = Video(path.stem, str(path), 0, "benchmark", split="train")
        for clip in extractor.clips(str(path)):
            size += len(serialize(video, clip, config.fingerprint))
    spent = _cpu_seconds() - started
    n = len(paths)
    return spent / n, sum(path.stat().st_size for path in paths) / n, size / n


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def launch(videos: int) -> tuple[float, float, float]:
    """(seconds, MB of memory, MB of plan) to read a manifest, deal splits and write the plan."""
    before = _peak_mb()
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder, "videos.csv")
        with manifest.open("w") as rows:
            rows.write("uri,label,id,dataset,method,identities,source\n")
            for i in range(videos):
                person, method = divmod(i, 5)  # a real video and four manipulations of each
                name = f"{person:08d}"
                uri = f"gs://bucket/faceforensics/method{method}/c23/videos/{name}.mp4"
                kind = f"fake,{i},set,method{method},{name};{person ^ 1:08d}"
                real = f"real,{i},set,original,{name}"
                rows.write(f"{uri},{kind if method else real},{person * 5}\n")
        started = time.perf_counter()
        (found,) = datasets.find_videos(manifest)
        placed = split_videos(found, (0.7, 0.15, 0.15), 0, "identity", {})
        audit(placed.videos, [])
        datasets.write_manifest(placed.videos)
        plan = Path(folder, "plan.jsonl")
        write_plan(str(plan), make_plan(placed.videos, PreprocessConfig(), folder))
        seconds = time.perf_counter() - started
        return seconds, _peak_mb() - before, plan.stat().st_size / 1e6


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def estimate(core_seconds: float, videos: int, vcpus: int) -> tuple[float, float, float]:
    """(hours, vCPU-hours, dollars) where all vCPUs are busy but while they start."""
    hours = videos * core_seconds / 3600 / vcpus + START_UP_H
    an_hour = VCPU_HOUR + MEMORY_GB * GB_HOUR + DISK_GB * DISK_GB_HOUR
    return hours, hours * vcpus, hours * vcpus * an_hour


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="+", type=Path, metavar="VIDEO")
    parser.add_argument("--cache", type=Path, help="where the larger videos are kept")
    parser.add_argument("--videos", type=int, nargs="+", default=[1000, 100_000, 10_000_000])
    parser.add_argument("--vcpus", type=int, nargs="+", default=[16, 400, 4000], help="for each")
    args = parser.parse_args()
    seconds, memory, plan = launch(100_000)  # first: later the memory has been larger already
    print(f"launcher, 100,000 videos: {seconds:.1f} s, {memory:.0f} MB, plan of {plan:.0f} MB")
    compute_reproducibly()
    with tempfile.TemporaryDirectory() as folder:
        groups = at_published_sizes(args.clips, args.cache or Path(folder))
        measured = {name: measure(paths) for name, paths in groups.items()}
    report(measured, args.videos, args.vcpus)


def report(
    measured: dict[str, tuple[float, float, float]], videos: list[int], vcpus: list[int]
) -> None:
    each, paper = Table(box=None), Table(box=None)
    for heading in ("videos", "core-s/video", "MB read", "MB of records"):
        each.add_column(heading, justify="right")
    for heading in ("of", "videos", "vCPUs", "hours", "vCPU-hours", "$", "GB read", "GB of shards"):
        paper.add_column(heading, justify="right")
    for name, (seconds, read, written) in measured.items():
        each.add_row(name, f"{seconds:.3f}", f"{read / 1e6:.2f}", f"{written / 1e6:.2f}")
        for number, machines in zip(videos, vcpus, strict=True):
            hours, paid, dollars = estimate(seconds, number, machines)
            sizes = (f"{number * read / 1e9:,.0f}", f"{number * written / 1e9:,.0f}")
            cells = (f"{hours:.2f}", f"{paid:,.0f}", f"{dollars:,.2f}")
            paper.add_row(name, f"{number:,}", f"{machines:,}", *cells, *sizes)
    console = Console(width=100)
    console.print(each)
    console.print(paper)
    console.print(f"a month of storage: ${STORED_GB_MONTH:.3f} a GB")


if __name__ == "__main__":
    main()
