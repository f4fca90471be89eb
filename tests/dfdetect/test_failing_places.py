"""Every command, at places that fail: a full disk, a read-only folder, an unreachable store."""

import errno
import os
import resource
import shutil
import sys
from pathlib import Path

import pytest

from dfdetect.__main__ import INTERRUPTED, main
from dfdetect.commands import COMMANDS
from pipelines.errors import ADVICE

CROPS = ("--frames-per-clip", "4", "--crop-size", "48", "--min-face", "40", "--shards", "1")
STORES = ("https://host/a", "s3://bucket/a", "file:///a", "zz://host/a")


@pytest.fixture(scope="module")
def few(tmp_path_factory, sample) -> Path:
    """A data set of two videos."""
    root = tmp_path_factory.mktemp("few")
    for name, video in zip(("real", "fake"), sorted(sample.rglob("*.mp4")), strict=False):
        (root / name).mkdir()
        shutil.copy(video, root / name / "a.mp4")
    return root


@pytest.fixture(scope="module")
def writing(few, sample_shards, trained_run, exported):
    """What each command that writes is given so that it writes into a folder."""

    def argv(command: str, out: Path) -> list[list[object]]:
        video = few / "real" / "a.mp4"
        shards, model = sample_shards, exported.parent
        compared = (trained_run, trained_run, "--data", shards)
        tiny = ("--backbone", "resnext_tiny", "--temporal-units", 8, "--epochs", 1)
        return {
            "sample-data": [[out / "s", "--identities", 6, "--frames", 2]],
            "make-blends": [
                ["--input", few, "--output", out / "b", "--methods", "mouth", "--seconds", 0.4]
            ],
            "preprocess": [["--input", few, "--output", out / "p", *CROPS]],
            "inspect": [
                [shards, "--contact-sheet", out / "a.png"],
                [shards, "--export-frames", out / "frames"],
            ],
            "train": [["--data", shards, "--out", out / "r", *tiny]],
            "evaluate": [["--run", trained_run, "--data", shards, "--out", out / "e"]],
            "compare": [[*compared, "--out", out / "c"]],
            "export": [
                ["--run", trained_run, "--out", out / "m"],
                ["--run", trained_run, "--out", out / "m", "--format", "litert"],
            ],
            "score": [["--input", video, "--model", model, "--output", out / "sc"]],
            "predict": [
                [video, "--model", model, "--csv", out / "t.csv"],
                [video, "--model", model, "--out-report", out / "reports"],
            ],
            "demo": [["--quick", "--output", out / "d"]],
        }[command]

    return argv


WRITING = (
    *("sample-data", "preprocess", "inspect", "train", "evaluate", "compare", "export", "score"),
    *("predict", "demo", "make-blends"),
)
# They write no files of their own, or where another one does; calibrate is below.
NOT_WRITING = ("datasets", "serve", "web", "import-weights", "calibrate")


def test_every_command_is_walked_through():
    assert {*WRITING, *NOT_WRITING} == set(COMMANDS)


def run(command: str, argv: list[object]) -> int:
    return main([command, *map(str, argv)])


def in_a_sentence(said: str, *codes: int) -> bool:
    """Whether standard error has no traceback, and the system's words with our advice."""
    told = any(f"{os.strerror(code)}. {ADVICE[code]}" in " ".join(said.split()) for code in codes)
    return told and "Traceback" not in said


@pytest.fixture
def full_disk(monkeypatch):
    """No file can grow beyond `limit` bytes: to every library that is a disk that is full."""
    # Unlike on a full disk, Python would keep what it got written of a module, which is no module.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(limit: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))

    yield fill
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("room", [pytest.param(10, marks=pytest.mark.slow), 2500])
# Not those that start processes, to which such a limit is more than a full disk: no semaphores and
# no shared memory.
@pytest.mark.parametrize(
    "command", sorted({*WRITING} - {"demo", "sample-data", "make-blends", "preprocess"})
)
def test_a_full_disk_is_told_in_a_sentence(command, room, writing, full_disk, tmp_path, capsys):
    for argv in writing(command, tmp_path):
        capsys.readouterr()
        full_disk(room)
        code = run(command, argv)
        full_disk(resource.getrlimit(resource.RLIMIT_FSIZE)[1])
        said = capsys.readouterr().err
        if code:  # what fits is written
            assert code == 1 and in_a_sentence(said, errno.EFBIG), (argv, said)
        else:
            assert room > 10, argv


