"""Headers of any bytes: an answer, and never that of an error of the server."""

import socket

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from serving.web import token_guard
from serving.web.settings import Settings
from tests.serving.web.test_web_api import running

NAMES = (
    "accept", "accept-encoding", "accept-language", "authorization", "cache-control", "connection",
    "content-disposition", "content-encoding", "content-length", "content-type", "cookie", "expect",
    "forwarded", "host", "if-match", "if-modified-since", "if-none-match", "if-range",
    "if-unmodified-since", "last-event-id", "origin", "range", "referer", "sec-fetch-site", "te",
    "trailer", "transfer-encoding", "upgrade", "user-agent", "x-forwarded-for", "x-forwarded-proto",
)  # fmt: skip
USUAL = (
    b"Basic \xff", b"Basic \xc3\xa4", b"Basic YTpi", b"Basic YQ=", b"Bearer \xff", b"Bearer",
    b"bytes=0-", b"bytes=5-1", b"bytes=-0", b"bytes=0-0,2-3,1-1", b"bytes=-" + b"9" * 5000,
    b"bytes=\xb2-", b'W/"x"', b'"x"', b"*", b"Thu, 99 Foo 99999999999999999999 99:99:99 GMT",
    b"Thu, 01 Jan 1970 00:00:00 +9999999999", b"9" * 5000, b"-1", b"\xb2", b"0x10", b"1, 1", b"",
    b"multipart/form-data", b"multipart/form-data; boundary=\xff",
    b"multipart/form-data; boundary*=x'%ff'%ff", b'multipart/form-data; boundary="',
    b"multipart/form-data; boundary*0=a; boundary*9999999999999999999999=b", b"text/html;q=\xff",
    b"chunked", b"gzip, chunked", b"100-continue", b"websocket", b"upgrade", b"close", b"a=\xff; b",
    b"http://[::1", b"http://[", b"[::1]:x", b"null", b"::1%\xff", b"999.999.999.999", b"\x80\xff",
)  # fmt: skip
PATHS = (
    b"/", b"/healthz", b"/metrics", b"/none", b"/api/v1/jobs", b"/api/v1/jobs/x",
    b"/shared/x", b"/shared/%ff/report.json", b"/api/v1/jobs?before=%ff", b"/api/v1/jobs/export",
    b"/api/v1/jobs/x/shares", b"/api/v1/jobs/x/events", b"/api/v1/jobs/x/report.json",
    b"/api/v1/openapi.json", b"/jobs/x",
    b"/static/app.js", b"/static/%00", b"/static/%ff", b"/static/..%2f..%2fapp.py", b"/static/",
    b"/jobs/%00", b"/jobs/x/result", b"*", b"http://[", b"//", b"/?\x7f", b"/static/" + b"a" * 300,
)  # fmt: skip
TOKEN = b"a-token-of-20-letters"

values = st.one_of(st.sampled_from(USUAL), st.binary(max_size=30))
headers = st.lists(st.tuples(st.sampled_from(NAMES), values), max_size=4)
parts = st.lists(
    st.tuples(st.sampled_from(("content-disposition", "content-type", "x")), values), max_size=3
)


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    folder = tmp_path_factory.mktemp("headers")
    (folder / "token").write_bytes(TOKEN)
    given = Settings(
        model_server=("http://127.0.0.1:9",),
        model_timeout=0.1,
        folder=str(folder / "web"),
        token_file=str(folder / "token"),
        trusted_proxy=("127.0.0.1",),
        header_timeout=0.3,
        upload_grace=0.1,
        queue=10_000,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(token_guard, "TRIES", 1_000_000)  # wrong tokens that keep out no right one
        with running(given) as (client, _):
            yield client.base_url.host, client.base_url.port


def lines(pairs):
    return b"".join(name.encode() + b": " + value + b"\r\n" for name, value in pairs)


def asked(web, request):
    """The first line of the answer; nothing where the connection is closed without one."""
    with socket.create_connection(web, 60) as connection:
        connection.sendall(request)
        try:
            return connection.makefile("rb").readline()
        except ConnectionResetError:
            return b""


def is_no_fault(answer):
    return not answer or answer.split()[1][:1] in b"1234"


@settings(
    max_examples=250,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.sampled_from((b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"ANY")),
    st.one_of(st.sampled_from(PATHS), st.binary(max_size=20)),
    st.booleans(),
    headers,
)
@example(b"GET", b"/metrics", False, [("authorization", b"Basic \xc3\xa4")])
@example(b"POST", b"/api/v1/jobs", True, [("content-length", b"9" * 5000)])
@example(b"GET", b"/static/%00", True, [])
def test_a_request_with_any_headers_gets_no_error_of_the_server(web, method, path, token, given):
    head = method + b" " + path + b" HTTP/1.1\r\nHost: localhost\r\n"
    if token:
        head += b"Authorization: Bearer " + TOKEN + b"\r\n"
    answer = asked(web, head + lines(given) + b"Connection: close\r\n\r\n")
    assert is_no_fault(answer), answer


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(values, parts, st.binary(max_size=40))
def test_an_upload_with_any_headers_of_its_parts_gets_no_error_of_the_server(
    web, boundary, given, content
):
    body = b"--b\r\n" + lines(given) + b"\r\n" + content + b"\r\n--b--\r\n"
    head = (
        b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        b"Authorization: Bearer " + TOKEN + b"\r\nContent-Length: %d\r\n" % len(body)
    )
    for kind in (b"multipart/form-data; boundary=b", b"multipart/form-data; boundary=" + boundary):
        answer = asked(web, head + b"Content-Type: " + kind + b"\r\n\r\n" + body)
        assert is_no_fault(answer), answer
