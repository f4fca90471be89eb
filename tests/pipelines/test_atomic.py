"""Atomic writes: all or nothing, whatever was there before."""

import csv
import errno
import json
import os
from pathlib import Path

import pytest

from pipelines import atomic
from pipelines.atomic import replacing, replacing_folder, scratch_folder


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder, hidden ones too, with its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.fixture(params=["nothing", "file", "folder"])
def before(request, tmp_path) -> Path:
    """A path at which there is nothing, a file or a filled folder, beside another file."""
    path = tmp_path / "result.weights.h5"
    (tmp_path / "other").write_text("other")
    if request.param == "file":
        path.write_text("old")
    if request.param == "folder":
        path.mkdir()
        (path / "old").write_text("old")
    return path


def half_a_file(path: Path) -> None:
    path.write_text("half")


def half_a_folder(path: Path) -> None:
    path.mkdir(exist_ok=True)
    (path / "half").write_text("half")


@pytest.mark.parametrize(
    ("writing", "write_half"),
    [
        (replacing, half_a_file),
        (replacing, lambda path: None),
        (replacing_folder, half_a_folder),
        (scratch_folder, half_a_folder),
    ],
)
@pytest.mark.parametrize(
    "failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), SystemExit()]
)
def test_a_failed_write_leaves_everything_as_it_was(before, writing, write_half, failure):
    earlier = contents(before.parent)
    with pytest.raises(type(failure)), writing(before) as path:
        write_half(path)
        raise failure
    assert contents(before.parent) == earlier


def test_a_body_that_writes_nothing_replaces_nothing(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), replacing(path):
        pass
    assert contents(tmp_path) == {"a": b"old"}


@pytest.mark.parametrize("write", [atomic.write_json, atomic.write_csv])
def test_values_that_cannot_be_written_leave_the_old_file(tmp_path, write):
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(ValueError):
        write(path, [{"a": 1}, {"b": float("nan")}])
    assert contents(tmp_path) == {"a": b"old"}


def test_a_file_is_replaced_by_what_was_written_whole(tmp_path):
    path = tmp_path / "model.keras"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert temporary.name == path.name and path.read_text() == "old"
    assert contents(tmp_path) == {"model.keras": b"new"}


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "out"
    path.mkdir()
    (path / "old").write_text("old")
    with replacing_folder(path) as temporary:
        (temporary / "new").write_text("new")
        assert (path / "old").exists()
    assert contents(tmp_path) == {"out": None, "out/new": b"new"}


def test_an_earlier_folder_comes_back_where_the_new_one_cannot_be_put(tmp_path, monkeypatch):
    path, rename = tmp_path / "out", Path.rename
    path.mkdir()
    (path / "old").write_text("old")

    def refuse_new(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError("disk full")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse_new)
    with pytest.raises(OSError, match="disk full"), replacing_folder(path) as temporary:
        (temporary / "new").write_text("new")
    assert contents(tmp_path) == {"out": None, "out/old": b"old"}


@pytest.mark.parametrize("writing", [replacing, replacing_folder])
def test_two_writers_of_one_path_do_not_meet(tmp_path, writing):
    path = tmp_path / "out"
    with writing(path) as one, writing(path) as other:
        assert one != other
        for each in (one, other):
            each.mkdir(exist_ok=True)
    assert contents(tmp_path) == {"out": None}


@pytest.mark.parametrize("writing", [replacing, replacing_folder])
def test_a_path_whose_folder_is_missing_is_named(tmp_path, writing):
    path = tmp_path / "missing" / "out"
    with pytest.raises(FileNotFoundError) as caught, writing(path):
        pass
    assert caught.value.filename == str(path)


def test_new_files_and_folders_have_the_permissions_that_the_umask_leaves(tmp_path):
    atomic.write_text(tmp_path / "file", "")
    with replacing_folder(tmp_path / "folder"):
        pass
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "file").touch()
    for new, plain in (("file", "plain/file"), ("folder", "plain")):
        assert os.stat(tmp_path / new).st_mode == os.stat(tmp_path / plain).st_mode


def test_json_and_tables_are_read_back(tmp_path):
    atomic.write_json(tmp_path / "a.json", {"b": 1.5, "a": "\N{LATIN SMALL LETTER E WITH ACUTE}"})
    assert json.loads((tmp_path / "a.json").read_text("utf-8"))["b"] == 1.5
    assert (tmp_path / "a.json").read_bytes().endswith(b"}\n")
    atomic.write_csv(tmp_path / "a.csv", iter([{"x": 1, "y": None}, {"x": "a,b", "y": 2}]))
    assert (tmp_path / "a.csv").read_bytes() == b'x,y\n1,\n"a,b",2\n'
    atomic.write_csv(tmp_path / "b.csv", [{"x": 1, "z": 3}], ("x", "y"))
    (row,) = csv.DictReader((tmp_path / "b.csv").read_text().splitlines())
    assert row == {"x": "1", "y": ""}


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path):
    (tmp_path / "model").write_text("kept")
    left = tmp_path / f"{atomic.PREFIX}abc"
    left.mkdir()
    (left / "model").write_text("half")
    atomic.remove_unfinished(tmp_path)
    atomic.remove_unfinished(tmp_path / "missing")
    assert contents(tmp_path) == {"model": b"kept"}
