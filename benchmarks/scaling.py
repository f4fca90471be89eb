"""Time and memory of preprocessing by number of videos and of workers.

python benchmarks/scaling.py [--times 1 2 4 8 16] [--workers 1 2] [--plot docs/scaling.png]

The generated set, so many times over, by FnApiRunner with worker processes of one thread each.
Seconds per video are those from the first finished video to the last, when all workers are up; the
wall time has the start of the processes too. MB: the largest worker at its largest. The faster of
--runs counts: what else a machine does can only slow a run down.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from rich.console import Console
from rich.table import Table

from pipelines.beam.output import PARTS


def measure(times: list[int], workers: list[int], identities: int, runs: int) -> list[tuple]:
    """(times, workers, videos, wall s, s per video, MB) for each."""
    from pipelines.sample.generate import generate

    best: dict[tuple, tuple] = {}
    with tempfile.TemporaryDirectory() as folder:
        videos = sorted(generate(Path(folder, "set"), identities).rglob("*.mp4"))
        for run, n, count in itertools.product(range(runs), times, workers):
            manifest = Path(folder, f"{n}.csv")
            manifest.write_text(_manifest(videos, n))
            found = _run(manifest, Path(folder, f"{run}-{n}-{count}"), count)
            print(n, count, *found, file=sys.stderr)
            row = (n, count, len(videos) * n)
            best[row] = min(best.get(row, found), found, key=lambda row_times: row_times[1])
    return [(*row, *found) for row, found in sorted(best.items())]


def _manifest(videos: list[Path], times: int) -> str:
    """Each video `times` over, under another id."""
    lines = ["uri,label,id"]
    for i in range(times):
        for video in videos:
            label = "real" if "original" in str(video) else "fake"
            lines.append(f"{video},{label},{i}/{video.parent.parent.parent.name}/{video.stem}")
    return "\n".join(lines)


def _run(manifest: Path, out: Path, workers: int) -> tuple[float, float, float]:
    """(seconds in all, seconds per video between the first and the last, MB of a worker)."""
    flags = ["@direct"] if workers == 1 else ["@multiprocess", f"--direct_num_workers={workers}"]
    argv = ["preprocess", "--input", str(manifest), "--output", str(out), "--threads", "1", "--"]
    started = time.perf_counter()
    job = subprocess.Popen(
        [sys.executable, "-m", "dfdetect", *argv, *flags],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    ends: dict[str, float] = {}
    largest = 0.0
    while job.poll() is None:
        largest = max([largest, *map(_peak_mb, _processes(job.pid, workers))])
        with contextlib.suppress(FileNotFoundError):
            for part in (out / PARTS).glob("*.tfrecord"):
                ends.setdefault(part.name, part.stat().st_mtime)
        time.sleep(0.1)
    seconds = time.perf_counter() - started
    if job.returncode:
        raise RuntimeError(f"the job with {manifest} and {workers} workers failed")
    last, first = max(ends.values()), min(ends.values())
    return seconds, (last - first) / (len(ends) - 1), largest


def _processes(launcher: int, workers: int) -> list[int]:
    """The launcher where it works itself, else all that it started."""
    if workers == 1:
        return [launcher]
    found: list[int] = []
    waiting = [launcher]
    while waiting:
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{waiting.pop()}/task").iterdir():
                children = [int(pid) for pid in (thread / "children").read_text().split()]
                found += children
                waiting += children
    return found


def _peak_mb(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1e3
    return 0.0


def _show(rows: list[tuple]) -> None:
    table = Table(box=None)
    for name in ("times", "workers", "videos", "wall s", "s/video", "to 2x", "speed-up", "MB"):
        table.add_column(name, justify="right")
    pace = {(n, workers): s for n, workers, _, _, s, _ in rows}
    for n, workers, videos, wall, per_video, peak in rows:
        relative = per_video / pace[2, workers] if (2, workers) in pace else float("nan")
        faster = pace[n, 1] / per_video if (n, 1) in pace else float("nan")
        cells = (f"{wall:.1f}", f"{per_video:.4f}", f"{relative:.2f}", f"{faster:.2f}")
        table.add_row(str(n), str(workers), str(videos), *cells, f"{peak:.0f}")
    Console(width=100).print(table)


def _plot(rows: list[tuple], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for count in sorted({row[1] for row in rows}):
        mine = [row for row in rows if row[1] == count]
        label = f"{count} worker" + "s" * (count > 1)
        videos = [row[2] for row in mine]
        left.plot(videos, np.array([row[4] for row in mine]) * 1000, "o-", label=label)
        right.plot(videos, np.array([row[5] for row in mine]), "o-", label=label)
    for axes, title in ((left, "ms per video"), (right, "largest worker, MB")):
        top = 1.15 * max(line.get_ydata().max() for line in axes.lines)
        axes.set(title=title, xlabel="videos", xscale="log", ylim=(0, top))
        axes.set_xticks(sorted({row[2] for row in rows}), sorted({row[2] for row in rows}))
        axes.minorticks_off()
        axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--identities", type=int, default=24, help="people, of three videos each")
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--plot", type=Path, help="where to draw the curves")
    args = parser.parse_args()
    rows = measure(args.times, args.workers, args.identities, args.runs)
    _show(rows)
    if args.plot:
        _plot(rows, args.plot)


if __name__ == "__main__":
    main()
