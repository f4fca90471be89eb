"""The commands of docs/serving.md, in its order, against the local model server."""

import contextlib
import io
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import yaml

from dfdetect.__main__ import main
from dfdetect.commands import COMMANDS
from serving.client import RestClient
from tests.fixtures import ROOT

PAGE = (ROOT / "docs" / "serving.md").read_text()
BLOCKS = re.findall(r"```(sh|python)\n(.*?)```", PAGE, re.S)
SHELL = [text for language, text in BLOCKS if language == "sh"]
DOCKER = [text for text in SHELL if "docker " in text]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def place(tmp_path, monkeypatch, sample, sample_shards, exported) -> Path:
    """What the README leaves behind; the working directory."""
    for name, source in {"serving": ROOT / "serving", "runs/data": sample_shards}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(source)
    shutil.copytree(exported, tmp_path / "runs" / "model" / "dfdetect" / "1")
    (tmp_path / "videos").mkdir()
    video = sorted(sample.rglob("*.mp4"))[0]
    shutil.copy(video, tmp_path / "video.mp4")
    shutil.copy(video, tmp_path / "videos")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(language: str, text: str) -> str:
    """What a block prints. Python and our command run in this process, which is faster."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        if language == "python":
            exec(compile(text, "docs/serving.md", "exec"), {})
        elif text.startswith("dfdetect "):
            for line in text.replace("\\\n", " ").splitlines():
                assert main(shlex.split(line)[1:]) == 0, line
        else:
            command = ["bash", "-euo", "pipefail", "-c", text]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
            print(done.stdout)
    return out.getvalue()


def serve(argv: list[str], url: str) -> subprocess.Popen:
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    server = subprocess.Popen([sys.executable, "-m", "dfdetect", *argv], env=env)
    with RestClient(url, "dfdetect/labels/stable") as model:
        model.wait_ready(60)
    return server


def labels(models: Path) -> dict[str, str]:
    """Label -> version, as models.config says."""
    return dict(re.findall(r'key: "(\w+)" value: (\d+)', models.read_text()))


def wait_for(url: str, wanted: dict[str, str]) -> None:
    """Returns when the labels of the served model are these."""
    end = time.monotonic() + 60
    while True:
        addresses = {label: f"{url}/v1/models/dfdetect/labels/{label}/metadata" for label in wanted}
        answers = {k: httpx.get(v, trust_env=False).json() for k, v in addresses.items()}
        found = {k: v.get("model_spec", {}).get("version") for k, v in answers.items()}
        if found == wanted:
            return
        assert time.monotonic() < end, (wanted, answers)
        time.sleep(0.2)


@pytest.mark.pages
@pytest.mark.timeout(300)
def test_all_commands_of_the_page_work_one_after_the_other(place):
    rest, grpc = str(free_port()), str(free_port())
    url = f"http://127.0.0.1:{rest}"
    server, rolled_out, said = None, [], []
    try:
        for language, text in BLOCKS:
            if text in DOCKER:
                continue
            text = text.replace("8501", rest).replace("8500", grpc)
            if text.startswith("dfdetect serve"):
                server = serve(shlex.split(text.replace("\\\n", " "))[1:], url)
            elif text.startswith("dfdetect export"):  # the README's; a copy is made sooner
                versions = place / "runs" / "model" / "dfdetect"
                shutil.copytree(versions / "1", versions / ".2")
                (versions / ".2").rename(versions / "2")
            else:
                said.append(run(language, text))
                if server and text.startswith("sed "):
                    rolled_out.append(labels(place / "models.config"))
                    wait_for(url, rolled_out[-1])
    finally:
        if server:
            server.terminate()
            code = server.wait(30)
    assert code == 0
    assert [step["stable"] for step in rolled_out] == ["1", "1", "2", "1", "2"]
    assert [step["canary"] for step in rolled_out] == ["1", "2", "2", "2", "2"]
    assert "probability_fake" in "".join(said) and "dfdetect/1 Thresholds" in "".join(said)
    assert (place / "reports" / "video.html").is_file()
    assert (place / "verdicts.csv").read_text().count("\n") == 2


@pytest.mark.parametrize("text", SHELL)
def test_a_block_is_a_shell_script(text):
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_needs_docker_names_the_files_and_the_image_that_are_deployed():
    compose = yaml.safe_load((ROOT / "serving" / "deploy" / "compose.yaml").read_text())
    alone, together = (shlex.split(text.replace("\\\n", " ")) for text in DOCKER)
    assert alone[:2] == ["docker", "run"]
    assert alone[-1] == compose["services"]["model"]["image"]
    assert (ROOT / together[together.index("--file") + 1]).is_file()
    assert together[0].startswith("MODELS=") and "${MODELS:" in str(compose)


def test_every_command_that_the_page_names_is_there():
    named = set(re.findall(r"(?:^|`)dfdetect ([a-z][\w-]*)", PAGE, re.M))
    assert named <= set(COMMANDS)
