"""The history: whose jobs it gives to whom, what is found in it, and what it answers again."""

import asyncio
import contextlib
import dataclasses
import hashlib
import shutil
import sqlite3
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.exported_model import ExportedModel
from serving.analysis.video_result import Opinion
from serving.provenance.reader import FactsReader
from serving.web import history as history_module
from serving.web.api_keys import add_key
from serving.web.clients import Sender, history_of
from serving.web.examples import REPORT
from serving.web.history import History, JudgedBy, Search
from serving.web.problems import Problem
from serving.web.results_database import FILE, TABLES, VERSION, folded
from serving.web.results_store import Bounds, ResultsStore
from serving.web.settings import Settings
from serving.web.usage import Quota
from serving.web.worker import FaceWorker
from tests.fixtures.described_model import Replica
from tests.fixtures.model_servers import scripted
from tests.serving.web.live_server import (
    JOBS,
    LIMITS,
    another_client,
    end_of,
    finished,
    is_problem,
    running,
    send,
    wait_until,
    with_history,
)
from tests.serving.web.test_results_store import BOUNDS, Clock, analysis

VIDEO = b"the bytes of a file"
SHA256 = hashlib.sha256(VIDEO).hexdigest()
MODEL = f"{REPORT['model']['name']}/{REPORT['model']['version']}"


def keep(
    jobs, id, history="local", name="interview.mp4", sha256=SHA256, verdict="FAKE", by=None, said=()
):
    """A job that is done, straight in the store of a server. said: verdicts of several models."""
    made = analysis(name=name)
    opinions = tuple(Opinion("m/1", "f", one, 0.5, True, 0.4, 0.6, (), None, ()) for one in said)
    made = dataclasses.replace(made, result=dataclasses.replace(made.result, opinions=opinions))
    document = {**made.document, "verdict": verdict}
    jobs.store.add(id, "somebody", name, sha256, history=history)
    judged_by = jobs.history.judged_by(by or MODEL)
    jobs.store.keep(id, dataclasses.replace(made, document=document), judged_by)
    return id


def ids(answer):
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json()["jobs"]]


@pytest.fixture
def settings(tmp_path):
    """Of a server whose model server is down."""
    return with_history(tmp_path)


@pytest.fixture
def keyed(settings, tmp_path):
    """(settings with two keys, the header of each)."""
    path = tmp_path / "keys.json"
    headers = [{"authorization": f"Bearer {add_key(path, name, Quota())}"} for name in "ab"]
    return dataclasses.replace(settings, keys_file=str(path)), *headers


@pytest.fixture
def answering(settings, monkeypatch):
    """(settings of a server that starts no process before it needs one, its model server)."""
    monkeypatch.setattr(FaceWorker, "ready", True)
    replica = Replica()
    with scripted(replica) as url:
        yield dataclasses.replace(settings, model_server=(url,), model_timeout=20.0), replica


# What is found.


def test_ended_jobs_are_listed_with_what_became_of_them(settings):
    with running(settings) as (client, app):
        keep(app.state.jobs, "older")
        junk = finished(client, send(client, b"no video", "junk.mp4"))
        newest, older = client.get(JOBS).json()["jobs"]
        assert newest == junk and newest["state"] == "failed" and newest["verdict"] is None
        assert older["verdict"] == "FAKE" and older["probability_fake"] == 0.87
        assert newest["models_disagree"] is None and older["models_disagree"] is False
        assert (older["model"], older["sha256"], older["name"]) == (MODEL, SHA256, "interview.mp4")
        assert older["created"] <= older["ended"] < older["expires"]
        assert older["links"]["share"] == f"{JOBS}/older/shares"
        assert client.get(f"{JOBS}/older").json() == older


def test_where_models_disagree_the_list_says_so(settings):
    with running(settings) as (client, app):
        keep(app.state.jobs, "agreed", said=("FAKE", "FAKE"))
        keep(app.state.jobs, "open", said=("FAKE", "REAL"))
        told = {job["id"]: job["models_disagree"] for job in client.get(JOBS).json()["jobs"]}
        assert told == {"agreed": False, "open": True}
        page = client.get("/history", headers={"accept": "text/html"}).text
        assert page.count("The models disagree") == 1


def test_jobs_that_wait_are_not_in_the_history(settings):
    with running(settings) as (client, app):
        app.state.jobs.store.add("waits", "somebody", "a.mp4", SHA256, history="local")
        assert ids(client.get(JOBS)) == []


