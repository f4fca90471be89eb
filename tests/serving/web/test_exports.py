"""Many jobs as one file: the rows are those of `predict`, and memory holds a result at a time."""

import contextlib
import csv
import dataclasses
import io
import json
import random
import tracemalloc
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.analysis.analyse import Analysis
from serving.analysis.csv_rows import COLUMNS, csv_header, csv_row
from serving.predict.predict import Outcome
from serving.web.examples import REPORT
from serving.web.exports import TABLE, Exports, report_name
from serving.web.problems import Problem
from serving.web.results_store import Bounds, ResultsStore
from serving.web.settings import Settings
from tests.fixtures.file_facts import PLACE, file_facts
from tests.serving.web.test_restart import Held, at_work
from tests.serving.web.test_results_store import BOUNDS, RESULT, Clock, analysis
from tests.serving.web.test_web_api import JOBS, is_problem, running, send

# A JPEG for each face and picture of REPORT.
FACE = b"\xff\xd8 a face"
EXPORT = f"{JOBS}/export"
SETTINGS = {"model_server": ("http://127.0.0.1:9",), "model_timeout": 0.1, "workers": 1}


def made(name="interview.mp4", face=FACE):
    """Of a video that says where it was recorded."""
    result = dataclasses.replace(RESULT, file_facts=file_facts())
    file = {**REPORT["file"], "name": name}
    document = {**analysis().document, "file": file, "file_facts": file_facts().to_dict()}
    return Analysis(document, result, [face], [None], [FACE, FACE])


def keep(store, id, name="interview.mp4", **more):
    store.add(id, "somebody", name, "0" * 64)
    store.keep(id, made(name, **more))
    return store.job(id)


def fail(store, id, name="junk.mp4"):
    store.add(id, "somebody", name, "0" * 64)
    store.end(id, "failed", "decode", Problem("unreadable", "=No frame in it."))
    return store.job(id)


@pytest.fixture
def store():
    with contextlib.closing(ResultsStore(None, BOUNDS, Clock())) as store:
        yield store


def predicted(name: str) -> dict:
    """What `predict --json` says of the video of `made`."""
    facts = file_facts().without_location()
    result = dataclasses.replace(RESULT, path=name, file_facts=facts)
    return Outcome(name, result, seconds=REPORT["processing_s"]["total"]).to_dict()


def test_the_table_and_the_list_are_those_of_predict(store):
    jobs = [keep(store, "a", '=x,"1".mp4'), fail(store, "b"), keep(store, "c")]
    exports = Exports(store, show_location=False)
    failed = {"path": "junk.mp4", "error": "unreadable", "detail": "=No frame in it."}
    expected = [predicted('=x,"1".mp4'), failed, predicted("interview.mp4")]
    table = b"".join(exports.csv(jobs)).decode()
    assert table == csv_header() + "".join(map(csv_row, expected))
    listed = b"".join(exports.json(jobs)).decode()
    assert listed == json.dumps(json.loads(json.dumps(expected)), indent=2) + "\n"
    rows = list(csv.DictReader(io.StringIO(table)))
    assert rows[0]["path"].startswith("'=") and rows[1]["detail"].startswith("'=")


def test_nothing_tells_where_the_file_lay_on_the_server(store):
    job, exports = keep(store, "a"), Exports(store, show_location=False)
    for file in (exports.csv, exports.json):
        assert b"/tmp/uploads" not in b"".join(file([job]))


@pytest.mark.parametrize("show_location", [False, True])
def test_where_a_video_was_recorded_is_told_where_the_server_tells_it(store, show_location):
    job, exports = keep(store, "a"), Exports(store, show_location)
    assert (PLACE.encode() in b"".join(exports.json([job]))) == show_location
    with zipfile.ZipFile(io.BytesIO(b"".join(exports.zip([job])))) as archive:
        assert (PLACE in archive.read("001-interview.html").decode()) == show_location


def test_the_archive_has_a_report_of_each_result_and_the_table_that_names_them(store):
    jobs = [keep(store, "a", "same.mp4"), fail(store, "b"), keep(store, "c", "same.mp4")]
    data = b"".join(Exports(store, show_location=False).zip(jobs))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["001-same.html", "003-same.html", TABLE]
        rows = list(csv.DictReader(io.StringIO(archive.read(TABLE).decode())))
        assert [row["report"] for row in rows] == ["001-same.html", "", "003-same.html"]
        assert [row["error"] for row in rows] == ["", "unreadable", ""]
        assert "same.mp4" in archive.read("003-same.html").decode()


def test_a_job_that_is_deleted_meanwhile_is_in_the_file_as_not_found(store):
    jobs = [keep(store, "a"), keep(store, "b")]
    exports = Exports(store, show_location=False)
    for file in (exports.csv, exports.json, exports.zip):
        pieces = file(jobs)
        first = next(pieces)
        store.delete("b")
        data = first + b"".join(pieces)
        assert b"not-found" in data or zipfile.ZipFile(io.BytesIO(data)).namelist() == [
            "001-interview.html",
            TABLE,
        ]
        keep(store, "b")


