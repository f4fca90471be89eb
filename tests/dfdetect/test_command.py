"""The command line: helps, refuses, and loads no more than it must."""

import subprocess
import sys
import tomllib
from itertools import chain

import pytest
from packaging.requirements import Requirement

import beam_options
from dfdetect.__main__ import main
from dfdetect.commands import COMMANDS, EXTRAS
from dfdetect.extras import missing_packages
from tests.fixtures import ROOT


def test_without_a_command_the_usage_goes_to_stderr_with_exit_code_2(capsys):
    assert main([]) == 2
    assert "preprocess" in capsys.readouterr().err


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in COMMANDS)


def test_an_unknown_command_is_wrong_usage(capsys):
    assert main(["analyse"]) == 2
    assert "no command 'analyse'" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_and_refuses_unknown_flags(name, capsys):
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0 and f"dfdetect {name}" in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        main([name, "--no-such-flag"])
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("dfdetect.__main__", ("tensorflow", "keras", "apache_beam", "numpy")),
        ("serving.client", ("tensorflow", "keras", "apache_beam", "grpc")),
        ("pipelines.faces.extract", ("apache_beam",)),
        ("pipelines.video.decode", ("apache_beam", "tensorflow")),
        ("pipelines.preprocess", ("tensorflow",)),
        ("serving.batch.score", ("tensorflow",)),
        ("pipelines.datasets", ("tensorflow", "apache_beam")),
        ("serving.analysis.analyse", ("tensorflow", "apache_beam")),
    ],
)
def test_a_module_does_not_load_what_it_does_not_need(module, unwanted):
    code = f"import sys, {module}; print([m for m in {unwanted!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_waits_for_no_library(name):
    heavy = ("tensorflow", "keras", "apache_beam", "scipy", "matplotlib", "fastapi", "grpc")
    code = f"""
import sys
from dfdetect.__main__ import main
try:
    main([{name!r}, "--help"])
except SystemExit:
    print("loaded:", [module for module in {heavy!r} if module in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "loaded: []", done.stdout[-300:] + done.stderr


def test_a_missing_extra_is_named_with_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr("dfdetect.extras._is_installed", lambda name: name != "apache-beam")
    assert main(["train", "--data", "x", "--out", "y"]) == 2
    assert capsys.readouterr().err == (
        "dfdetect train: needs the package 'apache-beam', which is not installed: "
        "pip install 'dfdetect[train]'\n"
    )


def test_a_module_that_is_not_there_is_named_with_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "dfdetect.commands.serve", None)
    assert main(["serve", "--help"]) == 2
    assert "pip install 'dfdetect[serving]'" in capsys.readouterr().err


@pytest.mark.parametrize("extra", sorted(set(chain(*EXTRAS.values()))))
def test_the_packages_of_an_extra_are_those_of_the_project_file(extra, monkeypatch):
    assert missing_packages([extra]) == []
    monkeypatch.setattr("dfdetect.extras._is_installed", lambda name: False)
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [Requirement(line).name for line in declared["optional-dependencies"][extra]]
    assert missing_packages([extra]) == sorted(names)


def test_named_beam_flags_expand_and_keep_what_follows():
    assert beam_options.expand(["@direct", "--x=1"]) == ["--runner=FnApiRunner", "--x=1"]
    assert {"dataflow", "direct", "multiprocess"} <= set(beam_options.names())