def test_jobs_are_found_by_name_hash_and_verdict(settings):
    with running(settings) as (client, app):
        keep(app.state.jobs, "one", name="Über 100%.mp4", sha256="abcd" + "0" * 60, verdict="REAL")
        keep(app.state.jobs, "two", name="under_100.mp4", sha256="abce" + "0" * 60)

        def found(**search):
            return ids(client.get(JOBS, params=search))

        assert found(name="ÜBER") == found(name="u\N{COMBINING DIAERESIS}b") == ["one"]
        assert found(name="100") == ["two", "one"] and found(name="%") == ["one"]
        assert found(name="_") == ["two"] and found(name="1_0") == []
        assert found(sha256="ABCD") == ["one"] and found(sha256="abce" + "0" * 60) == ["two"]
        assert found(verdict="FAKE") == ["two"] and found(verdict="REAL", name="under") == []
        assert found(name="", sha256="", verdict="", before="") == ["two", "one"]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("sha256=abc", "sha256"),
        ("sha256=abcg", "sha256"),
        ("sha256=abcd%25", "sha256"),
        ("verdict=fake", "verdict"),
        ("before=x", "before"),
        ("before=AAAA", "before"),
        ("before=f_gAAAAAAAA=", "before"),  # NaN
        ("name=" + "a" * 201, "name"),
    ],
)
def test_a_search_that_cannot_be_is_refused_by_name(settings, query, named):
    with running(settings) as (client, _):
        answer = client.get(f"{JOBS}?{query}")
        assert f"query.{named}" in answer.json()["detail"] and answer.status_code == 422


RECORDS = st.lists(
    st.tuples(
        st.sampled_from(["local", "token", "key a", "key b", None]),
        st.text(st.sampled_from("aA%_ÄäßS\\'\""), max_size=4),
        st.sampled_from(["ab01" + "0" * 60, "ab02" + "0" * 60]),
        st.sampled_from(["FAKE", "REAL"]),
        st.integers(0, 2),  # seconds after the one before
    ),
    max_size=12,
)
SEARCHES = st.builds(
    Search,
    st.text(st.sampled_from("aA%_ÄsS\\'\""), max_size=2),
    st.sampled_from(["", "ab01", "AB02", "ab", "ab0" + "f" * 61]),
    st.sampled_from(["", "FAKE", "REAL"]),
)


@given(RECORDS, SEARCHES, st.sampled_from(["local", "key a", "key b"]), st.integers(1, 5))
def test_whatever_is_searched_all_of_the_own_jobs_that_match_come_once_and_no_other(
    records, search, history, limit
):
    clock = Clock()
    settings = Settings(model_server=("http://127.0.0.1:9",))
    with contextlib.closing(ResultsStore(None, Bounds(1e6, 100, 10**9), clock)) as store:
        asked = History(settings, store, FactsReader(), lambda: MODEL)
        expected, cursors = [], {}
        for number, (whose, name, sha256, verdict, later_s) in enumerate(records):
            clock.s += later_s
            id = f"{number:02}"
            store.add(id, "somebody", name, sha256, history=whose)
            made = analysis()
            document = {**made.document, "verdict": verdict}
            store.keep(id, dataclasses.replace(made, document=document))
            if (
                whose == history
                and folded(search.name) in folded(name)
                and sha256.startswith(search.sha256.lower())
                and search.verdict in ("", verdict)
            ):
                expected.append(id)
        came, before = [], ""
        while before is not None:
            page = asked.page(history, search, limit, before)
            assert len(page.jobs) <= limit
            came += [job.id for job in page.jobs]
            before = page.next
            if before:
                cursors[before] = page.jobs[-1].id
        assert came == expected[::-1]
        for cursor in cursors:  # of somebody else it gives no more than the own jobs
            others = {job.id for job in asked.page("token", Search(), 100, cursor).jobs}
            assert all(records[int(id)][0] == "token" for id in others)


# Who asks.


