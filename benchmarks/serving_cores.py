"""Core-seconds of a clip through the model server, and what they are spent on.

python benchmarks/serving_cores.py [--model DIR] [--rounds 3] [--each 2]

Callers send requests of 8 clips to `dfdetect serve`, a process of its own with the batching of
serving/deploy, by the client of `predict` and the web application; in turns over REST, over gRPC,
and to the bare model in this process. What the server takes beyond the bare model is protocol: HTTP
or HTTP/2, JSON and base64 or protocol buffers, batches. Process time counts cores, and so is much
the same beside other work. DIR is what `dfdetect export` wrote, by default a ResNeXt-50 with an
LSTM of random weights, 16 frames of 224 px.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from benchmarks.served import serving  # noqa: E402
from benchmarks.serving import export_untrained, make_clip  # noqa: E402
from benchmarks.turns import ratio  # noqa: E402
from serving.client import BATCH, InProcessModel, Model, connect_all  # noqa: E402

CALLERS = 2
FLAGS = (
    *("--rest-timeout-ms", "600000"),
    *("--batching-parameters-file", "serving/deploy/batching.pbtxt"),
)


def core_s(pid: int) -> float:
    """Core-seconds that a process has taken so far (proc_pid_stat(5): utime, stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(model: Model, clips: list[list[bytes]], each: int, server: int) -> tuple[float, float]:
    """Core-seconds of a clip in the server, and in this process."""

    def caller() -> None:
        for _ in range(each):
            model.predict(clips)

    before = core_s(server), time.process_time()
    with ThreadPoolExecutor(CALLERS) as pool:
        for one in [pool.submit(caller) for _ in range(CALLERS)]:
            one.result()
    number = CALLERS * each * len(clips)
    return (core_s(server) - before[0]) / number, (time.process_time() - before[1]) / number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="a version's folder")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--each", type=int, default=2, help="requests of a caller in a round")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--side", type=int, default=224)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        version = args.model or export_untrained(Path(folder), args.frames, args.side)
        served = stack.enter_context(serving("--model-base", str(version), *FLAGS))
        models: dict[str, Model] = {"bare": InProcessModel(version)}
        for name, address in {"REST": served.rest, "gRPC": f"grpc://{served.grpc}"}.items():
            models[name] = connect_all([address], version.parent.name, timeout_s=600)
        crops = models["bare"].config().preprocess
        clips = [make_clip(crops.frames_per_clip, crops.crop_size)] * BATCH
        for model in models.values():
            model.predict(clips)  # a round that does not count
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in models}
        for _ in range(args.rounds):
            for name, model in models.items():
                spent[name].append(measure(model, clips, args.each, served.pid))
        for name in ("REST", "gRPC"):
            stack.callback(models[name].close)
    report(spent, sum(map(len, clips[0])), crops.frames_per_clip, crops.crop_size)


def report(
    spent: dict[str, list[tuple[float, float]]], clip_bytes: int, frames: int, side: int
) -> None:
    model = [here for _, here in spent["bare"]]
    print(
        f"a clip of {frames} frames of {side} px, {clip_bytes / 1e3:.0f} kB, {BATCH} in a request: "
        f"{median(model):.3f} core-seconds in the bare model"
    )
    for name in ("REST", "gRPC"):
        server, caller = ([pair[i] for pair in spent[name]] for i in (0, 1))
        print(
            f"{name}: {median(server):.3f} core-seconds in the server, {ratio(server, model)} of "
            f"the bare model, so {1 / median(server):.2f} clips/s a core; "
            f"{median(caller) * 1e3:.1f} core-ms in the caller"
        )


if __name__ == "__main__":
    main()
