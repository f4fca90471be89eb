"""Hostile input to the web application: no 500, no file left behind, no job that never ends."""

import contextlib
import random
from collections import Counter

import hypothesis
import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serving.web.settings import Settings
from tests.serving.web.test_web_api import LIMITS, finished, running, send, wait_until

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
        review_dir=str(tmp_path_factory.mktemp("reviews")),
        results_dir=str(tmp_path_factory.mktemp("results")),
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


@pytest.fixture(scope="module")
def job(web, sample):
    """The id of a job that is done."""
    client, _ = web
    answer = send(client, sorted(sample.rglob("*.mp4"))[0].read_bytes())
    return finished(client, answer)["id"]


def ask_everything(api, job: str, examples: int) -> None:
    """Requests of each operation, such as the description allows and such as it does not.

    job: the id of one that is done, which every second request is about.
    """
    settings = hypothesis.settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    asked: Counter[str] = Counter()
    for found in api.get_all_operations():
        operation = found.ok()
        for mode in GenerationMode:

            @settings
            @hypothesis.given(operation.as_strategy(mode))
            def ask(case):
                asked[case.operation.label] += 1
                known = asked[case.operation.label] % 2 and case.method != "DELETE"
                if known and "id" in case.path_parameters:
                    case.path_parameters["id"] = job
                case.call_and_validate(checks=CHECKS, timeout=30)

            with contextlib.suppress(hypothesis.errors.Unsatisfiable):  # nothing to get wrong
                ask()
    assert "POST /api/v1/jobs" in asked and len(asked) == 19


def test_any_request_gets_an_answer_that_the_description_promises(api, job):
    ask_everything(api, job, 4)


@pytest.mark.slow
def test_many_requests_get_answers_that_the_description_promises(api, job):
    ask_everything(api, job, 300)


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
    wait_until(lambda: not jobs.folder.files())
    assert jobs.waiting == jobs.running == 0


def test_damaged_videos_leave_nothing_behind(web, sample):
    videos = [path.read_bytes() for path in sorted(sample.rglob("*.mp4"))[:3]]
    survives(web, [damaged(videos[seed % 3], seed) for seed in range(18)])


@pytest.mark.slow
def test_many_damaged_videos_leave_nothing_behind(web, sample):
    videos = [path.read_bytes() for path in sorted(sample.rglob("*.mp4"))]
    for start in range(100, 700, 40):
        survives(web, [damaged(videos[s % len(videos)], s) for s in range(start, start + 40)])
