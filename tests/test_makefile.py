"""The environment that make builds: by a Python that suits, or a word on what to install."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures import ROOT


def make(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess:
    """Asks for a new environment's interpreter."""
    command = ["make", *arguments, f"VENV={folder}/venv", f"{folder}/venv/.python"]
    outer = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(command, cwd=ROOT, env={**outer, **env}, capture_output=True, text=True)


def test_the_first_python_that_works_is_taken(tmp_path):
    (tmp_path / "python3.11").write_text("#!/bin/sh\nexit 127\n")  # as pyenv's commands
    (tmp_path / "python3.12").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    for name in ("python3.11", "python3.12"):
        (tmp_path / name).chmod(0o755)
    done = make(tmp_path, "--dry-run", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert '"python3.12" -m venv --clear' in done.stdout, done.stderr


@pytest.mark.parametrize("name", ["python-none-such", "false"])
def test_what_is_no_python_is_refused_with_what_to_install(name, tmp_path):
    done = make(tmp_path, f"PYTHON={name}")
    assert done.returncode == 2 and not (tmp_path / "venv").exists()
    assert f"'{name}' is no Python 3.11, 3.12 or 3.13 with venv. Install one" in done.stderr
    assert "apt-get install python3 python3-venv" in done.stderr