@pytest.mark.parametrize(
    ("more", "key", "history"),
    [
        ({}, "", "local"),
        ({"host": "::1"}, "", "local"),
        ({"host": "localhost"}, "", "local"),
        ({"host": "0.0.0.0"}, "", None),
        ({"host": "192.0.2.1"}, "", None),
        ({"host": "example.org"}, "", None),
        ({"trusted_proxy": ("127.0.0.1",)}, "", None),
        ({"allowed_host": ("example.org",)}, "", None),
        ({"token_file": "t", "host": "0.0.0.0", "trusted_proxy": ("127.0.0.1",)}, "", "token"),
        ({"keys_file": "k", "host": "0.0.0.0"}, "a", "key a"),
        ({"keys_file": "k"}, "", None),
        ({"results_dir": ""}, "", None),
        ({"results_dir": "", "token_file": "t"}, "", None),
        ({"results_dir": "", "keys_file": "k"}, "a", None),
    ],
)
def test_a_history_is_of_a_key_of_the_token_or_of_this_machine(settings, more, key, history):
    assert history_of(dataclasses.replace(settings, **more), key) == history


@pytest.mark.parametrize(
    ("more", "flag"), [({"results_dir": ""}, "--results-dir"), ({"trusted_proxy": ("::1",)}, "--k")]
)
def test_without_a_history_the_answer_says_which_flag_gives_one(settings, more, flag):
    with running(dataclasses.replace(settings, **more)) as (client, _):
        assert flag in is_problem(client.get(JOBS), 404, "no-history")["detail"]


def test_a_key_sees_its_own_jobs_alone(keyed):
    settings, a, b = keyed
    with running(settings) as (client, app):
        keep(app.state.jobs, "of-a", "key a")
        keep(app.state.jobs, "of-token", "token")
        keep(app.state.jobs, "of-nobody", None)
        assert ids(client.get(JOBS, headers=a)) == ["of-a"]
        assert ids(client.get(JOBS, headers=b)) == []
        is_problem(client.get(JOBS), 401, "unauthorized")
        client.headers.update(b)
        own = finished(client, send(client, b"junk"))
        assert ids(client.get(JOBS)) == [own["id"]]


def test_one_token_has_one_history_whatever_the_address(settings, tmp_path):
    (tmp_path / "token").write_text("Zb1qk3xYc0m9T4nS7uVwE2aL")
    with running(dataclasses.replace(settings, token_file=str(tmp_path / "token"))) as (client, _):
        header = {"authorization": "Bearer Zb1qk3xYc0m9T4nS7uVwE2aL"}
        client.headers.update(header)
        job = finished(client, send(client, b"junk"))
        with another_client(client) as other:
            assert ids(other.get(JOBS, headers=header)) == [job["id"]]
            is_problem(other.get(JOBS), 401, "unauthorized")


def test_a_page_whose_name_was_bound_to_this_machine_cannot_read_the_history(settings):
    with running(settings) as (client, _):
        for host, status in (("evil.example", 403), ("localhost", 200), ("127.0.0.1:1", 200)):
            assert client.get(JOBS, headers={"host": host}).status_code == status


# The same file again.


def test_the_same_file_is_answered_from_the_history_unless_it_is_to_be_analysed(answering):
    settings, model_server = answering
    with running(settings) as (client, app):
        keep(app.state.jobs, "earlier")
        answer = send(client, VIDEO, "another name.mp4")
        assert answer.status_code == 200 and answer.headers["location"] == f"{JOBS}/earlier"
        job = answer.json()
        assert (job["id"], job["from_history"], job["state"]) == ("earlier", True, "done")
        assert client.get(f"{JOBS}/earlier").json() == {**job, "from_history": False}
        assert app.state.jobs.folder.files() == []
        form = client.post("/jobs", files={"video": ("again.mp4", VIDEO)})
        assert form.headers["location"] == "/jobs/earlier/plain?earlier=true"
        model_server.down = True  # whatever is analysed fails at once
        again = send(client, VIDEO, params={"again": True})
        assert again.status_code == 202 and again.json()["from_history"] is False
        end_of(client, again.json())
        assert len(ids(client.get(JOBS))) == 2


def test_an_answer_from_the_history_counts_for_no_quota(answering, tmp_path):
    path = tmp_path / "keys.json"
    key = add_key(path, "a", Quota(videos_a_day=1))
    settings, model_server = answering
    with running(dataclasses.replace(settings, keys_file=str(path))) as (client, app):
        client.headers["authorization"] = f"Bearer {key}"
        keep(app.state.jobs, "earlier", "key a")
        assert [send(client, VIDEO).status_code for _ in range(3)] == [200] * 3
        model_server.down = True  # what is new fails at once
        end_of(client, send(client, b"new").json())
        is_problem(send(client, b"newer"), 429, "quota-exceeded")


