"""Load test of the web application: many uploads at once, alone and while it is attacked.

python benchmarks/web_load.py VIDEO --model DIR [--uploads 50] [--queue 60] [--rounds 1]
    [--silent 9] [--half-open 500] [--cancelling 2] [--one-address] [--open-files 1024]

Starts `dfdetect web` on this machine. In each round the video is sent by as many clients as there
are uploads, each from an address of its own (of 127.0.0.0/8) without --one-address; who gets
429 sends again after Retry-After. The same then happens while benchmarks/web_attack.py keeps silent
uploads, half-open connections and clients that cancel. Prints the wait from the first byte to the
report, the latency of /healthz on new connections, and the memory of the server and its decoding
processes. Exits with 1 where an upload was not answered with a report, where a result of another
client is gone, where /healthz gave no answer, or where an upload is left on disk.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import httpx
from rich.console import Console
from web_server import JOBS, from_address, resident_bytes, wait_for_end, web_server

SAMPLE_S = 0.1
LIMIT_S = 1800.0  # for an upload to be answered with a report


@dataclasses.dataclass
class Load:
    """What was seen while the uploads were under way."""

    waits_s: list[float]
    ends: Counter[str]
    refused: int  # answers 429 or 503, each followed by another try
    health_s: list[float]
    health_failed: int

    @property
    def good(self) -> bool:
        return set(self.ends) == {"done"} and not self.health_failed

    def __str__(self) -> str:
        wait, health = statistics.median(self.waits_s), statistics.median(self.health_s)
        return (
            f"jobs {dict(self.ends)}, {self.refused} refused and sent again; wait: median "
            f"{wait:.2f} s, at most {max(self.waits_s):.2f} s; /healthz: median "
            f"{health * 1000:.0f} ms, 95 % within {_quantile(self.health_s, 0.95) * 1000:.0f} ms, "
            f"at most {max(self.health_s) * 1000:.0f} ms, {self.health_failed} of "
            f"{len(self.health_s) + self.health_failed} not answered"
        )


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


class Watch:
    """Latency of /healthz, a new connection each, and the most memory of a server."""

    def __init__(self, url: str, pid: int):
        self.health_s: list[float] = []
        self.failed = self.bytes = 0
        self._url, self._pid, self._over = httpx.URL(url), pid, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(SAMPLE_S):
            self.bytes = max(self.bytes, resident_bytes(self._pid))
            started = time.perf_counter()
            if self._is_well():
                self.health_s.append(time.perf_counter() - started)
            else:
                self.failed += 1

    def _is_well(self) -> bool:
        source = ("127.0.3.1", 0)
        connection = HTTPConnection(self._url.host, self._url.port, LIMIT_S, source_address=source)
        with contextlib.closing(connection):
            try:
                connection.request("GET", "/healthz")
                return connection.getresponse().status == 200
            except (OSError, HTTPException):
                return False

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


def load(url: str, pid: int, video: bytes, uploads: int, one_address: bool) -> tuple[Load, int]:
    """(what was seen, the most bytes of memory)."""
    watch, refused = Watch(url, pid), Counter[int]()
    together = threading.Barrier(uploads)

    def one(number: int) -> tuple[float, str]:
        source = "127.0.0.1" if one_address else f"127.0.1.{number + 1}"
        with from_address(url, source) as client:
            together.wait()
            started = time.monotonic()
            while time.monotonic() < started + LIMIT_S:
                answer = client.post(JOBS, files={"video": ("load.mp4", video, "video/mp4")})
                if answer.status_code == 202:
                    return _report(client, answer.json(), started)
                refused[answer.status_code] += 1
                time.sleep(float(answer.headers["retry-after"]))
            return LIMIT_S, "not answered"

    with ThreadPoolExecutor(uploads) as threads:
        waits, ends = zip(*threads.map(one, range(uploads)), strict=True)
    watch.stop()
    seen = Load(list(waits), Counter(ends), refused.total(), watch.health_s, watch.failed)
    return seen, watch.bytes


def _report(client: httpx.Client, job: dict, started: float) -> tuple[float, str]:
    end = wait_for_end(client, job, LIMIT_S)
    if end == "done":
        report = client.get(job["links"]["report_json"]).json()
        assert report["schema"] == "dfdetect-report/1"
    return time.monotonic() - started, end


@contextlib.contextmanager
def attack(url: str, args: argparse.Namespace) -> Iterator[None]:
    program = [sys.executable, str(Path(__file__).with_name("web_attack.py")), url, str(args.video)]
    for name in ("silent", "half_open", "cancelling"):
        program += ["--" + name.replace("_", "-"), str(getattr(args, name))]
    process = subprocess.Popen(program + ["--one-address"] * args.one_address)
    try:
        time.sleep(3)  # until all are there
        yield
    finally:
        process.kill()
        process.wait()


def uploads_left(folder: Path) -> int:
    """On disk, once the server had time to notice who has gone."""
    for _ in range(100):
        left = [path for path in folder.rglob("*") if path.is_file() and "lock" not in path.name]
        if not left:
            return 0
        time.sleep(0.5)
    return len(left)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--uploads", type=int, default=50)
    parser.add_argument("--queue", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--silent", type=int, default=9)
    parser.add_argument("--half-open", type=int, default=500)
    parser.add_argument("--cancelling", type=int, default=2)
    parser.add_argument("--one-address", action="store_true")
    parser.add_argument("--open-files", type=int, default=1024)
    args = parser.parse_args()
    console, video, good = Console(soft_wrap=True, highlight=False), args.video.read_bytes(), True
    results = 2 * args.uploads * args.rounds + 100  # room for all that are sent here
    flags = ("--queue", str(args.queue), "--results", str(results))
    with web_server(args.model, *flags, open_files=args.open_files) as (client, pid, folder):
        url = str(client.base_url)
        sent = client.post(JOBS, files={"video": ("kept.mp4", video, "video/mp4")}).json()
        assert wait_for_end(client, sent) == "done"
        console.print(f"warm: {resident_bytes(pid) / 1e6:.0f} MB")
        for number in range(1, args.rounds + 1):
            alone, _ = load(url, pid, video, args.uploads, args.one_address)
            console.print(f"round {number}, alone: {alone}")
            with attack(url, args):
                attacked, peak = load(url, pid, video, args.uploads, args.one_address)
            ratio = statistics.median(attacked.waits_s) / statistics.median(alone.waits_s)
            kept = client.get(sent["links"]["report_json"]).is_success
            left = uploads_left(folder)
            good &= alone.good and attacked.good and kept and not left
            console.print(
                f"round {number}, attacked: {attacked}\n"
                f"median wait attacked / alone: {ratio:.2f}; the earlier client's result is "
                f"{'there' if kept else 'GONE'}; {left} uploads left on disk; memory at most "
                f"{peak / 1e6:.0f} MB, now {resident_bytes(pid) / 1e6:.0f} MB"
            )
    console.print("as it should be" if good else "NOT as it should be")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
