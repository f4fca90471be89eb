"""What workers get: this project as a package, installed where nothing else of it is, and the
recipe of their image."""

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path, PurePosixPath

import apache_beam as beam
import pytest

from pipelines.beam.settings import PreprocessSettings
from pipelines.config import PreprocessConfig
from pipelines.preprocess import preprocess
from tests.fixtures import ROOT

LOCK = ROOT / "requirements" / "dev.lock"
DOCKERFILE = ROOT / "pipelines" / "deploy" / "Dockerfile"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = [
    name.removesuffix("*") for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
]

# Module name -> [its file or nothing, the package that it lacks or nothing].
IMPORT = """
import importlib, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = [importlib.import_module(name).__file__, ""]
    except ModuleNotFoundError as error:
        found[name] = ["", error.name]
print(json.dumps(found))
"""


def run(*argv: object, cwd: Path) -> str:
    """What a command says. It does not see this project by an environment variable."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(list(map(str, argv)), cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pip(*argv: object, cwd: Path) -> str:
    return run(sys.executable, "-m", "pip", "--disable-pip-version-check", *argv, cwd=cwd)


def tracked() -> list[str]:
    """The files of the project, also those that are new, without what was made of them."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    return [name for name in listed.splitlines() if (ROOT / name).is_file()]


def packaged() -> list[str]:
    """The files that an installed package has: code and data, but for what deploys it."""
    inside = tuple(f"{name}/" for name in PACKAGES)
    return [name for name in tracked() if name.startswith(inside) and "/deploy/" not in name]


def modules() -> list[str]:
    paths = [PurePosixPath(name).with_suffix("") for name in packaged() if name.endswith(".py")]
    return [".".join(path.parts).removesuffix(".__init__") for path in paths]


@pytest.fixture(scope="module")
def source_package(tmp_path_factory) -> Path:
    """Made in a copy of the project as Beam makes it for --setup_file."""
    copy, out = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("dist")
    for name in tracked():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy / name)
    run(sys.executable, "setup.py", "sdist", "--dist-dir", out, cwd=copy)
    (made,) = out.iterdir()
    return made


@pytest.fixture(scope="module")
def worker(source_package, tmp_path_factory) -> Path:
    """An environment with this project from its source package, and all other packages."""
    folder = tmp_path_factory.mktemp("worker")
    wheels, environment = folder / "wheels", folder / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=folder)
    # Built here: the environment has no setuptools, or one that is too old for pyproject.toml.
    alone = ("--quiet", "--no-index", "--no-deps")
    pip("wheel", *alone, "--no-build-isolation", "-w", wheels, source_package, cwd=folder)
    (wheel,) = wheels.iterdir()
    pip("--python", environment / "bin" / "python", "install", *alone, wheel, cwd=folder)
    # Only now, or pip would find this project there already. Python does not read the .pth files
    # of a folder that a .pth file names, so an editable install of this project is not seen.
    (packages,) = environment.glob("lib/python*/site-packages")
    others = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (packages / "others.pth").write_text("\n".join(others))
    return environment


def test_every_module_is_imported_from_the_installed_package(worker, tmp_path):
    found = json.loads(run(worker / "bin" / "python", "-c", IMPORT, *modules(), cwd=tmp_path))
    assert [name for name in modules() if not found[name][0].startswith(f"{worker}/")] == []
    assert {"pipelines.beam.transforms", "serving.client", "trainer.model.detector"} <= found.keys()


def test_every_data_file_is_installed(worker):
    (packages,) = worker.glob("lib/python*/site-packages")
    assert [name for name in packaged() if not (packages / name).is_file()] == []
    assert {"beam_options/dataflow.txt", "trainer/report/templates/report.html"} <= set(packaged())


def test_the_installed_command_knows_the_flag_files(worker, tmp_path):
    said = run(worker / "bin" / "dfdetect", "preprocess", "--help", cwd=tmp_path)
    assert "@dataflow, @dataflow_gpu, @direct" in said


