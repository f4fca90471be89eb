"""What HTTP asks of every server, over real HTTP: methods, redirects, what is said to whom."""

from pathlib import Path

import pytest

from serving.web.analysis_job import AnalysisJob
from serving.web.receive import Upload
from serving.web.settings import Settings
from tests.serving.web.test_web_api import JOBS, is_problem, running, wait_until


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    """A server whose model server does not answer."""
    folder = tmp_path_factory.mktemp("rules")
    settings = Settings(model_server=("http://127.0.0.1:9",), model_timeout=0.1, folder=str(folder))
    with running(settings) as (client, app):
        yield client, app


@pytest.fixture
def client(web):
    return web[0]


@pytest.mark.parametrize(
    "path",
    ["/", "/healthz", "/readyz", "/metrics", "/none", "/static/app.js", "/api/v1/openapi.json"]
    + [JOBS, "/shared/x", "/shared/x/report.json"]
    + [f"{JOBS}/x{rest}" for rest in ("", "/events", "/report.json", "/faces/0.jpg")],
)
def test_head_is_answered_as_get_without_the_body(client, path):
    got, head = client.get(path), client.head(path)
    assert head.status_code == got.status_code and not head.content
    same = ("content-type", "content-security-policy", "allow")
    assert [head.headers.get(name) for name in same] == [got.headers.get(name) for name in same]
    if path != "/metrics":  # which counts this request, too
        assert head.headers.get("content-length") == got.headers.get("content-length")


def test_head_of_a_stream_of_events_ends_while_the_job_goes_on(web, monkeypatch):
    client, app = web

    async def waiting(id):
        return AnalysisJob(Upload(Path("none"), "video.mp4", ""), "someone")

    monkeypatch.setattr(app.state.jobs, "get", waiting)
    answer = client.head(f"{JOBS}/waiting/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    counted = 'requests_total{method="HEAD",route="/api/v1/jobs/{id}/events",status="200"}'
    wait_until(lambda: counted in client.get("/metrics").text)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", f"{JOBS}/x", {"GET", "HEAD", "DELETE"}),
        ("PUT", JOBS, {"GET", "HEAD", "POST"}),
        ("GET", "/jobs", {"POST"}),
        ("HEAD", "/jobs", {"POST"}),
        ("POST", "/shared/x", {"GET", "HEAD"}),
        ("PATCH", "/", {"GET", "HEAD"}),
        ("DELETE", "/metrics", {"GET", "HEAD"}),
        ("OPTIONS", f"{JOBS}/x/events", {"GET", "HEAD"}),
    ],
)
def test_who_uses_a_wrong_method_is_told_all_that_are_allowed(client, method, path, allowed):
    answer = client.request(method, path)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == allowed


@pytest.mark.parametrize("path", ["/healthz/", f"{JOBS}/", f"{JOBS}/x/", "/jobs/x/result/"])
def test_no_answer_leads_to_the_host_that_a_request_names(client, path):
    answer = client.get(path, headers={"host": "elsewhere.example"})
    assert answer.status_code in (404, 405) and "location" not in answer.headers
    assert "elsewhere" not in answer.text


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    "accept",
    ["*/*", "", "application/json", "application/problem+json, text/html;q=0.9", "text/html;q=0"]
    + ["text/html;q=x, */*", ";;,q=1,text/*"],
)
def test_programs_are_told_a_problem(client, accept):
    answer = client.get("/none", headers={"accept": accept})
    is_problem(answer, 404, "not-found")
    assert answer.headers["vary"] == "Accept"


@pytest.mark.parametrize("accept", [BROWSER, "text/html", "application/json;q=0.5, TEXT/HTML"])
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/none", 404),
        ("/jobs/none", 404),
        (f"{JOBS}/none/report.html", 404),
        ("/jobs", 405),
        (JOBS, 404),
    ],
)
def test_people_are_shown_a_page(client, path, status, accept):
    answer = client.get(path, headers={"accept": accept})
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert "<h1>" in answer.text and 'href="/"' in answer.text and "<script" not in answer.text


def test_a_page_shows_what_a_request_brings_as_text(client):
    answer = client.get(f"{JOBS}/x/faces/<b>.jpg", headers={"accept": BROWSER})
    assert answer.status_code == 422 and "<b>" not in answer.text


def test_a_browser_without_a_token_is_asked_for_it_and_shown_a_page(tmp_path):
    (tmp_path / "token").write_text("Zb1qk3xYc0m9T4nS7uVwE2aL")
    settings = Settings(
        model_server=("http://127.0.0.1:9",),
        folder=str(tmp_path / "uploads"),
        token_file=str(tmp_path / "token"),
    )
    with running(settings) as (client, _):
        answer = client.get("/", headers={"accept": BROWSER})
        assert answer.status_code == 401 and "A token is needed" in answer.text
        assert answer.headers["www-authenticate"].startswith("Basic")


def test_a_form_that_cannot_be_taken_gets_a_page(client):
    sent = client.post("/jobs", files={"other": b"x"}, headers={"accept": BROWSER})
    assert sent.status_code == 400 and "The upload cannot be understood" in sent.text


@pytest.mark.parametrize("path", ["/jobs", "/jobs/x/delete"])
def test_a_form_of_another_site_changes_nothing(client, path):
    sent = client.post(path, files={"video": b"x"}, headers={"origin": "http://elsewhere.example"})
    is_problem(sent, 403, "cross-site")
