"""The web application's API, over real HTTP: a real server, real files, real processes."""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile

import av
import httpx
import numpy as np
import pytest

from dfdetect.__main__ import main
from pipelines.clip import VideoError
from pipelines.datasets.base import VIDEO_SUFFIXES
from pipelines.faces.extract import FaceExtractor
from pipelines.video import confined
from pipelines.video.moments import Moments
from pipelines.video.wire import FAULT_CHARS, for_log, unpack
from serving.analysis.analyse import Cancelled, analyse
from serving.analysis.panel import Panel
from serving.client import InProcessModel, servers
from serving.predict.predict import predict_video
from serving.web import wire
from serving.web.audit_log import job_hash
from serving.web.file_kinds import looks_like_video
from serving.web.process import Spares
from serving.web.receive import display_name
from serving.web.settings import Settings
from serving.web.uploads import UploadFolder
from serving.web.wire import look_of, opened_of, pack_look, pack_opened
from serving.web.worker import FaceWorker, WorkerFaces
from tests.fixtures.described_model import Replica
from tests.fixtures.file_facts import PLACE
from tests.fixtures.model_servers import nobody_listens, scripted
from tests.fixtures.signed_videos import with_tags
from tests.serving.web.live_server import (
    JOBS,
    LIMITS,
    Held,
    another_client,
    at_work,
    events,
    finished,
    is_problem,
    running,
    send,
    until_ready,
    wait_until,
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tmp_path_factory.mktemp("web")


@pytest.fixture(scope="module")
def web(exported, base):
    settings = Settings(
        model=(str(exported),),
        folder=str(base),
        audit_log=str(base / "audit.log"),
        queue=3,
        results=50,
        **LIMITS,
    )
    with running(settings) as (client, app):
        until_ready(client)
        yield client, app


@pytest.fixture
def client(web):
    return web[0]


@pytest.fixture
def jobs(web):
    return web[1].state.jobs


@pytest.fixture(scope="module")
def video(sample):
    return sorted(sample.rglob("*.mp4"))[0].read_bytes()


@pytest.fixture(scope="module")
def long_work(tmp_path_factory, write_video, astronaut):
    """A video that takes a while: 15 seconds with four faces in large frames."""
    face = np.tile(astronaut, (2, 2, 1))
    frames = np.stack([np.roll(face, i, axis=1) for i in range(250)])
    path = write_video(tmp_path_factory.mktemp("long") / "long.mp4", frames, fps=20)
    return path.read_bytes()


def no_file_left(jobs):
    wait_until(lambda: not jobs.folder.files())


def test_the_page_offers_every_file_that_has_a_video_s_suffix(client):
    page = client.get("/").text
    assert f'accept="video/*,{",".join(VIDEO_SUFFIXES)}"' in page


def test_a_video_is_accepted_analysed_and_reported(client, jobs, video):
    answer = send(client, video, "holiday.mp4")
    assert answer.headers["location"] == answer.json()["links"]["self"]
    told = events(client, answer.json())
    assert told[-1] == ("end", {"state": "done"})
    stages = [data["stage"] for kind, data in told if kind == "progress"]
    order = ["queued", "decode", "faces", "model", "report"]
    assert stages == sorted(stages, key=order.index)  # who follows slowly may miss some
    job = finished(client, answer)
    report = client.get(job["links"]["report_json"])
    assert report.status_code == 200
    document = report.json()
    assert document["schema"] == "dfdetect-report/1" and document["verdict"] != "NO_FACE"
    assert document["file"]["name"] == "holiday.mp4"
    assert document["file"]["sha256"] == hashlib.sha256(video).hexdigest()
    face = client.get(f"{job['links']['self']}/faces/0.jpg")
    assert face.headers["content-type"] == "image/jpeg" and face.content.startswith(b"\xff\xd8")
    is_problem(client.get(f"{job['links']['self']}/faces/99.jpg"), 404, "not-found")
    for picture in document["strip"]:
        thumbnail = client.get(f"{job['links']['self']}/strip/{picture['n']}.jpg")
        assert thumbnail.headers["content-type"] == "image/jpeg"
        assert thumbnail.content.startswith(b"\xff\xd8")
    is_problem(client.get(f"{job['links']['self']}/strip/99.jpg"), 404, "not-found")
    assert document["coverage"]["share"] == 1 and len(document["strip"]) == 2
    page = client.get(job["links"]["report_html"])
    assert "holiday.mp4" in page.text and "script" not in page.headers["content-security-policy"]
    no_file_left(jobs)


def test_the_audit_log_tells_verdict_and_model_but_no_name(client, base, video):
    job = finished(client, send(client, video, "holiday.mp4"))
    document = client.get(job["links"]["report_json"]).json()
    text = (base / "audit.log").read_text()
    (line,) = (
        line for line in map(json.loads, text.splitlines()) if line["job"] == job_hash(job["id"])
    )
    assert (line["client"], line["state"], line["problem"]) == ("127.0.0.1", "done", None)
    assert line["verdict"] == document["verdict"] and line["model"] == "dfdetect/1"
    assert line["sha256"] == hashlib.sha256(video).hexdigest()
    assert "holiday" not in text and job["id"] not in text


def test_the_report_is_what_the_analysis_in_process_gives(
    client, exported_model, extractor, sample
):
    path = sorted(sample.rglob("*.mp4"))[1]
    expected = analyse(str(path), extractor, exported_model).document
    job = finished(client, send(client, path.read_bytes()))
    got = client.get(job["links"]["report_json"]).json()
    names = ("verdict", "reasons", "frames_sampled", "frames_with_face", "median_face_px")
    for name in (*names, "coverage", "strip"):
        assert got[name] == expected[name]
    assert got["probability_fake"] == pytest.approx(expected["probability_fake"], abs=1e-4)


def test_where_a_video_was_recorded_is_told_on_demand(client, sample, tmp_path):
    video = with_tags(min(sample.rglob("*.mp4")), tmp_path / "here.mp4", {"location": PLACE})
    job = finished(client, send(client, video.read_bytes()))
    links = job["links"]
    document = client.get(links["report_json"]).json()
    facts = document["file_facts"]
    assert facts["container"]["has_location"] and facts["encoding"]["frames"] > 0
    assert PLACE not in json.dumps(document)
    assert PLACE not in client.get(links["report_html"]).text
    asked = client.get(links["report_json"], params={"location": True}).json()
    assert asked["file_facts"]["container"]["location"] == PLACE
    assert PLACE in client.get(links["report_html"], params={"location": True}).text
    page = client.get(f"{links['page']}/result").text
    folded = re.search(r"<details>\s*<summary>Where it was.*?</details>", page, re.S)
    assert page.count(PLACE) == 1 and PLACE in folded[0]


def test_several_models_have_their_say_and_one_may_want_other_crops(
    exported_judge, export_with, small_config, tmp_path, video
):
    wider = dataclasses.replace(small_config, margin=0.6)
    crops = {"preprocess": wider.to_dict(), "fingerprint": wider.fingerprint}
    models = (str(exported_judge), str(export_with("wider", sample_data=False, **crops)))
    settings = Settings(model=models, folder=str(tmp_path / "uploads"), spares=0, **LIMITS)
    with running(settings) as (other, _):
        until_ready(other)
        job = finished(other, send(other, video))
        report = other.get(job["links"]["report_json"]).json()
        html = other.get(job["links"]["report_html"]).text
    path = tmp_path / "video.mp4"
    path.write_bytes(video)
    for opinion, place in zip(report["opinions"], models, strict=True):
        model = InProcessModel(place)
        alone = predict_video(str(path), FaceExtractor(model.config().preprocess), model)
        assert opinion["verdict"] == alone.verdict
        assert opinion["fingerprint"] == alone.fingerprint
        assert opinion["probability_fake"] == pytest.approx(alone.probability_fake, abs=1e-6)
    assert len({opinion["fingerprint"] for opinion in report["opinions"]}) == 2
    assert report["verdict"] == report["opinions"][0]["verdict"]
    assert "What each model says" in html


def test_a_model_for_another_engine_gives_the_same_score_without_heat_maps(
    engine_export, client, tmp_path, video
):
    expected = finished(client, send(client, video))
    settings = Settings(model=(str(engine_export),), folder=str(tmp_path), spares=0, **LIMITS)
    with running(settings) as (other, _):
        until_ready(other)
        job = finished(other, send(other, video))
        document = other.get(job["links"]["report_json"]).json()
        assert document["model"]["version"].endswith(engine_export.name)
        assert [face["heat_map"] for face in document["faces"]] == [False] * len(document["faces"])
        address = f"{job['links']['self']}/faces/0/heat.png"
        is_problem(other.get(address), 404, "not-found")
        assert "Without heat maps:" in other.get(job["links"]["report_html"]).text
    theirs = client.get(expected["links"]["report_json"]).json()
    assert document["probability_fake"] == pytest.approx(theirs["probability_fake"], abs=1e-4)


def test_a_video_is_sent_followed_and_deleted_by_forms_alone(client, jobs, video):
    sent = client.post("/jobs", files={"video": ("clip <1>.mp4", video)})
    assert sent.status_code == 303 and sent.headers["location"].startswith("/jobs/")
    address = sent.headers["location"]
    first = client.get(address)
    if "refresh" in first.text:  # not done yet
        assert "clip &lt;1&gt;.mp4" in first.text and "Cancel" in first.text
    wait_until(lambda: 'http-equiv="refresh"' not in client.get(address).text)
    page = client.get(address).text
    assert "clip &lt;1&gt;.mp4" in page and 'class="result"' in page and "<script" not in page
    assert re.search(r'(?<!data-)style="', page) is None  # the policy forbids it
    assert client.get(re.search(r'href="([^"]*report.json)"', page)[1]).status_code == 200
    deleted = client.post(re.search(r'action="([^"]*)"', page)[1])
    assert "Nothing of this video is left" in deleted.text
    is_problem(client.get(address), 404, "not-found")
    no_file_left(jobs)


def test_a_file_that_is_no_use_has_its_problem_on_the_page_without_script(client):
    address = client.post("/jobs", files={"video": b"no video"}).headers["location"]
    wait_until(lambda: client.get(address).status_code != 200)
    answer = client.get(address, headers={"accept": "text/html"})
    assert answer.status_code == 415 and "not a video" in answer.text


def test_a_deleted_result_is_gone(client, video):
    job = finished(client, send(client, video))
    address = job["links"]["self"]
    assert client.delete(address).status_code == 204
    for path in ("", "/report.json", "/report.html", "/events", "/faces/0.jpg"):
        is_problem(client.get(address + path), 404, "not-found")
    is_problem(client.delete(address), 404, "not-found")


def zipped():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "text" * 1000)
    return buffer.getvalue()


