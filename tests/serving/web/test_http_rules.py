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
        ("GET", JOBS, {"POST"}),
        ("HEAD", JOBS, {"POST"}),
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


def test_addresses_without_anything_are_problems_to_programs(client):
    for accept in ("*/*", "application/json", "application/problem+json, text/html;q=0.9"):
        is_problem(client.get("/none", headers={"accept": accept}), 404, "not-found")
