"""Connections that send half a request, or take no answer: bounded, and no trouble for others."""

import contextlib
import dataclasses
import logging
import resource
import select
import socket
import subprocess
import sys

import httpx
import pytest

from serving.sockets import listen
from serving.web import connections
from serving.web.log_limit import LogLimit
from serving.web.open_files import Listener, most_connections
from serving.web.settings import Settings
from tests.serving.web.live_server import is_problem, running, wait_until
from tests.serving.web.test_arrivals import answer_of, under_way, uploading

HALF = b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\n"


@contextlib.contextmanager
def half_sent(client, count, source="127.0.0.1", content=HALF):
    """Connections that have sent this, one after the other."""
    address = client.base_url.host, client.base_url.port
    with contextlib.ExitStack() as stack:
        sockets = []
        for _ in range(count):
            one = stack.enter_context(socket.create_connection(address, 60, (source, 0)))
            with contextlib.suppress(ConnectionError):  # closed already
                one.sendall(content)
            sockets.append(one)
        yield sockets


def is_closed(connection):
    """Waits for it."""
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(1 << 16):
            pass
    return True


def closed(client, reason):
    name = f'dfdetect_web_connections_closed_total{{reason="{reason}"}} '
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))


def test_half_sent_requests_are_closed_in_time_and_uploads_are_not(settings):
    briefly = dataclasses.replace(settings, header_timeout=1.0)
    with running(briefly) as (client, _), contextlib.ExitStack() as stack:
        (upload,) = stack.enter_context(uploading(client, 1))
        wait_until(lambda: under_way(client) == 1)
        whole = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        contents = (b"", b"G", HALF, whole + HALF)
        halves = [half_sent(client, 1, content=content) for content in contents]
        for (half,) in [stack.enter_context(one) for one in halves]:
            assert is_closed(half)
        assert under_way(client) == 1 and closed(client, "header") >= 4
        upload.sendall(b"x")


def test_a_client_s_oldest_half_sent_requests_make_room_for_its_new_ones(settings):
    few = dataclasses.replace(settings, client_connections=4, header_timeout=1e6)
    with running(few) as (client, _), half_sent(client, 1) as (other,):
        with half_sent(client, 10, "127.0.0.2") as sockets:
            assert all(is_closed(one) for one in sockets[:6])
            sockets[9].sendall(b"Content-Length: 0\r\n\r\n")
            assert answer_of(sockets[9]) == 400
        other.sendall(b"Content-Length: 0\r\n\r\n")
        assert answer_of(other) == 400


def test_requests_are_bounded_and_health_is_still_told(settings):
    few = dataclasses.replace(settings, connections=16, client_connections=8, uploads=100)
    with running(few) as (client, app), contextlib.ExitStack() as stack:
        ask = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"

        def asked(path, source):
            with half_sent(client, 1, source, ask % path) as (connection,):
                return answer_of(connection)

        stack.enter_context(uploading(client, 7, "127.0.0.2"))
        wait_until(lambda: under_way(client) == 7)
        assert asked(b"/", "127.0.0.2") == 429 and asked(b"/healthz", "127.0.0.2") == 200
        stack.enter_context(uploading(client, 7, "127.0.0.3"))
        wait_until(lambda: len(app.state.connections) >= 15)
        wait_until(lambda: client.get("/").status_code == 503)
        is_problem(client.get("/"), 503, "too-many-requests")
        assert client.get("/healthz").status_code == 200
        with half_sent(client, 20, "127.0.0.4"):
            assert client.get("/healthz").status_code == 200


def test_who_takes_no_answers_is_left(settings, monkeypatch):
    monkeypatch.setattr(connections, "SEND_S", 0.5)
    ask = b"GET /static/vendor/uplot/uPlot.iife.min.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with running(settings) as (client, _), half_sent(client, 1, content=b"") as (deaf,):
        deaf.setblocking(False)
        with contextlib.suppress(BlockingIOError, ConnectionError):
            for _ in range(400):  # 20 MB of answers
                deaf.sendall(ask)
        wait_until(lambda: closed(client, "not read") == 1)