def made(codec, rate=25, frames=10, size=(64, 48), sound=False):
    """A small Matroska file, in memory."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        if sound:
            stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
            for _ in range(frames):
                part = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
                part.sample_rate = 8000
                container.mux(stream.encode(part))
        else:
            stream = container.add_stream(codec, rate=rate)
            stream.width, stream.height = size
            stream.pix_fmt = "yuvj420p"
            picture = av.VideoFrame.from_ndarray(np.zeros((*size[::-1], 3), np.uint8))
            for _ in range(frames):
                container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "status", "name", "detail"),
    [
        (lambda v: zipped(), 415, "unsupported", "Not a video"),
        (lambda v: b"<html><body>hello</body></html>", 415, "unsupported", "Not a video"),
        (lambda v: v[: len(v) // 2], 422, "unreadable", "cut off"),
        (lambda v: made("", sound=True), 422, "no-video-stream", "no video stream"),
        (lambda v: made("mjpeg", size=(800, 640)), 422, "too-many-pixels", "800x640 px"),
        (lambda v: made("mjpeg", rate=1, frames=25), 422, "too-long", "25.0 s; 20 s are allowed"),
        (lambda v: made("mjpeg").replace(b"V_MJPEG", b"V_MJPEX"), 415, "unsupported", "no decoder"),
        (lambda v: made("mjpeg", frames=301), 422, "too-long", "301 frames; 300 are allowed"),
    ],
    ids=["zip", "html", "truncated", "sound", "pixels", "seconds", "codec", "frames"],
)
def test_a_file_that_is_no_use_fails_with_its_own_problem(
    client, jobs, video, content, status, name, detail
):
    job = finished(client, send(client, content(video), "clip.mp4"))
    assert job["state"] == "failed" and job["problem"]["status"] == status
    body = is_problem(client.get(job["links"]["report_json"]), status, name)
    assert body == job["problem"] and detail in body["detail"]
    assert str(jobs.folder.path) not in body["detail"]  # where it lay is nobody's business
    no_file_left(jobs)


def test_a_video_without_a_face_is_a_result_not_a_problem(client, jobs):
    job = finished(client, send(client, made("mjpeg")))
    assert job["state"] == "done"
    report = client.get(job["links"]["report_json"])
    assert report.json()["verdict"] == "NO_FACE"
    assert str(jobs.folder.path) not in report.text


def test_a_file_that_is_too_large_is_refused_before_it_is_stored(client, jobs):
    is_problem(send(client, b"\0" * 2_000_000), 413, "too-large")
    assert jobs.folder.files() == []

    def chunks():  # without a length in front
        yield b'--b\r\nContent-Disposition: form-data; name="video"; filename="a"\r\n\r\n'
        for _ in range(40):
            yield b"\0" * 50_000
        yield b"\r\n--b--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=b"}
    is_problem(client.post(JOBS, content=chunks(), headers=headers), 413, "too-large")
    assert jobs.folder.files() == []


@pytest.mark.parametrize(
    ("content", "kind", "detail"),
    [
        (b"", None, "not given"),
        (b"{}", "application/json", "application/json"),
        (b"x", "multipart/form-data", "boundary"),
        (b"no parts", "multipart/form-data; boundary=b", "not multipart"),
        (b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n--b--\r\n',
         "multipart/form-data; boundary=b", "is not there"),
        (b'--b\r\nContent-Disposition: form-data; name="video"\r\n\r\n1',
         "multipart/form-data; boundary=b", "is not complete"),
        (b'--b\r\nContent-Disposition: form-data; name="video"\r\n\r\n\r\n--b--\r\n',
         "multipart/form-data; boundary=b", "is empty"),
        (b'--b\r\nContent-Disposition: form-data; name="video"; filename="a"\r\n\r\n1\r\n'
         b'--b\r\nContent-Disposition: form-data; name="video"; filename="b"\r\n\r\n2\r\n--b--\r\n',
         "multipart/form-data; boundary=b", "two fields 'video'"),
    ],
)  # fmt: skip
def test_an_upload_that_is_no_form_is_refused(client, jobs, content, kind, detail):
    headers = {"content-type": kind} if kind else {}
    body = is_problem(client.post(JOBS, content=content, headers=headers), 400, "bad-upload")
    assert detail in body["detail"]
    assert jobs.folder.files() == []


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\videos\\a.mp4", "a.mp4"),
        ("a\r\nb\0.mp4", "ab.mp4"),
        ("", "video"),
        ("../", "video"),
        ("x" * 500, "x" * 200),
    ],
)
def test_a_file_name_is_text_without_folders(given, shown):
    assert display_name(given) == shown


def test_a_file_name_never_touches_the_disk(client, jobs, base, video):
    outside = {p for p in base.parent.rglob("*") if "evil" in p.name}
    job = finished(client, send(client, video, "../../evil.mp4"))
    assert job["name"] == "evil.mp4" and job["state"] == "done"
    assert {p for p in base.parent.rglob("*") if "evil" in p.name} == outside


def test_more_videos_than_may_wait_are_busy_and_the_positions_are_told(
    web, client, jobs, video, monkeypatch
):
    with monkeypatch.context() as patch:
        Held(web[1], patch)
        first = send(client, video)
        at_work(client, first.json())
        accepted = [first, *(send(client, video) for _ in range(3))]
        refused = send(client, video)
        assert "4 videos" in is_problem(refused, 429, "busy")["detail"]
        assert int(refused.headers["retry-after"]) >= 1
        told = [client.get(a.json()["links"]["self"]).json()["progress"] for a in accepted]
        assert [progress["position"] for progress in told] == [None, 1, 2, 3]
        for answer in accepted[::-1]:  # the ones that wait first, so that none begins
            assert client.delete(answer.json()["links"]["self"]).status_code == 202
        no_file_left(jobs)
    assert finished(client, accepted[-1])["state"] == "cancelled"


class InTheMiddle:
    """Holds up the job of a worker from when its process is told to look for faces."""

    def __init__(self, monkeypatch):
        self._begun, self._go, receive = threading.Event(), threading.Event(), FaceWorker.receive

        def held(*args):
            message = receive(*args)
            if message[1].get("stage") == "faces":
                self._begun.set()
                assert self._go.wait(120)
            return message

        monkeypatch.setattr(FaceWorker, "receive", held)

    def __enter__(self):
        assert self._begun.wait(120)

    def __exit__(self, *_):
        self._go.set()


def test_cancelling_in_the_middle_stops_the_work_and_the_next_job_has_the_same_process(
    client, jobs, long_work, video, monkeypatch
):
    monkeypatch.setattr("serving.web.worker.OBEY_S", 120.0)  # of a machine that is busy
    wait_until(lambda: jobs.ready)
    worker = jobs.workers[0]
    middle, answer = InTheMiddle(monkeypatch), send(client, long_work)
    address = answer.json()["links"]["self"]
    with middle:
        pid = worker.pid
        assert client.delete(address).json()["state"] == "cancelled"
    assert events(client, answer.json()) == [("end", {"state": "cancelled"})]
    is_problem(client.get(f"{address}/report.json"), 410, "cancelled")
    no_file_left(jobs)
    assert finished(client, send(client, video))["state"] == "done"
    assert worker.pid == pid


def test_a_decoding_process_that_dies_while_it_waits_is_noticed_and_replaced(
    client, jobs, monkeypatch
):
    wait_until(lambda: client.get("/readyz").status_code == 200)
    wait_until(lambda: all(worker.ready for worker in jobs.workers))
    died = {worker.pid for worker in jobs.workers}
    with monkeypatch.context() as patch:
        patch.setattr(FaceWorker, "prepare", lambda *_: None)  # nobody replaces them as yet
        for pid in died:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: client.get("/readyz").status_code == 503)
    wait_until(lambda: client.get("/readyz").status_code == 200)
    assert not died & {worker.pid for worker in jobs.workers if worker.ready}


def test_a_decoding_process_that_is_killed_fails_its_job_and_is_replaced(
    client, jobs, long_work, video, monkeypatch
):
    wait_until(lambda: jobs.ready)
    middle, answer = InTheMiddle(monkeypatch), send(client, long_work)
    with middle:
        os.kill(jobs.workers[0].pid, signal.SIGKILL)
    job = finished(client, answer)
    assert job["state"] == "failed" and job["problem"]["type"].endswith("decoder-failed")
    no_file_left(jobs)
    assert finished(client, send(client, video))["state"] == "done"


@pytest.fixture(scope="module")
def worker(small_config):
    started = FaceWorker(Settings(model=("x",), threads=1))
    yield started
    started.stop()


def faces_of(worker, config, limit_s=600.0):
    worker.prepare(config, lambda: False)
    deadline = time.monotonic() + limit_s
    return WorkerFaces(worker, config, deadline, lambda: False, lambda stage: None)


def samples_of(video, config):
    """All moments of a video."""
    return dict(enumerate(Moments.of(video.frame_times.times_s, config).samples))


@pytest.mark.usefixtures("confinable")
def test_what_decodes_an_upload_is_confined_and_knows_no_secret(
    worker, small_config, face_video, monkeypatch
):
    monkeypatch.setenv("DFDETECT_TEST_SECRET", "s3cret")
    worker.stop()
    video = faces_of(worker, small_config).open(str(face_video))
    assert look_at_all(video, small_config)
    (decoding,) = children(worker.pid)
    for thread in pathlib.Path(f"/proc/{decoding}/task").iterdir():
        status = (thread / "status").read_text()
        assert "\nSeccomp:\t2\n" in status and "\nNoNewPrivs:\t1\n" in status
    for process in (worker.pid, decoding):
        assert b"s3cret" not in pathlib.Path(f"/proc/{process}/environ").read_bytes()


def test_the_process_gives_the_same_looks_as_the_extractor(worker, small_config, extractor, sample):
    path = str(sorted(sample.rglob("*.mp4"))[0])
    faces = faces_of(worker, small_config)
    video, here = faces.open(path), extractor.open(path)
    assert video.metadata == here.metadata
    np.testing.assert_array_equal(video.frame_times.times_s, here.frame_times.times_s)
    np.testing.assert_array_equal(video.frame_times.keyframes, here.frame_times.keyframes)
    samples = samples_of(here, small_config)
    assert len(samples) == 2
    for got, expected in zip(video.looks(samples), here.looks(samples), strict=True):
        assert (got.moment, got.frames, got.thumbnail) == (
            expected.moment,
            expected.frames,
            expected.thumbnail,
        )
        for one, other in zip(got.clips, expected.clips, strict=True):
            assert one.images == other.images and one.index == got.moment
            np.testing.assert_array_equal(one.times_s, other.times_s)
            np.testing.assert_array_equal(one.boxes, other.boxes)
            assert one.sighting.to_dict() == other.sighting.to_dict()
    again = video.looks({1: samples[1]})  # the process goes on with the same file
    assert [look.moment for look in again] == [1]


def test_what_a_taken_over_process_calls_a_traceback_is_harmless_in_a_log():
    said = for_log("x" * 10_000 + "\x1b[2J\r\n\u202e2026 dfdetect.web: all is well")
    assert len(said) <= FAULT_CHARS and not {"\x1b", "\r", "\u202e"} & set(said)


def look_at_all(video, config):
    return list(video.looks(samples_of(video, config)))


@pytest.fixture
def large_video(encode, tmp_path):
    """Eight frames of 75 MB."""
    frames = np.broadcast_to(np.zeros((1, 5000, 5000, 3), np.uint8), (8, 5000, 5000, 3))
    return str(encode(tmp_path / "large.avi", frames, "mjpeg"))


@pytest.fixture
def worker_of_little_memory():
    limits = {"worker_memory": 150_000_000, "max_pixels": 5000 * 5000}
    started = FaceWorker(Settings(model=("x",), threads=1, **limits))
    yield started
    started.stop()


def test_a_process_that_takes_too_much_memory_is_ended(
    worker_of_little_memory, small_config, large_video
):
    faces = faces_of(worker_of_little_memory, small_config)
    with pytest.raises(VideoError, match="more than 150 MB of memory") as caught:
        look_at_all(faces.open(large_video), small_config)
    assert caught.value.reason == "decoder_failed"


def test_the_process_itself_says_the_same_where_the_server_looks_too_late(
    worker_of_little_memory, small_config, large_video, monkeypatch
):
    monkeypatch.setattr("serving.web.worker.resident_bytes", lambda pid: 0)
    faces = faces_of(worker_of_little_memory, small_config)
    with pytest.raises(VideoError, match="more than 150 MB of memory") as caught:
        look_at_all(faces.open(large_video), small_config)
    assert caught.value.reason == "decoder_failed"


def test_a_file_is_probed_once(extractor, small_config, sample, monkeypatch):
    probed = []
    probe = confined.probe
    monkeypatch.setattr(confined, "probe", lambda *args: (probed.append(args[0]), probe(*args))[1])
    path = str(sorted(sample.rglob("*.mp4"))[0])
    video = extractor.open(path)
    assert video.metadata.frames == 16 and look_at_all(video, small_config)
    assert probed == [path]


def test_a_process_that_hangs_is_ended_at_its_time_limit(worker, small_config, face_video):
    faces = faces_of(worker, small_config, limit_s=1.0)
    pid = worker.pid
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(VideoError, match="took longer than") as caught:
        faces.open(str(face_video))
    assert caught.value.reason == "timeout"
    assert not worker.ready and not os.path.exists(f"/proc/{pid}")


def test_a_fault_of_the_process_reaches_the_log_also_where_its_stderr_is_a_file(
    worker, small_config, face_video, tmp_path, caplog
):
    worker.stop()
    ours = os.dup(2)
    with open(tmp_path / "stderr", "w") as log:
        os.dup2(log.fileno(), 2)
        try:
            faces = faces_of(worker, small_config)
        finally:
            os.dup2(ours, 2)
            os.close(ours)
    pid = worker.pid
    video = faces.open(str(face_video))
    with pytest.raises(VideoError, match="reading it failed") as caught:
        list(video.looks({0: np.array([10**9])}))  # which no scan asks for
    assert caught.value.reason == "decoder_failed"
    (record,) = (r for r in caplog.records if "the decoding process failed" in r.getMessage())
    assert "Traceback" in record.getMessage() and "IndexError: " in record.getMessage()
    assert look_at_all(video, small_config) and worker.pid == pid


def test_a_process_that_is_cancelled_leaves_its_work_and_does_the_next(
    worker, small_config, long_work, face_video, tmp_path, monkeypatch
):
    monkeypatch.setattr("serving.web.worker.OBEY_S", 120.0)
    (tmp_path / "long.mp4").write_bytes(long_work)
    asked: list[int] = []
    worker.prepare(small_config, lambda: False)
    pid, deadline = worker.pid, time.monotonic() + 600
    faces = WorkerFaces(worker, small_config, deadline, lambda: len(asked) > 0, asked.append)
    video = faces.open(str(tmp_path / "long.mp4"))
    with pytest.raises(Cancelled):  # at the first stage that it reports
        look_at_all(video, small_config)
    again = faces_of(worker, small_config).open(str(face_video))
    assert look_at_all(again, small_config) and worker.pid == pid
    looks = faces_of(worker, small_config).open(str(tmp_path / "long.mp4"))
    left = looks.looks(samples_of(looks, small_config))
    next(left)
    left.close()
    again = faces_of(worker, small_config).open(str(face_video))
    assert look_at_all(again, small_config) and worker.pid == pid


def test_a_process_that_does_not_obey_is_ended_and_a_spare_one_takes_over(
    small_config, face_video, monkeypatch
):
    monkeypatch.setattr("serving.web.worker.OBEY_S", 0.2)
    settings = Settings(model=("x",), threads=1)
    starts: list[None] = []
    spares = Spares(settings, lambda: starts.append(None))
    worker = FaceWorker(settings, lambda: starts.append(None), spares)
    try:
        video = faces_of(worker, small_config).open(str(face_video))
        wait_until(lambda: spares.warm == 1, 180)
        pid = worker.pid
        os.kill(pid, signal.SIGSTOP)
        faces = WorkerFaces(worker, small_config, time.monotonic() + 60, lambda: True, print)
        with pytest.raises(Cancelled):
            list(faces.looks(video.path, samples_of(video, small_config)))
        assert not worker.ready and not os.path.exists(f"/proc/{pid}")
        worker.prepare(small_config, lambda: False)
        assert worker.ready and len(starts) == 3  # the first, the spare, and one for its place
        again = faces_of(worker, small_config).open(str(face_video))
        assert look_at_all(again, small_config)
    finally:
        worker.stop()
        spares.close()


def test_a_process_that_does_not_start_is_a_problem_that_says_so(small_config, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    broken = FaceWorker(Settings(model=("x",)))
    with pytest.raises(VideoError, match="came to an end"):
        broken.prepare(small_config, lambda: False)
    assert not broken.ready and broken.pid is None


def test_what_crosses_the_pipe_comes_back_the_same(extractor, small_config, face_video):
    video = extractor.open(str(face_video))
    first = look_at_all(video, small_config)[0]
    clips = [dataclasses.replace(clip, notes=("Turned.",)) for clip in first.clips] * 2
    look = dataclasses.replace(first, clips=tuple(clips), damaged="In part.")
    kind, values, blobs = unpack(pack_look(look))
    again = look_of(values, blobs)
    assert kind == "look" and (again.moment, again.frames) == (look.moment, look.frames)
    assert (again.thumbnail, again.damaged) == (look.thumbnail, "In part.")
    for one, other in zip(again.clips, clips, strict=True):
        assert one.images == other.images and one.fps == other.fps and one.notes == ("Turned.",)
        assert one.sighting.to_dict() == other.sighting.to_dict()
        for name in ("times_s", "boxes", "landmarks", "confidence", "transforms"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    kind, values, blobs = unpack(pack_opened(video.metadata, video.frame_times))
    metadata, frame_times = opened_of(values, blobs)
    assert kind == "opened" and metadata == video.metadata
    np.testing.assert_array_equal(frame_times.times_s, video.frame_times.times_s)


@pytest.mark.parametrize(
    "message", [b"", b"\0", b"\0\0\0\x02{}", b"\0\0\0\x04null", b"\xff\xff\xff\xff", b"\0\0\0\x01["]
)
def test_a_message_that_makes_no_sense_is_refused(message):
    with pytest.raises(ValueError):
        unpack(message)


def changed(message, blobs=None, **values):
    """The values and blobs of a message, other ones in place of some."""
    _, given, old = unpack(message)
    return {**given, **values}, old if blobs is None else blobs


def test_looks_that_make_no_sense_are_refused(extractor, small_config, face_video):
    video = extractor.open(str(face_video))
    packed = pack_look(look_at_all(video, small_config)[0])
    _, values, blobs = unpack(packed)
    (clip,) = values["clips"]
    sighting = clip["sighting"]
    for change in (
        {"clips": [{**clip, "times_s": [0.0] * 99}]},
        {"clips": [{**clip, "boxes": [[1.0, 2.0]]}]},
        {"clips": [{**clip, "boxes": [[float("nan")] * 4] * 4}]},
        {"clips": [{**clip, "sighting": None}]},
        {"clips": [{**clip, "sighting": {**sighting, "size": [0, 0]}}]},
        {"clips": [{**clip, "sighting": {**sighting, "pictures": "AA==", "picture_size": [0, 0]}}]},
        {"clips": [3]},
        {"moment": None},
        {"blobs": []},
        {"blobs": [b""] * len(blobs)},
    ):
        with pytest.raises(ValueError):
            look_of(*changed(packed, **change))


@pytest.mark.parametrize(
    "blobs",
    [
        [b"", b""],
        [b"abc", b""],
        [np.array([0.0, 2.0, 1.0]).tobytes(), b""],
        [np.array([0.0, np.nan]).tobytes(), b""],
        [np.array([0.0, 1.0]).tobytes(), np.array([2]).tobytes()],
        [np.array([0.0, 1.0]).tobytes(), np.array([1, 1]).tobytes()],
    ],
    ids=["none", "no numbers", "back", "nan", "beyond", "twice"],
)
def test_frame_times_that_make_no_sense_are_refused(extractor, face_video, blobs):
    video = extractor.open(str(face_video))
    packed = pack_opened(video.metadata, video.frame_times)
    with pytest.raises(ValueError):
        opened_of(*changed(packed, blobs))
    with pytest.raises(ValueError):
        opened_of(*changed(packed, width=None))


def test_a_process_that_answers_what_was_not_asked_is_ended(worker, small_config, face_video):
    faces = faces_of(worker, small_config)
    video = faces.open(str(face_video))
    samples = samples_of(video, small_config)
    worker.request(
        wire.pack_looks(str(face_video), small_config, samples)
    )  # a request that nobody waits for
    with pytest.raises(VideoError, match="sent moment 0; 1 was to come"):
        list(video.looks({1: samples[1]}))
    assert not worker.ready


@pytest.mark.parametrize("muxer", ["mp4", "mov", "matroska", "avi", "mpegts", "flv", "mpeg"])
def test_files_of_known_formats_are_told_from_others(muxer):
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=muxer) as container:
        codec = "mpeg1video" if muxer == "mpeg" else "libx264"
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(3):
            picture = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8))
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    assert looks_like_video(buffer.getvalue()[:32])
    assert not looks_like_video(b"PK\x03\x04") and not looks_like_video(b"<html>")


def test_uploads_of_a_server_that_died_are_removed_and_those_of_a_living_one_kept(tmp_path):
    script = (
        "import os, sys, pathlib; from serving.web.uploads import UploadFolder;"
        "folder = UploadFolder(pathlib.Path(sys.argv[1])); path, file = folder.create();"
        "file.write(b'video'); file.flush(); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)]).returncode == 9
    (dead,) = tmp_path.glob("uploads-*/*[!k]")
    assert dead.read_bytes() == b"video" and dead.stat().st_mode & 0o777 == 0o600
    first = UploadFolder(tmp_path)
    assert first.removed == 1 and not dead.exists()
    path, file = first.create()
    file.close()
    second = UploadFolder(tmp_path)
    assert second.removed == 0 and first.files() == [path]
    first.close()
    second.close()
    assert not list(tmp_path.glob("uploads-*"))


def test_a_folder_for_uploads_that_is_none_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(OSError, match="Give another --folder"):
        UploadFolder(tmp_path / "link")


@pytest.fixture(scope="module")
def token_settings(base):
    """Those of a server that asks for a token, and whose model server is down."""
    (base / "token").write_text("a-token-of-20-letters\n")
    with nobody_listens() as address:
        yield Settings(
            model_server=(f"http://{address}",),
            model_timeout=0.1,
            folder=str(base),
            token_file=str(base / "token"),
        )


@pytest.fixture(scope="module")
def token_web(token_settings):
    with running(token_settings) as (client, app):
        yield client, app.state.jobs


@pytest.fixture
def token_client(token_web):
    """Sends the token."""
    client, _ = token_web
    client.headers.update(TOKEN)
    yield client
    del client.headers["authorization"]


TOKEN = {"authorization": "Bearer a-token-of-20-letters"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Bearer"},
        {"authorization": "Basic !"},
        {"authorization": "a-token-of-20-letters"},
        {"authorization": b"Basic \xc3\xa4"},
        {"authorization": b"Bearer \xff"},
    ],
)
def test_without_the_token_nothing_is_done(token_web, video, headers):
    client, _ = token_web
    is_problem(send(client, video, headers=headers), 401, "unauthorized")
    assert client.get(f"{JOBS}/x").status_code == 401
    assert client.get("/metrics").status_code == 401
    assert client.get("/healthz").status_code == 200


def test_browsers_send_the_token_as_a_password(token_web):
    client, _ = token_web
    answer = client.get(f"{JOBS}/x", auth=("any", "a-token-of-20-letters"))
    is_problem(answer, 404, "not-found")
    assert client.get(f"{JOBS}/x").headers["www-authenticate"].startswith("Basic")


def test_a_fault_of_ours_fails_the_job_and_stops_nothing(
    token_web, token_client, video, monkeypatch
):
    def faulty():
        raise RuntimeError("a fault")

    monkeypatch.setattr(token_web[1], "_open_panel", faulty)
    for _ in range(2):
        job = finished(token_client, send(token_client, video))
        assert job["problem"]["type"].endswith("internal")
        assert "a fault" not in job["problem"]["detail"]


def test_a_model_server_that_is_down_gives_a_problem_never_a_verdict(token_client, video):
    is_problem(token_client.get("/readyz"), 503, "model-server-down")
    job = finished(token_client, send(token_client, video))
    assert job["state"] == "failed"
    body = is_problem(token_client.get(job["links"]["report_json"]), 503, "model-server-down")
    assert "no verdict" in body["detail"] and "127.0.0.1" not in body["detail"]


def test_jobs_share_what_is_known_of_model_servers(base, monkeypatch):
    """One that is down is left alone by all, also where each job has a model of its own."""
    monkeypatch.setattr(servers, "FIRST_AWAY_S", 1e5)
    alive, down = Replica(), Replica()
    down.down = True
    with scripted(alive) as one, scripted(down) as other:
        settings = Settings(model_server=(one, other), folder=str(base / "shared"))
        with running(settings) as (_, app):
            assert {app.state.jobs.ask_version() for _ in range(20)} == {"dfdetect/1"}
    assert len(alive.requests) >= 20 and len(down.requests) <= 2  # a worker asks beside us


def test_what_has_ended_is_gone_when_its_time_is_over(token_settings, video):
    with running(dataclasses.replace(token_settings, ttl=1.0)) as (client, _):
        client.headers.update(TOKEN)
        address = send(client, video).json()["links"]["self"]
        wait_until(lambda: client.get(address).status_code == 404)
        detail = client.get(address).json()["detail"]
        for why in ("time for which it was kept is over", "the server was restarted meanwhile"):
            assert why in detail


def test_junk_of_another_client_takes_no_result(client, video):
    result = finished(client, send(client, video))["links"]
    with another_client(client) as stranger:
        for _ in range(60):  # 50 are kept
            finished(stranger, send(stranger, b"junk of twenty bytes"))
    assert client.get(result["report_json"]).status_code == 200


def test_an_upload_that_takes_too_long_is_refused_and_leaves_no_file(token_settings):
    briefly = dataclasses.replace(token_settings, upload_timeout=1.0)
    with running(briefly) as (client, app):
        jobs = app.state.jobs
        with socket.create_connection((client.base_url.host, client.base_url.port)) as slow:
            slow.sendall(
                f"POST {JOBS} HTTP/1.1\r\nHost: localhost\r\n"
                f"Authorization: {TOKEN['authorization']}\r\n"
                "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000\r\n"
                "Expect: 100-continue\r\n\r\n".encode()
            )
            slow.settimeout(60)
            said = b""
            while b"upload-timeout" not in said:
                part = slow.recv(4096)
                assert part, said
                said += part
        assert b" 408 " in said and jobs.folder.files() == []


def test_a_file_that_the_disk_does_not_take_is_refused_and_leaves_nothing(client, jobs):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        answer = send(client, b"\0" * 1_200_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    body = is_problem(answer, 507, "not-stored")
    assert str(jobs.folder.path) not in body["detail"]
    assert jobs.folder.files() == []


def test_an_error_of_the_server_is_a_problem_with_all_headers_and_is_counted(
    client, jobs, monkeypatch
):
    def faulty(id):
        raise RuntimeError("a fault")

    monkeypatch.setattr(jobs, "get", faulty)
    answer = client.get(f"{JOBS}/x")
    assert "a fault" not in is_problem(answer, 500, "internal")["detail"]
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["cache-control"] == "no-store"
    counted = 'requests_total{method="GET",route="/api/v1/jobs/{id}",status="500"} 1.0'
    assert counted in client.get("/metrics").text


@pytest.mark.parametrize(
    "path", ["/healthz", "/metrics", f"{JOBS}/x", "/none", "/api/v1/openapi.json"]
)
def test_every_answer_has_the_security_headers(client, path):
    headers = client.get(path).headers
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


def test_unknown_paths_methods_and_values_are_problems(client):
    is_problem(client.get("/none"), 404, "not-found")
    for answer, status in (
        (client.put(JOBS), 405),
        (client.get(f"{JOBS}/x/faces/-1.jpg"), 422),
        (client.get(f"{JOBS}/x/faces/one.jpg"), 422),
    ):
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"] == "about:blank"


def test_ids_cannot_be_guessed_and_are_not_in_the_log(client, video, caplog):
    with caplog.at_level("INFO", "dfdetect.web"):
        ids = {finished(client, send(client, video, "secret.mp4"))["id"] for _ in range(2)}
        assert all(re.fullmatch(r"[\w-]{32}", id) for id in ids) and len(ids) == 2
        text = caplog.text
    assert "GET /api/v1/jobs/{id} 200" in text
    assert not any(id in text for id in ids) and "secret" not in text


def test_metrics_count_jobs_requests_and_problems(client, video):
    finished(client, send(client, video))
    finished(client, send(client, zipped()))
    text = client.get("/metrics").text
    for name in (
        'dfdetect_web_jobs_total{state="done"}',
        'dfdetect_web_problems_total{type="unsupported"}',
        'dfdetect_web_requests_total{method="POST",route="/api/v1/jobs",status="202"}',
        "dfdetect_web_waiting 0.0",
        "dfdetect_web_worker_starts_total",
    ):
        assert name in text


@pytest.mark.slow
def test_a_killed_server_leaves_no_process_and_its_uploads_go_at_the_next_start(
    exported, tmp_path, long_work
):
    command = [sys.executable, "-m", "dfdetect", "web", "--model", str(exported), "--port", "0"]
    command += ["--folder", str(tmp_path)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        url = server.stdout.readline().strip()
        with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
            wait_until(lambda: answers(client, "/readyz"))
            assert send(client, long_work).status_code == 202
        started = children(server.pid)  # the worker's, and maybe a spare one
    finally:
        server.kill()
        server.communicate()
    assert started
    wait_until(lambda: not any(map(alive, started)))
    assert len(list(tmp_path.glob("uploads-*/*"))) == 2  # its lock and the upload
    folder = UploadFolder(tmp_path)
    assert folder.removed == 1
    folder.close()


def answers(client, path):
    with contextlib.suppress(httpx.TransportError):
        return client.get(path).is_success
    return False


def alive(pid):
    """Whether there is such a process; one that has ended may wait to be taken note of."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(") ")[2][0] not in "ZX"
    except FileNotFoundError:
        return False


