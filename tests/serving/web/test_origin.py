"""Requests that change something: from our own pages, or from no page."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serving.web.authority import Authority, authority
from serving.web.origin import Origins
from serving.web.problems import Problem
from serving.web.settings import Settings
from tests.serving.web.live_server import JOBS, is_problem, running

SETTINGS = Settings(model=("m",), host="Box.lan", allowed_host=("detect.example", "x.example:8443"))


def refused(settings, method="POST", **headers):
    """The name of the problem that a request with these headers gets, or None."""
    pairs = [
        (name.replace("_", "-").encode(), value.encode("latin-1"))
        for name, values in headers.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    try:
        Origins(settings).check({"type": "http", "method": method, "headers": pairs})
    except Problem as problem:
        assert problem.status == 403 and "--allowed-host" in problem.detail
        return problem.name
    return None


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "127.0.0.1:8080"},
        {"host": "127.0.0.1:8080", "origin": "http://127.0.0.1:8080"},
        {"host": "localhost:8080", "origin": "http://localhost:8080"},
        {"host": "LOCALHOST.:8080", "origin": "http://localhost:8080"},
        {"host": "[::1]:8080", "origin": "http://[::1]:8080"},
        {"host": "192.168.0.7:8080", "origin": "http://192.168.0.7:8080"},
        {"host": "box.lan:8080", "origin": "http://box.lan:8080", "sec_fetch_site": "same-origin"},
        {"host": "detect.example", "origin": "https://detect.example"},  # TLS ends at the proxy
        {"host": "detect.example:443", "origin": "https://detect.example"},
        {"host": "127.0.0.1:8080", "origin": "https://detect.example"},  # which names itself
        {"host": "127.0.0.1:8080", "origin": "https://x.example:8443"},
        {"host": "localhost", "referer": "http://localhost/jobs/x"},
        {"host": "localhost", "sec_fetch_site": "none"},
    ],
)
def test_our_own_pages_and_programs_may_change_something(headers):
    assert refused(SETTINGS, **headers) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://localhost"},
        {"origin": "http://localhost:3000"},
        {"origin": "http://127.0.0.1:8080"},
        {"origin": "http://localhost:8080.evil.example"},
        {"origin": "http://localhost:8080@evil.example"},
        {"origin": "http://evil.example/http://localhost:8080"},
        {"origin": "https://x.example"},
        {"origin": ["http://localhost:8080", "http://evil.example"]},
        {"origin": "http://\xff"},
        {"referer": "http://evil.example/localhost:8080"},
        {"origin": "http://localhost:8080", "referer": "http://evil.example/"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"origin": "http://localhost:8080", "sec_fetch_site": "cross-site"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH", "ANY"])
def test_pages_of_others_may_change_nothing(headers, method):
    assert refused(SETTINGS, method, host="localhost:8080", **headers) == "cross-site"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "localhost.evil.example"])
def test_a_name_that_was_rebound_to_this_server_is_refused(host):
    assert refused(SETTINGS, host=host, origin=f"http://{host}") == "unknown-host"
    assert refused(SETTINGS, host=host) == "unknown-host"


@pytest.mark.parametrize("host", ["", "a b", "localhost:x", "[localhost]", "a@localhost", "\xff:"])
def test_a_host_that_is_none_is_refused(host):
    assert refused(SETTINGS, host=host) == "unknown-host"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_what_only_reads_is_asked_by_any_name_and_page(method):
    assert refused(SETTINGS, method, host="metrics", origin="http://evil.example") is None


NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,20}(\.[a-z]{2,5})?", fullmatch=True)
PORTS = st.integers(1, 65535).map(str)


@given(NAMES, PORTS, NAMES, PORTS)
def test_pages_are_the_same_where_name_and_port_are(name, port, other, other_port):
    settings = Settings(model=("m",), allowed_host=(name,))
    same = authority(f"{name}:{port}") == authority(f"{other}:{other_port}")
    allowed = authority(name) == authority(f"{other}:{other_port}")
    answer = refused(settings, host=f"{name}:{port}", origin=f"http://{other}:{other_port}")
    assert (answer is None) == (same or allowed)


@example(".")
@given(st.text(max_size=30))
def test_any_text_is_an_authority_or_none(text):
    found = authority(text)
    assert found is None or (
        found.name and authority(f"[{found.name}]" if ":" in found.name else found.name)
    )


def test_an_authority_is_a_name_and_a_port():
    assert authority("A.example:8080") == Authority("a.example", "8080")
    assert authority("[2001:DB8::1]") == Authority("2001:db8::1", "")
    assert authority("http://a") is None


@pytest.mark.parametrize("given", ["https://a.example", "a.example/", ""])
def test_an_allowed_host_is_a_name(given):
    with pytest.raises(ValueError, match="--allowed-host"):
        Settings(model=("m",), allowed_host=(given,))


@pytest.mark.parametrize("token", [None, "a-token-of-20-letters"])
def test_a_form_of_another_site_sends_no_video_with_and_without_a_token(tmp_path, token):
    (tmp_path / "token").write_text(token or "")
    settings = Settings(
        model_server=("http://127.0.0.1:9",),
        model_timeout=0.1,
        folder=str(tmp_path / "web"),
        token_file=str(tmp_path / "token") if token else "",
    )
    files = {"video": ("a.mp4", b"x", "video/mp4")}
    with running(settings) as (client, app):
        client.headers["authorization"] = f"Bearer {token}"
        for headers in ({"origin": "http://evil.example"}, {"origin": "null"}):
            is_problem(client.post(JOBS, files=files, headers=headers), 403, "cross-site")
        rebound = {"host": "evil.example", "origin": "http://evil.example"}
        is_problem(client.post(JOBS, files=files, headers=rebound), 403, "unknown-host")
        assert app.state.jobs.folder.files() == []
        own = {"origin": str(client.base_url).rstrip("/")}
        assert client.post(JOBS, files=files, headers=own).status_code == 202
        assert client.post(JOBS, files=files).status_code == 202