def test_a_worker_that_has_only_the_package_does_the_job(worker, face_video, tmp_path):
    """It reads what this process pickled, and finds the weights of the face detector."""
    (tmp_path / "videos.csv").write_text(f"uri,label,split\n{face_video},real,train\n")
    # -I: neither this folder, nor the user's packages, nor PYTHON... variables.
    harness = f"{worker / 'bin' / 'python'} -I -m apache_beam.runners.worker.sdk_worker_main"
    info = preprocess(
        str(tmp_path / "videos.csv"),
        str(tmp_path / "out"),
        PreprocessConfig(frames_per_clip=4, crop_size=48, min_face=40),
        PreprocessSettings(shards=1),
        [
            "--runner=PortableRunner",
            "--job_endpoint=embed",
            "--environment_type=beam:env:harness_subprocess_python:v1",
            f"--environment_config={harness}",
        ],
    )
    assert info["splits"]["train"]["clips"] > 0 and info["rejects"] == {}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_nothing_is_imported_that_is_not_declared(source_package, tmp_path):
    """Installs everything anew, from the package index, in the versions of the lock file."""
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    extras = f"{source_package}[score,serving,train,web]"
    run(python, "-m", "pip", "install", "--constraint", LOCK, extras, cwd=tmp_path)
    run(python, "-m", "pip", "check", cwd=tmp_path)
    found = json.loads(run(python, "-c", IMPORT, *modules(), cwd=tmp_path))
    assert {name: package for name, (_, package) in found.items() if package} == {}


def instructions() -> list[tuple[str, str]]:
    """(name, arguments) of the Dockerfile, in its order."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    found = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    return [(name, arguments) for name, arguments in found]


def only(name: str) -> list[str]:
    return [arguments for found, arguments in instructions() if found == name]


def copied() -> list[str]:
    return [source.rstrip("/") for arguments in only("COPY") for source in arguments.split()[:-1]]


def is_sent(path: str) -> bool:
    """Whether the build gets a file: the last rule that fits it, or a folder of it, decides."""
    sent = True
    for rule in DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines():
        pattern = rule.removeprefix("!")
        names = [path, *map(str, PurePosixPath(path).parents)]
        if pattern and pattern[0] != "#" and any(fnmatch.fnmatch(n, pattern) for n in names):
            sent = rule.startswith("!")
    return sent


def test_the_image_has_the_beam_and_the_python_that_launch_the_job():
    (base,) = only("FROM")
    (locked,) = re.findall(r"^apache-beam==(\S+)", LOCK.read_text(), re.M)
    assert base == f"apache/beam_python3.{sys.version_info.minor}_sdk:{beam.__version__}"
    assert locked == beam.__version__


def test_the_image_gets_every_file_of_the_package_and_of_its_build():
    assert [name for name in copied() if not (ROOT / name).exists()] == []
    needed = ["pyproject.toml", "setup.py", "LICENSE", "README.md", "requirements"]
    assert {*PACKAGES, *needed} == set(copied())
    assert [name for name in [*needed, *packaged()] if not is_sent(name)] == []


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".venv/bin/python",
        ".env",
        "build/prism",
        "runs/data/dataset_info.json",
        "tests/test_package.py",
        "pipelines/__pycache__/clip.pyc",
        "pipelines/faces/__pycache__/detect.pyc",
        "pipelines/deploy/Dockerfile",
        "serving/deploy/models.config",
    ],
)
def test_the_image_gets_nothing_else(path):
    assert not is_sent(path)


def test_packages_are_installed_before_code_is_copied():
    """So that a change of code does not install them again."""
    steps = [f"{name} {arguments}" for name, arguments in instructions()]
    first = next(i for i, step in enumerate(steps) if "--constraint requirements/dev.lock" in step)
    before = [step for step in steps[:first] if step.startswith("COPY")]
    assert before == ["COPY pyproject.toml ./", "COPY requirements/ requirements/"]


def test_the_image_installs_extras_that_there_are():
    arguments = dict(argument.split("=") for argument in only("ARG"))
    extras = PROJECT["project"]["optional-dependencies"]
    assert arguments["EXTRAS"] == "gcp" and "gcp" in extras


def test_the_image_runs_as_a_user_with_a_name_and_a_folder_to_write_to():
    arguments = dict(argument.split("=") for argument in only("ARG"))
    (user,) = only("USER")
    assert user == "${RUN_AS}" and arguments["RUN_AS"] == "worker"
    assert "useradd --create-home worker" in only("RUN")
    assert only("WORKDIR")[-1] == "/home/worker"


def test_the_image_keeps_the_entry_point_of_its_base():
    assert {name for name, _ in instructions()}.isdisjoint({"ENTRYPOINT", "CMD"})


def test_the_image_is_not_made_without_the_face_detector():
    name, arguments = instructions()[-1]
    assert name == "RUN" and "MtcnnDetector()" in arguments
    code = re.search(r'python -c "(.*)"', arguments)[1]
    exec(compile(code, "the Dockerfile's last step", "exec"), {})