def test_a_trusted_proxy_is_no_client_and_names_them(settings, monkeypatch):
    monkeypatch.setattr("serving.web.arrivals.STALLED_S", 1e5)
    monkeypatch.setattr("serving.web.receive.DRAIN_S", 0.1)
    few = dataclasses.replace(settings, client_connections=2, uploads=4)
    by_proxy = dataclasses.replace(few, trusted_proxy=("127.0.0.0/24",), uploads=2)
    with running(few) as (client, _):
        one = half_sent(client, 1)
        with one as (first,), half_sent(client, 2):
            assert is_closed(first)
    with running(by_proxy) as (client, _), contextlib.ExitStack() as stack:

        def send(named):
            head = f"X-Forwarded-For: {named}\r\nContent-Length: 1000\r\n"
            head += "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
            content = HALF + head.encode()
            return stack.enter_context(half_sent(client, 1, content=content))[0]

        send("192.0.2.1")
        wait_until(lambda: under_way(client) == 1)
        assert answer_of(send("192.0.2.1")) == 429
        send("2001:db8::1")
        wait_until(lambda: under_way(client) == 2)


@pytest.mark.parametrize("given", ["proxy.example", "10.0.0.1/8", ""])
def test_a_trusted_proxy_is_an_address_or_a_network(given):
    with pytest.raises(ValueError, match="--trusted-proxy"):
        Settings(model=("m",), trusted_proxy=(given,))


def limited():
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))


def test_four_times_the_half_sent_requests_that_it_has_room_for_stop_nothing_and_fill_no_log(
    tmp_path,
):
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dfdetect", "web", "--port", "0"]
            + ["--model-server", "http://127.0.0.1:9", "--folder", tmp_path / "uploads"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            preexec_fn=limited,
        )
    try:
        url = process.stdout.readline().strip()
        with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
            wait_until(lambda: answers(client))
            with half_sent(client, 400):
                for _ in range(10):
                    # A connection of its own each time.
                    assert httpx.get(f"{url}healthz", trust_env=False, timeout=60).is_success
                # Requests that are none, quickly.
                with half_sent(client, 400, content=b"no request\r\n\r\n"):
                    assert client.get("/healthz").is_success
            assert "dfdetect_web_connections_closed" in client.get("/metrics").text
    finally:
        process.terminate()
        process.communicate()
    written = (tmp_path / "log").read_text()
    assert len(written) < 100_000 and "Traceback" not in written
    assert "Too many open files" not in written


def answers(client):
    with contextlib.suppress(httpx.TransportError):
        return client.get("/healthz").is_success
    return False


@contextlib.contextmanager
def no_descriptors():
    """Within it no file can be opened."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, limits[1]))
    try:
        with contextlib.ExitStack() as taken:
            with contextlib.suppress(OSError):
                while True:
                    taken.enter_context(open("/dev/null"))
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_connection_without_a_descriptor_is_closed_and_the_next_one_is_taken():
    def waiting():
        return select.select([listener], [], [], 1)[0]

    with (
        listen("127.0.0.1", 0, "--port") as given,
        Listener(given) as listener,
        socket.socket() as first,
        socket.socket() as second,
    ):
        listener.listen()
        listener.setblocking(False)
        first.connect(given.getsockname())
        wait_until(waiting)
        with no_descriptors(), pytest.raises(BlockingIOError):
            listener.accept()
        assert is_closed(first)
        second.connect(given.getsockname())
        wait_until(waiting)
        with listener.accept()[0]:
            pass


def test_connections_take_half_of_the_descriptors(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (200, 200))
    assert most_connections(1000) == 100 and most_connections(50) == 50
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert most_connections(1000) == 1000


def test_log_lines_of_one_place_are_bounded_and_it_is_said_how_many_were_left_out():
    limit = LogLimit(burst=3, per_s=0)
    place = ("web", logging.INFO, "a.py", 1, "line %d", (7,), None)
    other = ("web", logging.INFO, "a.py", 2, "another", (), None)
    assert [limit.filter(logging.LogRecord(*place)) for _ in range(6)] == [True] * 3 + [False] * 3
    assert limit.filter(logging.LogRecord(*other))
    limit._per_s = 1e9
    record = logging.LogRecord(*place)
    assert limit.filter(record)
    assert record.getMessage() == "line 7 (3 lines like this were left out before it)"