@pytest.mark.parametrize("place", ["within a file", "where nobody may write"])
@pytest.mark.parametrize("command", WRITING)
def test_a_place_that_cannot_be_is_told_in_a_sentence(command, place, writing, tmp_path, capsys):
    file = tmp_path / "file"
    file.touch()
    # Tests may run as root, who may write anywhere but here.
    out = file if place == "within a file" else Path("/proc")
    for argv in writing(command, out):
        capsys.readouterr()
        assert run(command, argv) == 1
        said = capsys.readouterr().err
        assert f"dfdetect {command}: " in said and "Traceback" not in said
        assert str(out) in said and "Errno" not in said, (argv, said)
    assert os.listdir(tmp_path) == ["file"] and file.stat().st_size == 0


def test_a_calibration_that_cannot_be_written_is_told_and_leaves_the_earlier_one(
    trained_run, sample_shards, full_disk, tmp_path, capsys
):
    folder = tmp_path / "run"
    shutil.copytree(trained_run, folder)
    (folder / "calibration.json").write_text("{}")
    full_disk(10)
    assert run("calibrate", ["--run", folder, "--data", sample_shards]) == 1
    assert in_a_sentence(capsys.readouterr().err, errno.EFBIG)
    assert (folder / "calibration.json").read_text() == "{}"


@pytest.mark.parametrize("store", STORES)
def test_a_store_that_cannot_be_reached_is_told_in_a_sentence(store, few, exported, capsys):
    here, model = few / "out", exported.parent
    for command, argv in (
        ("datasets", [store]),
        ("datasets", [store + "/list.csv"]),
        ("preprocess", ["--input", store, "--output", here]),
        ("preprocess", ["--input", few, "--output", store]),
        ("score", ["--input", store, "--model", model, "--output", here]),
        ("score", ["--input", few, "--model", model, "--output", store]),
        ("inspect", [store]),
        ("train", ["--data", store, "--out", here]),
        ("predict", [store, "--model", model]),
    ):
        assert run(command, argv) == 1
        said = capsys.readouterr().err
        assert store in said and f"dfdetect {command}: " in said, said
        assert "Traceback" not in said and "exceptions {" not in said
    assert not here.exists()


@pytest.mark.parametrize("store", STORES)
def test_an_address_where_a_place_on_this_machine_is_needed_is_wrong_usage(
    store, writing, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    local = [
        (command, [store if str(arg).startswith(str(tmp_path)) else arg for arg in argv])
        for command in set(WRITING) - {"preprocess", "score"}
        for argv in writing(command, tmp_path)
    ]
    local += [("calibrate", ["--run", store, "--data", "d"]), ("serve", ["--model-base", store])]
    for command, argv in local:
        with pytest.raises(SystemExit) as caught:
            run(command, argv)
        assert caught.value.code == 2 and f"{store} is an address" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


def test_ctrl_c_ends_any_command_without_a_traceback(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pipelines.datasets.find_videos", interrupted)
    monkeypatch.setattr("dfdetect.commands.datasets.find_videos", interrupted, raising=False)
    assert main(["datasets", "."]) == INTERRUPTED
    assert capsys.readouterr().err == "dfdetect datasets: interrupted.\n"


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch):
    def faulty(*_):
        raise KeyError("pts")

    monkeypatch.setattr("dfdetect.commands.datasets.find_videos", faulty, raising=False)
    with pytest.raises(KeyError):
        main(["datasets", "."])


@pytest.mark.parametrize("reader", ["full", "gone"])
def test_output_that_nobody_takes_ends_with_1_and_no_traceback(few, reader, monkeypatch, capsys):
    if reader == "full":
        out = open("/dev/full", "w")
    else:
        ours, theirs = os.pipe()
        os.close(ours)
        out = os.fdopen(theirs, "w")
    with out, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        assert main(["datasets", str(few), "--json"]) == 1
    said = capsys.readouterr().err
    assert said == ("" if reader == "gone" else said) and "Traceback" not in said
    assert reader == "gone" or f"No space left on device. {ADVICE[errno.ENOSPC]}" in said