@pytest.mark.parametrize(
    ("other", "state", "later_s"),
    [
        ({}, "done", 0),
        ({}, "done", BOUNDS.ttl_s),
        ({}, "failed", 0),
        ({}, "waiting", 0),
        ({"history": "token"}, "done", 0),
        ({"history": None}, "done", 0),
        ({"model": "dfdetect/2"}, "done", 0),
        ({"sha256": "0" * 64}, "done", 0),
    ],
)
def test_only_a_result_of_the_sender_s_same_file_by_the_same_model_that_is_kept_answers_for_it(
    settings, other, state, later_s
):
    job = {"sha256": SHA256, "history": "local", "model": MODEL, **other}
    clock = Clock()
    with contextlib.closing(ResultsStore(None, BOUNDS, clock)) as store:
        asked = History(settings, store, FactsReader(), lambda: MODEL)
        store.add("earlier", "somebody", "a.mp4", job["sha256"], history=job["history"])
        if state == "done":
            store.keep("earlier", analysis(), asked.judged_by(job["model"]))
        elif state == "failed":
            store.end("earlier", "failed", "decode", Problem("unreadable", "No frame in it."))
        clock.s += later_s
        answer = asyncio.run(asked.earlier(SHA256, Sender("somebody", None, "local")))
        asked.close()
    assert (answer is not None) == (not other and state == "done" and not later_s)


def test_a_model_server_that_is_down_or_hangs_holds_up_no_video(settings, monkeypatch):
    hangs = threading.Event()
    with running(settings) as (client, app):
        keep(app.state.jobs, "earlier")
        finished(client, send(client, VIDEO))
        monkeypatch.setattr(history_module, "ASK_S", 0.2)
        monkeypatch.setattr(app.state.jobs.history, "_ask_version", hangs.wait)
        try:
            jobs = [finished(client, send(client, VIDEO)) for _ in range(2)]
        finally:
            hangs.set()
        assert [job["state"] for job in jobs] == ["failed"] * 2


def test_results_are_apart_by_model_settings_and_trust_list(settings, exported, tmp_path):
    def digest(version="dfdetect/1", trust_list="", **more):
        given = dataclasses.replace(settings, **more)
        return JudgedBy(given, FactsReader(trust_list)).digest(version)

    scan = dataclasses.replace(settings.scan, every=1.0)
    local = {"model_server": (), "model": (str(exported),)}
    changed = tmp_path / "changed" / "1"
    shutil.copytree(ExportedModel.open(exported).folder, changed)
    verdict = changed / "assets.extra" / "verdict.json"
    verdict.write_text(verdict.read_text() + " ")
    apart = [
        digest(),
        digest("dfdetect/2"),
        digest(scan=scan),
        digest(trust_list="certificates"),
        digest(model_server=("http://127.0.0.1:8",)),
        digest(**local),
        digest(**{**local, "model": (str(changed),)}),
        digest(**{**local, "model": (str(tmp_path / "none"),)}),
    ]
    assert len(set(apart)) == len(apart)
    assert digest(results=7, host="::1") == digest()
    assert digest(model_server=("http://a", "http://b")) == digest(
        model_server=("http://b", "http://a")
    )


def test_a_video_that_was_analysed_is_answered_from_the_history_after_a_restart(
    exported_judge, sample, settings
):
    video = sorted(sample.rglob("*.mp4"))[0].read_bytes()
    given = dataclasses.replace(settings, model_server=(), model=(str(exported_judge),), **LIMITS)
    with running(given) as (client, _):
        wait_until(lambda: client.get("/readyz").status_code == 200, 120)
        job = finished(client, send(client, video))
        document = client.get(job["links"]["report_json"]).json()
        wish = {"ids": [job["id"]], "format": "json"}
        (row,) = client.post(f"{JOBS}/export", json=wish).json()
        assert row["path"] == "video.mp4" and len(row["tracks"]) == len(document["tracks"])
        assert (job["verdict"], job["probability_fake"]) == (
            document["verdict"],
            document["probability_fake"],
        )
    with running(given) as (client, _):
        answer = send(client, video)
        assert (answer.status_code, answer.json()["id"]) == (200, job["id"])


# The file of an earlier version.