def test_a_result_of_an_earlier_version_has_a_row_from_its_report(store):
    job = keep(store, "a")
    with store.writing() as database:
        database.execute("UPDATE jobs SET result = NULL")
    (row,) = json.loads(b"".join(Exports(store, show_location=False).json([job])))
    assert PLACE not in json.dumps(row)
    expected = json.loads(json.dumps(predicted("interview.mp4")))
    assert set(row) == set(expected)
    told_apart = {"reasons", "notes", "coverage"}
    assert {k: v for k, v in row.items() if k not in told_apart} == {
        k: v for k, v in expected.items() if k not in told_apart
    }
    assert row["reasons"] == REPORT["reasons"]


def peak_of(pieces) -> int:
    """Bytes of memory that a file takes while it is made."""
    next(pieces)  # loads what is loaded once
    tracemalloc.start()
    try:
        assert sum(map(len, pieces)) > 10_000
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["csv", "json", "zip"])
def test_a_file_of_many_results_takes_the_memory_of_a_few(kind):
    face = FACE + random.Random(1).randbytes(100_000)
    bounds = Bounds(ttl_s=100.0, results=1000, bytes=10**9)
    with contextlib.closing(ResultsStore(None, bounds, Clock())) as store:
        jobs = [keep(store, str(n), "a" * 10_000, face=face) for n in range(24)]
        file = getattr(Exports(store, show_location=False), kind)
        few, many = peak_of(file(jobs[:6])), peak_of(file(jobs))
    assert many < 2 * few


@given(st.integers(1, 500), st.text(max_size=300), st.text(max_size=300))
def test_a_report_s_name_is_a_plain_file_name_and_its_own(number, name, other):
    given = report_name(number, name)
    assert given != report_name(number + 1, other)
    assert len(given.encode()) <= 135 and given.endswith(".html")
    assert not set(given) & set('/\\:*?"<>|\0\r\n') and given == given.strip(" .")
    assert given[:3].isdecimal() and given.isprintable()


# Over HTTP.


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    settings = Settings(folder=str(tmp_path_factory.mktemp("exports")), spares=0, **SETTINGS)
    with running(settings) as (client, app):
        keep(app.state.jobs.store, "a", "ä.mp4")
        fail(app.state.jobs.store, "b")
        yield client, app


def test_a_file_comes_as_what_it_is_with_a_name(web):
    client, app = web
    jobs = [app.state.jobs.store.job(id) for id in "ba"]
    exports = Exports(app.state.jobs.store, show_location=False)
    for kind, media_type in (("csv", "text/csv"), ("json", "application/json")):
        answer = client.post(EXPORT, json={"ids": ["b", "a", "b"], "format": kind})
        assert answer.status_code == 200
        assert answer.headers["content-type"].split(";")[0] == media_type
        disposition = answer.headers["content-disposition"]
        assert disposition == f'attachment; filename="dfdetect-results.{kind}"'
        assert answer.content == b"".join(getattr(exports, kind)(jobs))
    answer = client.post(EXPORT, json={"ids": ["a"], "format": "zip"})
    assert answer.headers["content-type"] == "application/zip"
    assert zipfile.ZipFile(io.BytesIO(answer.content)).namelist() == ["001-ä.html", TABLE]
    assert list(csv.reader(io.StringIO(client.post(EXPORT, json={
        "ids": ["a"], "format": "csv"}).text)))[0] == list(COLUMNS)  # fmt: skip


def test_jobs_that_are_not_there_are_counted(web):
    client, _ = web
    answer = client.post(EXPORT, json={"ids": ["a", "x", "y"], "format": "csv"})
    assert "2 of these 3 jobs are not there" in is_problem(answer, 404, "not-found")["detail"]


def test_jobs_that_have_not_ended_are_counted(tmp_path, monkeypatch):
    with running(Settings(folder=str(tmp_path), **SETTINGS)) as (client, app):
        Held(app, monkeypatch)
        job = send(client, b"a video").json()
        at_work(client, job)
        answer = client.post(EXPORT, json={"ids": [job["id"]], "format": "csv"})
        assert "1 of these 1 jobs have not ended" in is_problem(answer, 409, "not-done")["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"ids": [], "format": "csv"},
        {"ids": ["a"] * 501, "format": "csv"},
        {"ids": ["a"], "format": "pdf"},
        {"ids": ["a"]},
        {"ids": [1], "format": "csv"},
        {"ids": ["a" * 101], "format": "csv"},
        {"ids": "a", "format": "csv"},
        [],
    ],
)
def test_a_wish_that_cannot_be_is_refused(web, body):
    client, _ = web
    answer = client.post(EXPORT, json=body)
    assert answer.status_code == 422 and "body" in answer.json()["detail"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"\0", b"null", b"[" * 100_000])
def test_a_body_that_is_no_json_is_refused(web, content):
    client, _ = web
    answer = client.post(EXPORT, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 422 and "body" in answer.json()["detail"]


def test_a_page_of_another_site_gets_no_file(web):
    client, _ = web
    wish = {"ids": ["a"], "format": "csv"}
    answer = client.post(EXPORT, json=wish, headers={"origin": "https://evil.example"})
    is_problem(answer, 403, "cross-site")
