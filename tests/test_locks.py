"""The lock files: parts of one environment, in which every package finds what it asks for."""

import re
import tomllib
from importlib import metadata

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.fixtures import ROOT

FOLDER = ROOT / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
# Lock file -> the extras that it is for.
PARTS = {
    "run": [],
    "serve": ["serving", "web"],
    "train": ["train"],
    "docs": ["docs"],
    "dev": ["dev"],
}
# What lock files leave out though packages ask for it: the overrides say why.
LEFT_OUT = {"tensorflow", "libclang"}
LEFT_OUT_OF_TRAIN = {"pyarrow", "tensorboard-data-server"}
LINUX = {"sys_platform": "linux", "platform_machine": "x86_64", "platform_system": "Linux"}
MAC = {"sys_platform": "darwin", "platform_machine": "arm64", "platform_system": "Darwin"}


def lines(name: str) -> set[str]:
    text = (FOLDER / f"{name}.lock").read_text()
    return {line for line in text.splitlines() if line and not line.lstrip().startswith("#")}


def locked(name: str, **environment: str) -> dict[str, str]:
    """Package -> version, of what is installed on a machine."""
    found = [Requirement(line) for line in lines(name)]
    here = {**default_environment(), **environment}
    return {
        canonicalize_name(r.name): str(r.specifier).removeprefix("==")
        for r in found
        if r.marker is None or r.marker.evaluate(here)
    }


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("machine", [LINUX, MAC], ids=["linux", "mac"])
@pytest.mark.parametrize("name", PARTS)
def test_every_part_has_the_versions_of_the_whole(name, machine, python):
    here = {**machine, "python_version": python, "python_full_version": f"{python}.9"}
    part, whole = locked(name, **here), locked("dev", **here)
    assert part.items() <= whole.items() and "numpy" in part


def test_every_lock_file_is_a_part_that_is_tested_here():
    assert {path.stem for path in FOLDER.glob("*.lock")} == {*PARTS, "gpu"}


@pytest.mark.parametrize("name", PARTS)
def test_tensorflow_is_the_one_without_cuda_where_that_is_built(name):
    here, elsewhere = locked(name, **LINUX), locked(name, **MAC)
    assert "tensorflow" not in here and "tensorflow-cpu" not in elsewhere
    assert here["tensorflow-cpu"] == elsewhere["tensorflow"]


def test_tensorflow_with_cuda_is_the_same_version_and_takes_the_place_of_the_other():
    whole, gpu = locked("dev", **LINUX), locked("gpu", **LINUX)
    assert gpu["tensorflow"] == whole["tensorflow-cpu"]
    new = {name for name in gpu if name not in whole} - LEFT_OUT
    assert new and all(name.startswith("nvidia-") for name in new)
    assert all(whole[name] == gpu[name] for name in gpu.keys() & whole.keys())


def test_what_runs_and_serves_has_no_browser_driver_and_no_google_clients():
    for name in ("run", "serve", "train", "docs"):
        assert [p for p in locked(name) if re.match("google-cloud|playwright|pytest", p)] == []
    assert {"playwright", "google-cloud-storage", "pytest"} <= locked("dev").keys()


def asked_for(requirements: list[str]) -> set[str]:
    """The packages that these lines name on Linux, with those of the extras of this project."""
    found = set()
    for requirement in map(Requirement, requirements):
        if requirement.marker is None or requirement.marker.evaluate({**LINUX, "extra": ""}):
            if requirement.name == PROJECT["name"]:
                found |= asked_for([line for e in requirement.extras for line in EXTRAS[e]])
            else:
                found.add(canonicalize_name(requirement.name))
    return found


@pytest.mark.parametrize("name", PARTS)
def test_a_lock_file_has_all_that_the_project_and_its_packages_ask_for(name):
    """For pip is told to install these alone."""
    left_out = LEFT_OUT | (LEFT_OUT_OF_TRAIN if name == "train" else set())
    have = locked(name, **LINUX)
    project = [*PROJECT["dependencies"], *(line for e in PARTS[name] for line in EXTRAS[e])]
    assert asked_for(project) - have.keys() - left_out == set()
    for package in have:
        wanted = asked_for(metadata.requires(package) or [])
        assert wanted - have.keys() - left_out == set(), package
