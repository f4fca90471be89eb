"""Every command of the README and of docs/, run in the order of the pages."""

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from beam_options import expand
from dfdetect.__main__ import main
from dfdetect.commands import COMMANDS
from serving.client import RestClient
from tests.fixtures import ROOT
from tests.fixtures.signed_videos import Signer

# docs/serving.md is run by test_serving_page.py: its commands need servers and rolled-out versions.
PAGES = [
    ROOT / "README.md",
    *sorted(page for page in (ROOT / "docs").glob("*.md") if page.name != "serving.md"),
]

# Engines that need an account, or what `make test-engines` builds.
ELSEWHERE = {"@dataflow", "@dataflow_gpu", "@flink", "@prism", "@spark"}
# Added so that the defaults, meant for a data set of thousands, end within seconds.
QUICKER = {
    "sample-data": ["--identities", "6", "--frames", "4"],
    "make-blends": ["--seconds", "0.4"],
    "preprocess": ["--crop-size", "64", "--frames-per-clip", "4"],
    "import-weights": ["--backbone", "resnext_tiny"],
    "train": ["--backbone", "resnext_tiny", "--temporal", "mean", "--epochs", "2", "--no-augment"],
}


def model_is_ready(server: subprocess.Popen) -> None:
    with RestClient("http://127.0.0.1:8501") as client:
        client.wait_ready(60)


def page_is_ready(server: subprocess.Popen) -> None:
    until = time.monotonic() + 60
    while True:
        assert server.poll() is None and time.monotonic() < until
        with contextlib.suppress(httpx.TransportError):
            assert "dfdetect" in httpx.get("http://127.0.0.1:8080/").raise_for_status().text
            return
        time.sleep(0.1)


# Commands that go on until they are ended, and when they are ready.
READY = {"serve": model_is_ready, "web": page_is_ready}


def end(server: subprocess.Popen) -> None:
    server.terminate()
    assert server.wait(20) == 0


def commands() -> list[list[str]]:
    """The lines that start with dfdetect, in shell blocks and in running text, each once."""
    text = "\n".join(page.read_text() for page in PAGES)
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.S))
    inline = re.findall(r"`(dfdetect sample-data [^`]+)`", text)
    lines = inline + [line for line in blocks.splitlines() if line.startswith("dfdetect ")]
    words = dict.fromkeys(tuple(shlex.split(line, comments=True)[1:]) for line in lines)
    return [list(argv) for argv in words]


def write_pretrained(path: Path) -> None:
    """Random weights of the small network that stands for the large one, in PyTorch's naming."""
    import numpy as np
    from safetensors.numpy import save_file

    from trainer.model.pretrained import torch_name_map
    from trainer.model.resnext import build_resnext

    slots = torch_name_map(build_resnext("resnext_tiny", (32, 32, 3)))
    save_file({name: np.ones(slot.shape, np.float32) for name, slot in slots.items()}, path)


def write_pictures(root: Path, videos: Path) -> None:
    """A frame of each video of the sample set."""
    from PIL import Image

    from pipelines.clip import LABEL_NAMES, REAL
    from pipelines.datasets import find_videos
    from pipelines.video.decode import read_frames
    from pipelines.video.probe import probe

    (dataset,) = find_videos(videos)
    for video in dataset.videos:
        (image,) = read_frames(probe(video.uri), [0])
        folder = root / LABEL_NAMES[video.label]
        folder.mkdir(parents=True, exist_ok=True)
        method = "" if video.label == REAL else f"_{video.method}"
        Image.fromarray(image).save(folder / f"{Path(video.uri).stem}{method}.jpg")


def test_the_pages_show_each_command_at_least_once():
    shown = {argv[0] for argv in commands()}
    assert shown == set(COMMANDS) - {"demo"}


@pytest.mark.pages
def test_all_commands_of_the_pages_work_one_after_the_other(tmp_path, sample, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(sample, "DATASET")
    write_pictures(Path("PICTURES"), sample)
    shutil.copy(next(sample.rglob("*.mp4")), "video.mp4")
    write_pretrained(Path("resnext50_32x4d.safetensors"))
    Path("trust.pem").write_text(Signer("Example News").root)
    servers: dict[str, subprocess.Popen] = {}
    try:
        for argv in commands():
            if ELSEWHERE & set(argv):  # their flags at least must be found
                assert any(
                    flag.startswith("--runner=") for flag in expand(argv[argv.index("--") :])
                )
                continue
            name, *rest = argv
            cut = rest.index("--") if "--" in rest else len(rest)
            argv = [name, *rest[:cut], *QUICKER.get(name, []), *rest[cut:]]
            if name in READY and rest[:1] != ["keys"]:
                if name in servers:  # with other flags, on the same port
                    end(servers[name])
                server = subprocess.Popen(
                    [sys.executable, "-m", "dfdetect", *argv],
                    env={**os.environ, "PYTHONPATH": str(ROOT)},
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                servers[name] = server
                READY[name](server)
                continue
            assert main(argv) == 0, argv
    finally:
        for server in servers.values():
            end(server)
    assert Path("runs/evaluation/report.html").is_file()
    assert Path("runs/sheet.png").is_file()
