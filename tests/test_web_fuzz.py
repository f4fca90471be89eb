"""Hostile input to the web application: no 500, no file left behind, no job that never ends."""

import random

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from test_web_api import LIMITS, running, send, wait_until

from serving.web.settings import Settings

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def web(exported, tmp_path_factory):
    settings = Settings(
        model=str(exported),
        folder=str(tmp_path_factory.mktemp("fuzz")),
        queue=50,
        results=1000,
        job_timeout=60.0,
        **LIMITS,
    )
    with running(settings) as (client, app):
        wait_until(lambda: client.get("/readyz").status_code == 200, 120)
        yield client, app.state.jobs


@pytest.fixture(scope="module")
def api(web):
    return schemathesis.openapi.from_url(f"{web[0].base_url}/api/v1/openapi.json")


schema = schemathesis.pytest.from_fixture("api")


def quick(examples):
    return hypothesis.settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )


@schema.parametrize()
@quick(8)
def test_any_request_gets_an_answer_that_the_description_promises(case):
    case.call_and_validate(checks=CHECKS)


@pytest.mark.slow
@schema.parametrize()
@quick(300)
def test_many_requests_get_answers_that_the_description_promises(case):
    case.call_and_validate(checks=CHECKS)


def damaged(content: bytes, seed: int) -> bytes:
    """The file cut off, or with bits turned, or both; in the header or anywhere."""
    rng = random.Random(seed)
    data = bytearray(content)
    if seed % 3 != 1:
        span = len(data) if seed % 2 else 256
        for _ in range(rng.choice([1, 8, 64])):
            data[rng.randrange(min(span, len(data)))] ^= 1 << rng.randrange(8)
    if seed % 3:
        del data[rng.randrange(1, len(data)) :]
    return bytes(data)


def survives(web, contents):
    """Every one of the files is answered, its job ends, and nothing of it stays on disk."""
    client, jobs = web
    answers = [send(client, content) for content in contents]
    for answer in answers:
        assert answer.status_code == 202, answer.text
        address = answer.json()["links"]["self"]
        wait_until(lambda: client.get(address).json()["state"] in ("done", "failed"), 120)  # noqa: B023
        job = client.get(address).json()
        report = client.get(job["links"]["report_json"])
        assert report.status_code < 500, report.text
        assert report.status_code == (200 if job["state"] == "done" else job["problem"]["status"])
    wait_until(lambda: not jobs.folder.files(), 5)
    assert jobs.waiting == jobs.running == 0


def test_damaged_videos_leave_nothing_behind(web, sample):
    videos = [path.read_bytes() for path in sorted(sample.rglob("*.mp4"))[:3]]
    survives(web, [damaged(videos[seed % 3], seed) for seed in range(18)])


@pytest.mark.slow
def test_many_damaged_videos_leave_nothing_behind(web, sample):
    videos = [path.read_bytes() for path in sorted(sample.rglob("*.mp4"))]
    for start in range(100, 700, 40):
        survives(web, [damaged(videos[s % len(videos)], s) for s in range(start, start + 40)])
