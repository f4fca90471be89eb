"""HTTP messages as plain bytes: whatever comes is a request, a part of one, or refused."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.model_server.http_messages import (
    MOST_HEAD_BYTES,
    Body,
    Refused,
    Response,
    page,
    parse_head,
    render,
    split_head,
)

SOMETHING_LIKE_A_HEAD = st.lists(
    st.sampled_from(
        [b"GET", b"POST", b" ", b"/v1/", b"HTTP/1.1", b"HTTP/1.0", b"\r\n", b"\n", b"\0", b"\t"]
        + [b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Expect: 100-continue", b"X:"]
        + [b"http://a", b"//", b"?a#b", b"%20", b"%", b"\xff", b"Connection: close", b":"]
    )
).map(b"".join)


@given(st.binary(max_size=200) | SOMETHING_LIKE_A_HEAD)
def test_any_bytes_are_a_head_or_refused(data):
    with contextlib.suppress(Refused):
        head = parse_head(data + b"\r\n\r\n")
        assert head.method.isupper() and head.minor in range(10)
        assert head.length is None or head.length >= 0
        assert " " not in head.target and head.path in head.target


@given(st.binary(max_size=60), st.lists(st.integers(0, 60)))
def test_a_head_ends_at_the_same_place_however_it_comes(data, cuts):
    data = data + b"\r\n\r\nrest"
    whole = split_head(bytearray(data), 0)
    came, looked = bytearray(), 0
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(data)], strict=True):
        came += data[start:end]
        if found := split_head(came, looked):
            break
        looked = len(came)
    assert found == whole and data[:whole].endswith((b"\n\n", b"\r\n\r\n", b"\n\r\n", b"\r\n\n"))


def test_a_head_without_an_end_is_refused_when_it_is_too_long():
    assert split_head(bytearray(MOST_HEAD_BYTES), 0) == 0
    with pytest.raises(Refused) as caught:
        split_head(bytearray(MOST_HEAD_BYTES + 1), 0)
    assert caught.value.status == 431


def fed(body, data, cuts):
    """What the body leaves over, fed piece by piece."""
    rest = bytearray()
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(data)], strict=True):
        rest += data[start:end]
        body.feed(rest)
    return bytes(rest)


CUTS = st.lists(st.integers(0, 120))


@given(st.binary(max_size=80), st.binary(max_size=20), CUTS)
def test_a_body_of_a_known_length_takes_that_and_no_more(content, after, cuts):
    body = Body(len(content), 100)
    assert fed(body, content + after, cuts) == after
    assert body.complete and body.bytes() == content


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=3), st.binary(max_size=20), CUTS)
def test_chunks_are_put_together_and_what_follows_is_left(chunks, after, cuts):
    data = b"".join(b"%x;a=b\r\n%b\r\n" % (len(c), c) for c in chunks) + b"0\r\nX: a\r\n\r\n"
    body = Body(None, 100)
    assert fed(body, data + after, cuts) == after
    assert body.complete and body.bytes() == b"".join(chunks)


@given(st.binary(max_size=120), CUTS)
def test_any_bytes_are_chunks_part_of_them_or_refused(data, cuts):
    with contextlib.suppress(Refused):
        body = Body(None, 100)
        fed(body, data, cuts)
        assert len(body.bytes()) <= 100


@pytest.mark.parametrize("length", [None, 11])
def test_more_than_the_most_is_refused(length):
    data = bytearray(b"0123456789a" if length else b"6\r\n012345\r\n5\r\n")
    with pytest.raises(Refused) as caught:
        Body(length, 10).feed(data)
    assert caught.value.status == 413


def test_a_response_says_how_long_it_is_and_whether_the_connection_ends():
    head = parse_head(b"GET / HTTP/1.1\r\n\r\n")
    text = render(Response(200, b"{}"), head, close=False)
    assert text.startswith(b"HTTP/1.1 200 OK\r\n") and text.endswith(b"\r\n\r\n{}")
    assert b"Content-Length: 2\r\n" in text and b"Connection" not in text
    assert b"\r\nConnection: close\r\n" in render(page(404), head, close=True)
    assert render(Response(499), None, close=True).startswith(b"HTTP/1.1 499 ")
    kept = parse_head(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert render(Response(200), kept, close=False).startswith(b"HTTP/1.0 200 OK\r\n")
