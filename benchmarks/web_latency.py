"""Latency of a video through the web application against one warm process.

python benchmarks/web_latency.py VIDEO --model DIR [--cache FOLDER] [--rounds 5]

Makes 10 s of 720p of the video, and measures how long `dfdetect web` takes from its start until it
is ready; and then in turn: `predict_video` with the model and the face detector in one warm
process; and an upload to the warm server until all is there that its page shows, asked for as the
page does. That also holds the heat maps, which `predict_video` does not make.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from turns import answer, in_turn, ratio
from web_server import JOBS, wait_for_end, web_server


def bare(video: str, model_base: str) -> None:
    """A program that analyses the video in its own process, once per line of input."""
    sys.path.remove(str(Path(__file__).parent))  # its serving.py comes before the package else
    from pipelines.faces.extract import FaceExtractor
    from pipelines.model_contract import model_folder
    from serving.client import load_model
    from serving.predict.predict import predict_video

    model = load_model(model_folder(Path(model_base), "dfdetect"))
    extractor = FaceExtractor(model.config().preprocess)

    def measure() -> float:
        started = time.perf_counter()
        predict_video(video, extractor, model)
        return time.perf_counter() - started

    answer(measure)


def uploading(video: str, url: str) -> None:
    """A program that sends the video to a server and waits for what its page shows."""
    import httpx

    content = Path(video).read_bytes()
    with httpx.Client(base_url=url, timeout=600, trust_env=False) as client:

        def measure() -> float:
            started = time.perf_counter()
            sent = client.post(JOBS, files={"video": ("a.mp4", content, "video/mp4")})
            sent.raise_for_status()
            job = sent.json()
            assert wait_for_end(client, job) == "done"
            client.get(f"{job['links']['page']}/result").raise_for_status()
            return time.perf_counter() - started

        answer(measure)


def main() -> None:
    if sys.argv[1] in ("bare", "uploading"):
        {"bare": bare, "uploading": uploading}[sys.argv[1]](*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    from videos import like_faceforensics

    args.cache.mkdir(parents=True, exist_ok=True)
    video = str(like_faceforensics(args.video, args.cache, 1280, 720))
    program = [sys.executable, __file__]
    started = time.monotonic()
    with web_server(args.model) as (client, _, _):
        Console().print(f"ready after {time.monotonic() - started:.1f} s", highlight=False)
        commands: dict[str, tuple[list[str], dict[str, str]]] = {
            "web": ([*program, "uploading", video, str(client.base_url)], {}),
            "bare": ([*program, "bare", video, args.model], {}),
        }
        samples = in_turn(commands, args.rounds)
    for name, seconds in samples.items():
        Console().print(name, [round(s, 2) for s in seconds])
    Console().print(f"web / bare: {ratio(samples['web'], samples['bare'])}")


if __name__ == "__main__":
    main()
