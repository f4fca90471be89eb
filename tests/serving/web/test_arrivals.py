"""Uploads under way: those that stand still keep out nobody, and end."""

import asyncio
import contextlib
import dataclasses
import re
import socket

import pytest

from serving.web import arrivals, receive
from serving.web.arrivals import Pace
from serving.web.problems import Problem
from tests.serving.web.live_server import JOBS, is_problem, running, send, wait_until

HEAD = (
    f"POST {JOBS} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n"
    "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
)
PART = '--b\r\nContent-Disposition: form-data; name="video"; filename="a"\r\n\r\n'
JUNK = b"no video at all, only so many bytes"


def test_an_upload_of_which_nothing_comes_is_ended_after_its_grace():
    async def nothing():
        await asyncio.Event().wait()

    with pytest.raises(Problem, match="slower than 1 kB a second for 0.01 s") as caught:
        asyncio.run(Pace(1000, 0.01).next(nothing))
    assert caught.value.status == 408


def test_bytes_earn_time_up_to_the_grace():
    pace = Pace(1000, 100.0)

    async def come(*sizes):
        for size in sizes:

            async def come_one(size=size):
                return {"type": "http.request", "body": b"\0" * size, "more_body": True}

            await pace.next(come_one)

    pace._left_s = 50.0
    asyncio.run(come(1000, 2000))
    assert 52 < pace.left_s <= 53
    asyncio.run(come(1_000_000))
    assert pace.left_s == 100


@contextlib.contextmanager
def uploading(client, count, source="127.0.0.1", content=PART):
    """Connections that begin an upload, and send no more of it."""
    address = client.base_url.host, client.base_url.port
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(address, 60, (source, 0)))
            for _ in range(count)
        ]
        for connection in connections:
            connection.sendall((HEAD + content).encode())
        yield connections


def under_way(client):
    (number,) = re.findall(r"^dfdetect_web_uploads (\S+)$", client.get("/metrics").text, re.M)
    return float(number)


def answer_of(connection):
    """The status of the answer that comes on a connection."""
    data = b""
    while b"\r\n" not in data:
        part = connection.recv(4096)
        assert part, data
        data += part
    return int(data.split()[1])


def test_nine_silent_uploads_keep_out_nobody(settings):
    room = dataclasses.replace(settings, queue=18)  # for 19 videos
    with running(room) as (client, _), uploading(client, 9) as silent:
        wait_until(lambda: under_way(client) == 9)
        for number in range(19):
            for connection in silent:
                connection.sendall(b"x")
            assert send(client, JUNK).status_code == 202, number
            assert under_way(client) == 9


def test_silent_uploads_are_ended_and_leave_nothing(settings):
    briefly = dataclasses.replace(settings, upload_grace=0.5)
    with running(briefly) as (client, app), uploading(client, 3) as silent:
        assert [answer_of(connection) for connection in silent] == [408] * 3
        assert under_way(client) == 0 and app.state.jobs.folder.files() == []


def test_a_client_has_half_of_the_uploads_and_others_have_room(settings, monkeypatch):
    monkeypatch.setattr(arrivals, "STALLED_S", 1e5)
    monkeypatch.setattr(receive, "DRAIN_S", 0.1)
    few = dataclasses.replace(settings, uploads=4)
    with running(few) as (client, _), uploading(client, 2, "127.0.0.2"):
        wait_until(lambda: under_way(client) == 2)
        with uploading(client, 1, "127.0.0.2") as (third,):
            assert answer_of(third) == 429
        assert send(client, JUNK).status_code == 202
        with uploading(client, 2, "127.0.0.3"):
            wait_until(lambda: under_way(client) == 4)
            answer = send(client, JUNK)
            assert "4 uploads in all" in is_problem(answer, 429, "busy")["detail"]
            assert int(answer.headers["retry-after"]) >= 1


def test_an_upload_that_stands_still_gives_way_to_one_that_has_no_room(settings):
    few = dataclasses.replace(settings, uploads=2)
    with running(few) as (client, _), uploading(client, 1) as (silent,):
        wait_until(lambda: under_way(client) == 1)
        wait_until(lambda: send(client, JUNK).status_code == 202)
        assert answer_of(silent) == 408
        assert under_way(client) == 0


def test_a_video_that_is_complete_when_the_queue_is_full_is_refused_and_removed(settings):
    one = dataclasses.replace(settings, queue=0)
    with running(one) as (client, app), uploading(client, 1) as (slow,):
        wait_until(lambda: under_way(client) == 1)
        app.state.jobs.check_place = lambda: (_ for _ in ()).throw(Problem("busy", "Full."))
        rest = 100_000 - len(PART) - len(b"\r\n--b--\r\n")
        slow.sendall(b"\0" * rest + b"\r\n--b--\r\n")
        assert answer_of(slow) == 429
        assert app.state.jobs.folder.files() == []