def children(pid):
    listings = pathlib.Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for listing in listings for child in listing.read_text().split()]


@pytest.mark.slow
def test_a_server_becomes_ready_when_its_model_server_comes(exported, base):
    from serving.client import RestClient
    from serving.model_server.server import start_in_thread

    settings = Settings(model_server=("http://127.0.0.1:9",), folder=str(base))
    with running(settings) as (client, app), start_in_thread(exported) as url:
        is_problem(client.get("/readyz"), 503, "model-server-down")
        app.state.jobs._open_panel = lambda: Panel([RestClient(url)])
        until_ready(client)


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["--model", "a", "--model", "a"],
        ["--model", "http://b", "--model-server", "http://b"],
        ["--model", "a", "--ensemble", "file"],
        ["--model-server", "b:8501"],
        ["--model-server", "http://b", "--model-server", "http://b"],
        ["--model", "a", "--queue", "-1"],
        ["--model", "a", "--every", "0"],
        ["-x"],
    ],
)
def test_wrong_usage_of_the_command_exits_2(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["web", *argv])
    assert caught.value.code == 2 and capsys.readouterr().err


def test_what_the_command_cannot_use_is_named(exported, tmp_path, capsys):
    assert main(["web", "--model", str(tmp_path)]) == 1
    assert "dfdetect export" in capsys.readouterr().err
    (tmp_path / "token").write_text("short")
    assert main(["web", "--model", str(exported), "--token-file", str(tmp_path / "token")]) == 1
    assert "at least 16" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["web", "--model", str(exported), "--port", port]) == 1
    assert "--port" in capsys.readouterr().err


def run_command(*argv):
    command = [sys.executable, "-m", "dfdetect", "web", "--port", "0", *map(str, argv)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def test_the_command_ends_in_good_order_on_sigterm(tmp_path):
    process = run_command("--model-server", "http://127.0.0.1:9", "--folder", tmp_path / "uploads")
    url = process.stdout.readline().strip()
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        wait_until(lambda: answers(client, "/healthz"))
    process.terminate()
    assert process.wait(120) == 0
    process.stdout.close()
    assert not list((tmp_path / "uploads").glob("uploads-*"))


def test_the_command_fails_where_the_model_cannot_be_loaded(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"nothing")
    process = run_command("--model", tmp_path, "--folder", tmp_path / "uploads")
    assert process.wait(120) == 1
    process.stdout.close()
