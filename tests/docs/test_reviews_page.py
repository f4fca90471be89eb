"""The loop of docs/reviews.md, whole: a review, what is trained of it, and its way to who asks."""

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from dfdetect.__main__ import main
from dfdetect.commands import COMMANDS
from pipelines.shards.open import ClipDataset
from tests.docs.test_serving_page import free_port, wait_for
from tests.fixtures import ROOT

PAGE = (ROOT / "docs" / "reviews.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.S)
SMALL = {  # of the small set and the tiny model, where the page has what was made by the defaults
    "preprocess": "--frames-per-clip 4 --crop-size 48 --min-face 40 --shards 2",
    "train": "--epochs 1",
}
READY_S = 120


@pytest.fixture
def place(tmp_path, monkeypatch, sample, sample_shards, trained_run, exported):
    """A data set, a run and its model at work; and a video of people who are new to them."""
    from pipelines.sample.generate import generate

    shutil.copytree(sample_shards, tmp_path / "runs" / "data")
    shutil.copytree(trained_run, tmp_path / "runs" / "train")
    shutil.copytree(exported, tmp_path / "runs" / "model" / "dfdetect" / "1")
    generate(tmp_path / "new", identities=6, seed=7, frames=16)
    fakes = sorted((tmp_path / "new").glob("manipulated_sequences/*/*/videos/*.mp4"))
    shutil.copy(fakes[0], tmp_path / "video.mp4")
    config = (ROOT / "serving" / "deploy" / "models.config").read_text()
    (tmp_path / "models.config").write_text(config.replace("/models/", f"{tmp_path}/runs/model/"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@contextlib.contextmanager
def serving(argv, address, more=()):
    """One of our servers, from when it answers at an address."""
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    server = subprocess.Popen([sys.executable, "-m", "dfdetect", *argv, *more], env=env)
    try:
        end = time.monotonic() + READY_S
        while True:
            assert server.poll() is None and time.monotonic() < end, address
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(address, trust_env=False).status_code == 200:
                    break
            time.sleep(0.2)
        yield
    finally:
        server.terminate()
        code = server.wait(60)
    assert code == 0


def shell(text):
    command = ["bash", "-euo", "pipefail", "-c", text]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def words(text):
    """The flags and arguments of a command of ours."""
    return shlex.split(text.replace("\\\n", " "))[1:]


def run(text):
    """The lines of a block; our own commands run in this process."""
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("dfdetect "):
            name, *rest = words(line)
            assert main([name, *rest, *shlex.split(SMALL.get(name, ""))]) == 0, line
        else:
            shell(line)


def answer_of(client, job):
    """The report of a job of the web application, once it is done."""
    end = time.monotonic() + READY_S
    while client.get(job["links"]["self"]).json()["state"] != "done":
        assert time.monotonic() < end
        time.sleep(0.2)
    return client.get(job["links"]["report_json"]).json()


@pytest.mark.pages
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_review_goes_all_the_way_to_the_model_that_everybody_gets(place, sample):
    ports = {"8501": str(free_port()), "8500": str(free_port()), "8080": str(free_port())}
    url, page = (f"http://127.0.0.1:{ports[port]}" for port in ("8501", "8080"))
    blocks = [re.sub("|".join(ports), lambda found: ports[found[0]], text) for text in BLOCKS]
    serve, web, review, *rest = blocks
    on_port = ["--port", ports["8080"], "--folder", str(place / "uploads")]
    with (
        serving(words(serve), f"{url}/v1/models/dfdetect/labels/stable/metadata"),
        serving([*words(web), *on_port], f"{page}/readyz"),
        httpx.Client(base_url=page, trust_env=False, timeout=60) as client,
    ):
        said = shell(review)
        said = json.loads(said[said.rindex('{"label"') :])
        assert (said["label"], said["kept"]) == ("fake", True)
        assert said["identities"] == ["anna", "bob"]
        for text in rest:
            run(text)
            if text.startswith("sed"):
                labels = re.findall(r'key: "(\w+)" value: (\d)', Path("models.config").read_text())
                wait_for(url, dict(labels))
        assert dict(labels) == {"stable": "2", "canary": "2"}
        job = client.post("/api/v1/jobs", files={"video": Path("video.mp4").read_bytes()}).json()
        assert answer_of(client, job)["model"]["version"] == "2"
    info = ClipDataset.open("runs/data").info
    datasets = Counter()
    for split in info["splits"].values():
        datasets += Counter(split["datasets"])
    before = sum(1 for _ in sample.rglob("*.mp4"))
    assert datasets == {"faceforensics": before, "review": 1}
    stages = json.loads(Path("runs/data/job/metrics.json").read_text())["stages"]
    assert stages["decode"]["count"] == 1  # the review's: what was there is not decoded again
    assert "reviewed" in Path("runs/reviewed-comparison/comparison.md").read_text()


def test_every_command_that_the_page_names_is_there():
    named = set(re.findall(r"(?:^|`)dfdetect ([a-z][\w-]*)", PAGE, re.M))
    assert named <= set(COMMANDS)
