"""Wheel and source package, in environments that have nothing but what a lock file names."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import pytest

from dfdetect.commands import COMMANDS, EXTRAS
from tests.fixtures import ROOT
from tests.test_package import packaged, run, tracked

pytestmark = [pytest.mark.install, pytest.mark.timeout(1800)]
LOCKS = ROOT / "requirements"
DOCKERFILE = ROOT / "serving" / "deploy" / "Dockerfile"


@pytest.fixture(scope="module")
def distributions(tmp_path_factory) -> Path:
    """The folder of the wheel and the source package, made from a copy of the project."""
    copy, out = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("dist")
    for name in tracked():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy / name)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, copy, cwd=copy)
    return out


@pytest.fixture(scope="module")
def wheel(distributions) -> Path:
    (made,) = distributions.glob("*.whl")
    return made


def environment(folder: Path, python: str, *packages: object) -> Path:
    """A new environment's bin/, with packages that pip is given, and no others."""
    run(python, "-m", "venv", folder, cwd=folder.parent)
    run(folder / "bin" / "pip", "install", "--no-deps", "--no-compile", *packages, cwd=folder)
    return folder / "bin"


@pytest.fixture(scope="module")
def bare(wheel, tmp_path_factory) -> Path:
    """As after `pip install .`, in the versions of the lock file."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    return environment(folder, sys.executable, "--requirement", LOCKS / "run.lock", wheel)


@pytest.fixture(scope="module")
def served(bare, tmp_path_factory) -> Path:
    """As `bare`, with the extras "serving" and "web"."""
    folder = tmp_path_factory.mktemp("served")
    have = set((LOCKS / "run.lock").read_text().splitlines())
    more = [x for x in (LOCKS / "serve.lock").read_text().splitlines() if x not in have]
    (folder / "more.txt").write_text("\n".join(more))
    made = environment(folder / "venv", sys.executable, "--requirement", folder / "more.txt")
    (packages,) = made.parent.glob("lib/python*/site-packages")
    (others,) = bare.parent.glob("lib/python*/site-packages")
    (packages / "bare.pth").write_text(str(others))
    return made


def ask(argv: list[object], cwd: Path) -> subprocess.CompletedProcess:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run([*map(str, argv)], cwd=cwd, env=env, capture_output=True, text=True)


def assert_predicts(python: Path, model: Path, video: Path, cwd: Path) -> None:
    done = ask([python, "-m", "dfdetect", "predict", "--json", "--model", model, video], cwd)
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)
    assert result["verdict"] == "DEMO" and 0 <= result["probability_fake"] <= 1


def test_wheel_and_source_package_are_as_the_package_index_takes_them(distributions, tmp_path):
    assert len(list(distributions.iterdir())) == 2
    run(sys.executable, "-m", "twine", "check", "--strict", *distributions.iterdir(), cwd=tmp_path)


def test_the_wheel_has_every_module_and_every_data_file_and_nothing_else(wheel):
    inside = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    assert sorted(inside) == sorted(packaged())


def test_predict_works_where_nothing_else_is_installed(bare, exported, face_video, tmp_path):
    assert_predicts(bare / "python", exported, face_video, tmp_path)


def test_datasets_are_listed_where_nothing_else_is_installed(bare, sample, tmp_path):
    done = ask([bare / "dfdetect", "datasets", sample, "--json"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)


@pytest.mark.parametrize("name", sorted(EXTRAS))
def test_a_command_says_which_extra_it_needs(name, bare, tmp_path):
    done = ask([bare / "dfdetect", name, "--no-such-flag"], tmp_path)
    assert done.returncode == 2
    assert f"pip install 'dfdetect[{','.join(EXTRAS[name])}]'" in done.stderr
    assert done.stderr.count("\n") == 1 and "not installed" in done.stderr


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_is_given_or_says_what_it_needs(name, bare, tmp_path):
    done = ask([bare / "dfdetect", name, "--help"], tmp_path)
    if done.returncode == 0:
        assert f"usage: dfdetect {name}" in done.stdout
    else:
        assert done.returncode == 2 and "dfdetect[" in done.stderr, done.stderr


def test_the_web_application_starts_with_its_extra_alone(served, exported, face_video, tmp_path):
    command = [served / "python", "-m", "dfdetect", "web", "--port", "0", "--model", exported]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with (
        open(tmp_path / "log", "w") as log,
        subprocess.Popen(
            list(map(str, command)),
            cwd=tmp_path,
            env=env,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as server,
    ):
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            assert url, (tmp_path / "log").read_text()
            transport = httpx.HTTPTransport(retries=10)  # it says where, loads the model, listens
            with httpx.Client(base_url=url, transport=transport, timeout=60) as client:
                page = client.get("/").raise_for_status().text
                for asset in re.findall(r'(?:src|href)="(/static/[^"]+)"', page):
                    assert client.get(asset).raise_for_status().content
                with open(face_video, "rb") as file:
                    answer = client.post("/api/v1/jobs", files={"video": ("face.mp4", file)})
                assert answer.status_code == 202, answer.text
        finally:
            server.terminate()
    assert server.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_predict_works_with_other_versions_of_python(
    version, wheel, exported, face_video, tmp_path
):
    # pyenv's commands only work for the version that is chosen.
    command = f"PYENV_VERSION={version} python{version} -c 'import sys; print(sys.executable)'"
    found = ask(["bash", "-c", command], tmp_path)
    if found.returncode != 0:
        pytest.skip(f"no Python {version} here")
    python = found.stdout.strip()
    made = environment(tmp_path / "venv", python, "--requirement", LOCKS / "run.lock", wheel)
    assert_predicts(made / "python", exported, face_video, tmp_path)


@pytest.mark.slow
def test_the_steps_of_the_image_work_in_a_folder_of_this_machine(exported, face_video, tmp_path):
    """Its first stage, by pip here; what the second one copies predicts."""
    text = DOCKERFILE.read_text().replace("\\\n", " ").split("\nFROM ")[1]
    image = tmp_path / "dfdetect"
    source = tmp_path / "src"
    for name, arguments in re.findall(r"^(COPY|RUN) (.+)$", text, re.M):
        if name == "COPY":
            *files, to = arguments.split()
            for file in files:
                place = source / to / ("" if file.endswith("/") else file)
                place.parent.mkdir(parents=True, exist_ok=True)
                copy = shutil.copytree if (ROOT / file).is_dir() else shutil.copyfile
                copy(ROOT / file, place)
        else:
            command = arguments.replace("/opt/dfdetect", str(image))
            command = command.replace("python -m venv", f"{sys.executable} -m venv")
            run("bash", "-euo", "pipefail", "-c", command, cwd=source)
    assert not (image / "bin" / "pip").exists()
    assert_predicts(image / "bin" / "python", exported, face_video, tmp_path)
