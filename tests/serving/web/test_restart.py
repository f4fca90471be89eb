"""The end of the web server and the next start: what is finished, told and kept meanwhile."""

import contextlib
import dataclasses
import signal
import socket
import threading

import pytest
from sse_starlette.sse import AppStatus

from dfdetect.__main__ import main
from serving.analysis.analyse import Cancelled
from serving.client import Unreachable
from serving.web import app as app_module
from serving.web.results_store import Bounds, ResultsStore
from serving.web.settings import Settings
from serving.web.worker import FaceWorker
from tests.serving.web.test_web_api import (
    JOBS,
    LIMITS,
    another_client,
    end_of,
    events,
    finished,
    is_problem,
    running,
    send,
    wait_until,
)


@pytest.fixture(autouse=True)
def streams_of_other_servers_go_on(monkeypatch):
    """Once a server of a process was told to end, sse-starlette ends all streams of the process."""
    monkeypatch.setattr(AppStatus, "should_exit", False)


@pytest.fixture
def settings(tmp_path):
    """Of a server with one worker, whose model server is down."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    return Settings(
        model_server=(address,),
        folder=str(tmp_path / "uploads"),
        results_dir=str(tmp_path / "results"),
        workers=1,
        spares=0,
        drain_timeout=60.0,
    )


class Held:
    """Holds up the jobs of a server until it is told to let them go, or they are not wanted."""

    def __init__(self, app, monkeypatch):
        self.jobs, self._go = app.state.jobs, threading.Event()
        monkeypatch.setattr(self.jobs, "_open_model", self._open_model)
        monkeypatch.setattr(FaceWorker, "ready", True)

    def _open_model(self):
        (job,) = (job for job in self.jobs._jobs.values() if job.state == "running")
        while not self._go.wait(0.05):
            if not job.wanted:
                raise Cancelled
        raise Unreachable("nobody there")

    def let_go(self):
        self._go.set()


def sent(client, content=b"a video"):
    answer = send(client, content)
    assert answer.status_code == 202, answer.text
    return answer.json()


def at_work(client, job):
    wait_until(lambda: client.get(job["links"]["self"]).json()["state"] == "running")


@contextlib.contextmanager
def followed(client, job):
    """The events of a job, from the first one on; complete at the end of the block."""
    told, begun = [], threading.Event()

    def follow():
        with client.stream("GET", job["links"]["events"]) as response:
            begun.set()
            told.extend(response.iter_lines())

    thread = threading.Thread(target=follow)
    thread.start()
    assert begun.wait(60)
    yield told
    thread.join()


def ended(app):
    wait_until(lambda: app.state.server.should_exit)


def test_at_sigterm_the_video_at_work_is_finished_and_those_that_wait_are_told(
    settings, monkeypatch
):
    with running(settings) as (client, app):
        held = Held(app, monkeypatch)
        working = sent(client)
        at_work(client, working)
        waiting = sent(client)
        with followed(client, working) as told, followed(client, waiting) as told_of_waiting:
            app.state.server.handle_exit(signal.SIGTERM, None)
            assert end_of(client, waiting)["state"] == "failed"
            answer = send(client, b"one more")
            is_problem(answer, 503, "stopping")
            assert int(answer.headers["retry-after"]) >= 1
            is_problem(client.get("/readyz"), 503, "stopping")
            assert client.get("/healthz").status_code == 200
            progress = client.get(working["links"]["self"]).json()["progress"]
            assert progress["stopping"] and not app.state.server.should_exit
            held.let_go()
            ended(app)
        assert any('"stopping": true' in line for line in told)
        assert (
            'data: {"state": "failed"}' in told and 'data: {"state": "failed"}' in told_of_waiting
        )
    with running(settings) as (client, _):
        for job, problem in ((working, "model-server-down"), (waiting, "interrupted")):
            state = client.get(job["links"]["self"]).json()
            assert state["problem"]["type"] == f"urn:dfdetect:problem:{problem}"
        is_problem(client.get(waiting["links"]["report_json"]), 503, "interrupted")
        assert events(client, waiting) == [("end", {"state": "failed"})]


def test_a_video_that_takes_longer_than_the_drain_may_is_told_so(settings, monkeypatch):
    with running(dataclasses.replace(settings, drain_timeout=0.1)) as (client, app):
        Held(app, monkeypatch)
        job = sent(client)
        at_work(client, job)
        app.state.server.handle_exit(signal.SIGTERM, None)
        ended(app)
    with running(settings) as (client, _):
        state = client.get(job["links"]["self"]).json()
        assert state["problem"]["type"].endswith("interrupted")
        assert "send it again" in state["problem"]["detail"]


def test_an_upload_that_was_under_way_at_sigterm_is_refused_in_words(settings):
    with running(settings) as (client, app):
        with socket.create_connection((client.base_url.host, client.base_url.port)) as slow:
            slow.sendall(
                f"POST {JOBS} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90\r\n"
                "Content-Type: multipart/form-data; boundary=b\r\n\r\n".encode()
            )
            wait_until(app.state.jobs.folder.files)
            app.state.server.handle_exit(signal.SIGTERM, None)
            part = b'--b\r\nContent-Disposition: form-data; name="video"; filename="a"\r\n\r\n1'
            slow.sendall((part + b"\r\n--b--\r\n").ljust(90))
            said = slow.recv(4096)
        assert b" 503 " in said and b"retry-after" in said.lower()
        ended(app)
        assert app.state.jobs.folder.files() == []


def test_a_second_sigterm_ends_the_server_without_a_drain(settings, monkeypatch):
    with running(settings) as (client, app):
        Held(app, monkeypatch)
        at_work(client, sent(client))
        for _ in range(2):
            assert not app.state.server.should_exit
            app.state.server.handle_exit(signal.SIGTERM, None)
        assert app.state.server.should_exit


def pages_of(client, job):
    """All that a job's page and its reports are made of."""
    at = job["links"]["self"]
    document = client.get(job["links"]["report_json"]).json()
    addresses = [
        at,
        job["links"]["report_json"],
        job["links"]["report_html"],
        f"/jobs/{job['id']}/result",
        *(f"{at}/faces/{face['n']}.jpg" for face in document["faces"]),
        *(f"{at}/faces/{face['n']}/heat.png" for face in document["faces"] if face["heat_map"]),
        *(f"{at}/strip/{picture['n']}.jpg" for picture in document["strip"]),
    ]
    answers = {address: client.get(address) for address in addresses}
    assert {answer.status_code for answer in answers.values()} == {200}
    return {address: answer.content for address, answer in answers.items()}


