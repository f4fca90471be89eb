"""Rows of `dfdetect predict`: written as they come, valid wherever they end."""

import contextlib
import csv
import dataclasses
import errno
import io
import json
import resource
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfdetect.__main__ import INTERRUPTED, main
from pipelines.clip import VideoError
from pipelines.config import PreprocessConfig
from pipelines.verdict import Thresholds
from serving.analysis.csv_rows import COLUMNS
from serving.analysis.json_list import JsonList
from serving.analysis.video_result import VideoResult
from serving.client import ModelConfig, ModelServerError
from serving.predict import predict_files
from serving.predict.csv_table import CsvTable

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, width=16),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
).filter(lambda value: "inf" not in repr(value).lower())
RESULT = VideoResult("", "REAL", 0.1, "m/1", "f", 16, 16, 0.0, 2.5, ())


@given(st.lists(JSON, max_size=4))
def test_a_list_is_what_json_dumps_gives_of_all_values_at_once(values):
    file = io.StringIO()
    rows = JsonList(file)
    for value in values:
        rows.add(value)
    rows.close()
    assert json.loads(file.getvalue()) == values
    assert file.getvalue() == json.dumps(values, indent=2) + "\n"


class Model:
    def config(self):
        return ModelConfig(PreprocessConfig(), Thresholds())

    def close(self):
        pass


@pytest.fixture
def videos(tmp_path, monkeypatch):
    """Judges videos a, b, c, ... of a folder; what `raised` has of a name is raised instead."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in "abcd":
        (folder / f"{name}.mp4").touch()

    def judging(raised: dict[str, BaseException]):
        def judge(path: str):
            if error := raised.get(path[-len("a.mp4")]):
                raise error
            return dataclasses.replace(RESULT, path=path), ""

        monkeypatch.setattr(predict_files, "_judge", lambda *_: judge)
        monkeypatch.setattr(predict_files, "open_model", lambda *_: Model())
        return folder

    return judging


def predict(*argv: object) -> int:
    return main(["predict", "--model-dir", ".", *map(str, argv)])


def rows_of(path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("operands could not be broadcast together"),
        AssertionError(),
        KeyError("pts"),
        MemoryError(),
        RecursionError("maximum recursion depth exceeded"),
        NotImplementedError("a sound of a new kind"),
        StopIteration(),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        OSError(errno.EIO, "Input/output error", "b.mp4"),
        VideoError("damaged", "decode", "it is."),
        ModelServerError("gone"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_is_raised_for_one_video_is_that_videos_error(videos, tmp_path, capsys, error):
    table = tmp_path / "t.csv"
    assert predict(videos({"b": error}), "--json", "--csv", table) == 1
    captured = capsys.readouterr()
    results = json.loads(captured.out)
    assert [result.get("verdict") for result in results] == ["REAL", None, "REAL", "REAL"]
    assert results[1]["error"] and results[1]["detail"] and "b.mp4" in captured.err
    assert [row["error"] for row in rows_of(table)] == ["", results[1]["error"], "", ""]
    assert "Traceback" not in captured.err


def test_a_fault_of_the_program_is_told_with_its_kind(videos, capsys):
    assert predict(videos({"b": KeyError("pts")}), "--json") == 1
    detail = json.loads(capsys.readouterr().out)[1]["detail"]
    assert detail == "KeyError: 'pts'"


@pytest.mark.parametrize("stopped_at", "abcd")
def test_ctrl_c_ends_with_what_is_done(videos, tmp_path, capsys, stopped_at):
    done = "abcd".index(stopped_at)
    table = tmp_path / "t.csv"
    folder = videos({stopped_at: KeyboardInterrupt()})
    assert predict(folder, tmp_path / "none.mp4", "--json", "--csv", table) == INTERRUPTED
    captured = capsys.readouterr()
    assert [r["path"][-5:] for r in json.loads(captured.out)] == [f"{n}.mp4" for n in "abcd"[:done]]
    assert [row["path"][-5:] for row in rows_of(table)] == [f"{n}.mp4" for n in "abcd"[:done]]
    assert captured.err.endswith("dfdetect predict: interrupted.\n")


def test_a_row_is_there_before_the_next_video_is_begun(videos, tmp_path, monkeypatch, capsys):
    table = tmp_path / "t.csv"
    folder = videos({})
    seen = []

    def judge(path: str):
        seen.append((len(rows_of(table)), capsys.readouterr().out.count('"verdict"')))
        return dataclasses.replace(RESULT, path=path), ""

    monkeypatch.setattr(predict_files, "_judge", lambda *_: judge)
    assert predict(folder, "--json", "--csv", table) == 0
    assert [rows for rows, _ in seen] == [0, 1, 2, 3] and [n for _, n in seen] == [0, 1, 1, 1]


def test_an_earlier_table_stays_where_there_is_no_model(videos, tmp_path, monkeypatch, capsys):
    folder, table = videos({}), tmp_path / "t.csv"
    table.write_text("earlier\n")
    monkeypatch.undo()  # what stands for the model
    argv = ["predict", "--model-dir", str(tmp_path), str(folder), "--csv", str(table)]
    assert main(argv) == 1
    assert "dfdetect export" in capsys.readouterr().err and table.read_text() == "earlier\n"


def test_a_full_disk_leaves_whole_rows_in_the_table_and_a_valid_list(videos, tmp_path, capsys):
    folder, table = videos({}), tmp_path / "t.csv"
    assert predict(folder, "--csv", table) == 0
    size = table.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    capsys.readouterr()
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - 5, limits[1]))  # within the last row
    try:
        assert predict(folder, "--json", "--csv", table) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    captured = capsys.readouterr()
    assert len(rows_of(table)) == len(json.loads(captured.out)) == 3
    assert f"{table}: File too large. Raise the limit" in captured.err


@pytest.mark.parametrize("failing", ["stdout", "stderr"])
def test_a_stream_that_takes_nothing_loses_no_row_of_the_table(
    videos, tmp_path, monkeypatch, failing
):
    table = tmp_path / "t.csv"
    folder = videos({"b": KeyError("pts")})
    full = open("/dev/full", "w")
    monkeypatch.setattr(sys, failing, full)
    assert predict(folder, "--csv", table) == 1
    monkeypatch.undo()
    with contextlib.suppress(OSError):
        full.close()
    assert len(rows_of(table)) == (1 if failing == "stdout" else 4)


def test_a_table_has_every_column_and_no_value_where_there_is_none(tmp_path):
    table = CsvTable(tmp_path / "t.csv")
    table.add({"path": 'a "b",\nc', "verdict": None, "unknown": 1})
    table.close()
    ((header, row),) = [list(csv.reader(io.StringIO((tmp_path / "t.csv").read_text())))]
    assert tuple(header) == COLUMNS and row == ['a "b",\nc', *[""] * (len(COLUMNS) - 1)]


def test_a_file_named_as_a_formula_is_text_in_the_table_and_numbers_are_numbers(tmp_path):
    table = CsvTable(tmp_path / "table.csv")
    table.add({"path": '=HYPERLINK("http://a.example","x").mp4', "seconds": -1.5})
    table.close()
    (row,) = csv.DictReader((tmp_path / "table.csv").read_text().splitlines())
    assert row["path"] == '\'=HYPERLINK("http://a.example","x").mp4'
    assert row["seconds"] == "-1.5"