VERSION_1 = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL, sha256 TEXT NOT NULL,
    created REAL NOT NULL, state TEXT NOT NULL, ended REAL, expires REAL,
    stage TEXT NOT NULL DEFAULT 'queued', problem TEXT, model TEXT, verdict TEXT,
    bytes INTEGER NOT NULL DEFAULT 0, document TEXT
);
CREATE INDEX jobs_by_state ON jobs (state, owner, ended, bytes);
CREATE TABLE pictures (
    job TEXT NOT NULL REFERENCES jobs ON DELETE CASCADE, kind TEXT NOT NULL, n INTEGER NOT NULL,
    data BLOB NOT NULL, PRIMARY KEY (job, kind, n)
) WITHOUT ROWID;
PRAGMA user_version = 1;
"""
OWNERS = {"newsroom": "key newsroom", "192.0.2.1": None, "fe80::/64": None, "unknown": None}


@pytest.fixture
def of_version_1(tmp_path):
    """A folder with a result of each of OWNERS, and a job that waits, by version 1's tables."""
    with contextlib.closing(ResultsStore(tmp_path / "now", BOUNDS, Clock())) as store:
        store.add("made", "a", "interview.mp4", SHA256)
        store.keep("made", analysis())
    folder = tmp_path / "then"
    folder.mkdir(mode=0o700)
    with contextlib.closing(sqlite3.connect(folder / FILE)) as database:
        database.executescript("PRAGMA journal_mode = WAL; PRAGMA auto_vacuum = FULL;" + VERSION_1)
        database.execute("ATTACH ? AS now", (str(tmp_path / "now" / FILE),))
        columns = (
            "name, sha256, created, state, ended, expires, stage, model, verdict, bytes, document"
        )
        for owner in OWNERS:
            database.execute(
                f"INSERT INTO jobs (id, owner, {columns}) SELECT ?1, ?1, {columns} FROM now.jobs",
                (owner,),
            )
            database.execute(
                "INSERT INTO pictures SELECT ?, kind, n, data FROM now.pictures", (owner,)
            )
        database.execute(
            "INSERT INTO jobs (id, owner, name, sha256, created, state) "
            "VALUES ('waits', 'newsroom', 'b.mp4', '', 1000, 'waiting')"
        )
        database.commit()
    return folder


def test_a_file_of_version_1_is_brought_up_in_place(of_version_1):
    with contextlib.closing(ResultsStore(of_version_1, BOUNDS, Clock())) as store:
        for owner in OWNERS:
            assert store.job(owner).probability_fake == REPORT["probability_fake"]
            assert store.job(owner).models_disagree is False
            result = store.result(owner)
            assert (result.document, result.crops) == (analysis().document, analysis().crops)
        assert store.job("waits").problem.name == "interrupted"
        with store.reading() as database:
            told = dict(database.execute("SELECT id, history FROM jobs WHERE state = 'done'"))
        assert told == OWNERS
        settings = Settings(model_server=("http://127.0.0.1:9",))
        asked = History(settings, store, FactsReader(), lambda: MODEL)
        found = {job.id for job in asked.page("key newsroom", Search()).jobs}
        assert found == {"newsroom", "waits"}

    def schema(file):
        with contextlib.closing(sqlite3.connect(file)) as database:
            assert database.execute("PRAGMA user_version").fetchone() == (VERSION,)
            tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master")]
            return {t: set(database.execute(f"PRAGMA table_info({t})")) for t in tables}

    def names(file):
        return {
            table: {(column[1:5]) for column in columns} for table, columns in schema(file).items()
        }

    assert names(of_version_1 / FILE) == names(of_version_1.parent / "now" / FILE)


def test_a_file_of_version_1_that_cannot_be_brought_up_stays_as_it_was(of_version_1):
    with contextlib.closing(sqlite3.connect(of_version_1 / FILE)) as database:
        database.execute("CREATE TABLE jobs_by_file (a)")  # takes the name of what is made last
    with pytest.raises(OSError, match="results cannot be kept there"):
        ResultsStore(of_version_1, BOUNDS, Clock())
    with contextlib.closing(sqlite3.connect(of_version_1 / FILE)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
        columns = {row[1] for row in database.execute("PRAGMA table_info(jobs)")}
    assert "history" not in columns and "history TEXT" in TABLES


def test_a_cursor_of_nobody_is_a_problem_not_an_error():
    with pytest.raises(Problem, match="not the `next`"):
        history_module._of_cursor("?")