def test_a_result_is_the_same_after_a_restart_until_it_is_deleted(exported, sample, settings):
    content = sorted(sample.rglob("*.mp4"))[0].read_bytes()
    analysing = dataclasses.replace(settings, model=str(exported), model_server=(), **LIMITS)
    with running(analysing) as (client, _):
        job = finished(client, send(client, content, "interview.mp4"))
        before = pages_of(client, job)
        # The process that decodes was started once, for what the model wants to see.
        assert "dfdetect_web_worker_starts_total 1.0" in client.get("/metrics").text
    assert len(before) > 6
    with running(settings) as (client, _):
        assert pages_of(client, job) == before
        assert client.delete(job["links"]["self"]).status_code == 204
    with running(settings) as (client, _):
        gone = is_problem(client.get(job["links"]["report_json"]), 404, "not-found")
        assert "restarted" not in gone["detail"]


def test_the_process_that_decodes_starts_while_the_model_is_being_loaded(
    exported, settings, monkeypatch
):
    begun, prepare = threading.Event(), FaceWorker.prepare

    def noted(*args):
        begun.set()
        return prepare(*args)

    def load(_):
        assert begun.wait(60)
        return None  # nobody asks the model here

    monkeypatch.setattr(FaceWorker, "prepare", noted)
    monkeypatch.setattr(app_module, "_model_opener", load)
    here = dataclasses.replace(settings, model=str(exported), model_server=())
    with running(here) as (client, _):
        assert client.get("/healthz").status_code == 200


def test_the_command_refuses_a_folder_of_results_that_another_server_has(tmp_path, capsys):
    with contextlib.closing(ResultsStore(tmp_path, Bounds(1.0, 1, 10**6))):
        argv = ["--model-server", "http://127.0.0.1:9", "--results-dir", str(tmp_path)]
        assert main(["web", *argv]) == 1
    said = capsys.readouterr().err
    assert "another server keeps its results here" in said and "Traceback" not in said


def test_clients_take_turns_and_are_told_their_place(settings, monkeypatch):
    with running(settings) as (client, app), another_client(client) as other:
        Held(app, monkeypatch)
        first, *many = (sent(client) for _ in range(4))
        at_work(client, first)
        alone = sent(other)

        def place(job):
            return client.get(job["links"]["self"]).json()["progress"]["position"]

        assert [place(job) for job in (alone, *many)] == [1, 2, 3, 4]
        assert client.delete(alone["links"]["self"]).status_code == 202
        assert [place(job) for job in many] == [1, 2, 3]


def test_a_result_that_cannot_be_stored_fails_its_job_and_stops_nothing(settings, monkeypatch):
    with running(settings) as (client, app):
        held = Held(app, monkeypatch)
        job = sent(client)
        at_work(client, job)
        store = app.state.jobs.store
        store._database.execute("PRAGMA query_only = ON")  # as on a disk that gives up
        held.let_go()
        assert end_of(client, job)["problem"]["type"].endswith("model-server-down")
        is_problem(send(client, b"a video"), 507, "not-stored")
        assert app.state.jobs.folder.files() == []
        store._database.execute("PRAGMA query_only = OFF")
        assert client.delete(job["links"]["self"]).status_code == 204
        assert end_of(client, sent(client))["state"] == "failed"
