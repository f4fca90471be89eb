"""The HTTP server under our REST API where it is stricter than the stock one, or bounds itself."""

import json
import select
import time

import pytest

from serving.model_server.prometheus import MOST_UNKNOWN, Metrics
from serving.model_server.server import serve_in_thread
from tests.fixtures import serving_models
from tests.serving.model_server.test_http_conformance import GET, ONE, V1, Wire, get, post

NAME = serving_models.NAME
MODEL = f"/v1/models/{NAME}"
CHUNKED = "Transfer-Encoding: chunked\r\n"


@pytest.fixture(scope="module")
def small_server(half_plus_two):
    """One thread for each kind of request, bodies of at most 1 MiB."""
    folder = half_plus_two / NAME / "1"
    with serve_in_thread(folder, NAME, max_body_mb=1, threads=1, grpc_port=-1) as where:
        yield where.rest


@pytest.fixture
def wire(small_server):
    with Wire(small_server) as wire:
        yield wire


def head(path=f"{MODEL}:predict", **headers):
    return get(path, "1.1", "POST", "".join(f"{k}: {v}\r\n" for k, v in headers.items()))


@pytest.mark.parametrize("expect", ["", "Expect: 100-continue\r\n"])
@pytest.mark.parametrize("length", [2**20 + 1, 10**12, 10**29])
def test_a_body_that_is_announced_too_large_is_refused_before_it_is_sent(wire, expect, length):
    wire.send(get(f"{MODEL}:predict", "1.1", "POST", f"Content-Length: {length}\r\n{expect}"))
    status, headers, body = wire.answer()
    assert status == 413 and headers["connection"] == "close"
    assert json.loads(body) == {"error": "The body is larger than 1048576 bytes."}


def test_who_sends_it_all_the_same_can_read_the_answer(wire):
    wire.send(head(**{"Content-Length": 3 << 20}) + b" " * (3 << 20))
    assert wire.answer()[0] == 413 and not wire.is_kept()


def test_chunks_are_taken_up_to_the_limit(wire):
    chunk = b"80000\r\n" + b" " * 0x80000 + b"\r\n"
    wire.send(head()[:-2] + CHUNKED.encode() + b"\r\n" + chunk * 3)
    assert wire.answer()[0] == 413


AMBIGUOUS = [
    f"Content-Length: 15\r\n{CHUNKED}",
    f"{CHUNKED}Content-Length: 15\r\n",
    "Content-Length: 15\r\nContent-Length: 16\r\n",
    "Content-Length : 15\r\n",
    "Content-Length: +15\r\n",
    "Content-Length: 15\0\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: chunked, identity\r\n",
    "X: a\rContent-Length: 15\r\n",
    ": a\r\n",
]  # fmt: skip


@pytest.mark.parametrize("headers", AMBIGUOUS)
def test_a_message_that_two_servers_could_read_in_two_ways_is_refused(wire, headers):
    wire.send(get(f"{MODEL}:predict", "1.1", "POST", headers) + ONE + GET)
    assert wire.answer()[0] == 400 and not wire.is_kept()


@pytest.mark.parametrize("chunks", [b"zz\r\n", b"-2\r\nab\r\n", b"1\r\nab\r\n", b"1" * 5000])
def test_chunks_that_are_none_are_refused(wire, chunks):
    wire.send(head()[:-2] + CHUNKED.encode() + b"\r\n" + chunks)
    assert wire.answer()[0] == 400


def test_the_size_of_a_request_line_with_its_headers_is_bounded(wire):
    wire.send(get(headers="X: " + "x" * (1 << 20) + "\r\n"))
    assert wire.answer()[0] == 431


@pytest.mark.parametrize("method", ["TRACE", "HEAD", "PUT"])
def test_a_method_that_is_not_served_gets_the_words_of_the_api(wire, method):
    wire.send(get(method=method))
    status, headers, body = wire.answer(head=method == "HEAD")
    assert status == 400 and headers["content-type"] == "application/json"
    if method != "HEAD":
        assert json.loads(body) == {"error": f"Malformed request: {method} {V1}"}


def test_a_packed_body_is_named_where_it_cannot_be_unpacked(wire):
    wire.send(post(f"{MODEL}:predict", body=b"no gzip", Content_Encoding="gzip"))
    status, _, body = wire.answer()
    assert status == 400 and b"Failed to uncompress the gzipped body" in body


def test_small_requests_do_not_wait_for_large_ones(small_server, gate):
    slow = {"signature_name": "held", "inputs": [str(gate.path)], "padding": "x" * 100_000}
    with Wire(small_server) as large, Wire(small_server) as small, gate:
        for _ in range(2):  # the second waits for the first
            large.send(post(f"{MODEL}:predict", body=json.dumps(slow).encode()))
        small.send(post(f"{MODEL}:predict"))
        assert small.answer()[0] == 200
        assert not select.select([large.socket], [], [], 0)[0]
        gate.open()
        assert large.answer()[0] == large.answer()[0] == 200


def test_whoever_leaves_gives_the_place_to_others(half_plus_two):
    folder = half_plus_two / NAME / "1"
    with serve_in_thread(folder, NAME, max_in_flight=1, grpc_port=-1) as where:
        with Wire(where.rest) as gone:
            gone.send(head(**{"Content-Length": 15, "Expect": "100-continue"}))
            assert gone.answer()[0] == 100
            with Wire(where.rest) as refused:
                refused.send(post(f"{MODEL}:predict"))
                assert refused.answer()[0] == 503
        end, status = time.monotonic() + 30, 503
        while status == 503 and time.monotonic() < end:
            with Wire(where.rest) as other:
                other.send(post(f"{MODEL}:predict"))
                status = other.answer()[0]
        assert status == 200


def test_names_of_models_that_are_not_there_do_not_fill_the_metrics():
    metrics = Metrics(lambda name: name == NAME)
    for i in range(MOST_UNKNOWN + 100):
        metrics.count_request(f"m{i}", "NOT_FOUND")
    metrics.count_request(NAME, "OK")
    page = metrics.page().decode()
    assert page.count('status="NOT_FOUND"') == MOST_UNKNOWN + 1
    assert 'request_count{model_name="",status="NOT_FOUND"} 100' in page
    assert f'request_count{{model_name="{NAME}",status="OK"}} 1' in page


def test_what_a_label_holds_is_escaped():
    metrics = Metrics()
    metrics.count_request('a"b\\c\nd', "OK")
    assert 'model_name="a\\"b\\\\c\\nd"' in metrics.page().decode()
