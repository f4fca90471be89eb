"""Load test of the web application: more uploads than it has places for.

python benchmarks/web_load.py VIDEO --model DIR [--uploads 50] [--queue 8] [--rounds 3]

Starts `dfdetect web` on this machine, and in each round sends the video from as many threads as
there are uploads at once. Checks that each is answered 202 or 429, that each accepted job ends with
a report, and that no upload is left on disk; prints the memory of the server and its decoding
process, at most and after each round. Exits with 1 where a check fails.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from rich.console import Console
from web_server import JOBS, resident_bytes, wait_for_end, web_server

SAMPLE_S = 0.1


class Peak:
    """The most memory that a process and its children held."""

    def __init__(self, pid: int):
        self.bytes = 0
        self._pid, self._over = pid, threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self._over.wait(SAMPLE_S):
            self.bytes = max(self.bytes, resident_bytes(self._pid))

    def stop(self) -> None:
        self._over.set()


def one_round(
    client: httpx.Client, video: bytes, uploads: int, folder: Path
) -> tuple[Counter[int], Counter[str], float]:
    """(answers by status, ends of accepted jobs, seconds)."""
    started = time.monotonic()
    with ThreadPoolExecutor(uploads) as threads:
        together = threading.Barrier(uploads)

        def send(_: int) -> httpx.Response:
            together.wait()
            return client.post(JOBS, files={"video": ("load.mp4", video, "video/mp4")})

        answers = list(threads.map(send, range(uploads)))
        accepted = [answer.json() for answer in answers if answer.status_code == 202]
        ends = Counter(threads.map(lambda job: wait_for_end(client, job), accepted))
    for job in accepted:
        assert client.get(job["links"]["report_json"]).json()["schema"] == "dfdetect-report/1"
    refused = [answer for answer in answers if answer.status_code == 429]
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    return Counter(answer.status_code for answer in answers), ends, time.monotonic() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--uploads", type=int, default=50)
    parser.add_argument("--queue", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    console, video = Console(), args.video.read_bytes()
    good = True
    with web_server(args.model, "--queue", str(args.queue)) as (client, pid, folder):
        peak = Peak(pid)
        before = resident_bytes(pid)
        console.print(f"warm: {before / 1e6:.0f} MB")
        for number in range(1, args.rounds + 1):
            answers, ends, took_s = one_round(client, video, args.uploads, folder)
            left = [p for p in folder.rglob("*") if p.is_file() and "lock" not in p.name]
            good &= set(answers) <= {202, 429} and set(ends) == {"done"} and not left
            console.print(
                f"round {number}: {args.uploads} uploads of {len(video) / 1e6:.1f} MB, answers "
                f"{dict(answers)}, jobs {dict(ends)}, {len(left)} files left, {took_s:.1f} s, "
                f"memory now {resident_bytes(pid) / 1e6:.0f} MB, at most {peak.bytes / 1e6:.0f} MB",
                highlight=False,
                soft_wrap=True,
            )
        peak.stop()
    console.print("as it should be" if good else "NOT as it should be")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
