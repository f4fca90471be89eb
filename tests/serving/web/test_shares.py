"""Links to one result: what they open, to whom, until when, and nothing else."""

import base64
import contextlib
import dataclasses
import hashlib
import json
import re
import secrets

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.analysis.analyse import Analysis
from serving.web import shares
from serving.web.audit_log import job_hash
from serving.web.examples import REPORT
from serving.web.problems import Problem
from serving.web.results_store import ResultsStore
from serving.web.settings import Settings
from tests.fixtures.file_facts import PLACE
from tests.serving.web.live_server import JOBS, is_problem, running
from tests.serving.web.test_results_store import BOUNDS, RESULT, Clock, done, failed

TOKEN = "Zb1qk3xYc0m9T4nS7uVwE2aL"
ID = secrets.token_urlsafe(24)
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def analysis(astronaut_jpeg: bytes) -> Analysis:
    """Of a video that says where it was recorded."""
    facts = REPORT["file_facts"]
    container = {**facts["container"], "has_location": True, "location": PLACE}
    document = {**REPORT, "file_facts": {**facts, "container": container}}
    return Analysis(document, RESULT, [astronaut_jpeg], [None], [astronaut_jpeg] * 2)


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Of a server that asks for a token, tells locations, and whose model server is down."""
    folder = tmp_path_factory.mktemp("shares")
    (folder / "token").write_text(TOKEN)
    given = Settings(
        model_server=("http://127.0.0.1:9",),
        model_timeout=0.1,
        folder=str(folder / "uploads"),
        results_dir=str(folder / "results"),
        token_file=str(folder / "token"),
        audit_log=str(folder / "audit.log"),
        workers=1,
        spares=0,
    )
    shown = dataclasses.replace(given.provenance, show_location=True)
    return dataclasses.replace(given, provenance=shown)


@pytest.fixture(scope="module")
def result(jpeg_face):
    return analysis(jpeg_face)


@pytest.fixture(scope="module")
def jpeg_face():
    import cv2
    import numpy as np

    return cv2.imencode(".jpg", np.full((32, 32, 3), 90, np.uint8))[1].tobytes()


@pytest.fixture(scope="module")
def web(settings, result):
    """(a client with the token, one without any, the store)."""
    with running(settings) as (client, app):
        client.headers["authorization"] = f"Bearer {TOKEN}"
        store = app.state.jobs.store
        store.add(ID, "somebody", "interview.mp4", "0" * 64, history="token")
        store.keep(ID, result)
        with httpx.Client(base_url=client.base_url, timeout=60) as stranger:
            yield client, stranger, store


@pytest.fixture
def shared(web):
    """A new link to the job, which is revoked afterwards."""
    client, _, _ = web
    answer = client.post(f"{JOBS}/{ID}/shares", json={"hours": 1})
    assert answer.status_code == 201, answer.text
    yield answer.json()
    client.delete(f"{JOBS}/{ID}/shares/{answer.json()['id']}")


def is_closed(stranger, url):
    """The link opens nothing: the same answer as for one that never was."""
    for rest in ("", "/report.json", "/report.html"):
        never = stranger.get(f"/shared/{secrets.token_urlsafe(32)}{rest}")
        answer = stranger.get(url + rest)
        is_problem(answer, 404, "not-found")
        assert answer.content == never.content
        assert set(answer.headers) == set(never.headers)
    page = stranger.get(url, headers=BROWSER)
    assert page.status_code == 404 and "opens nothing" in page.text
    assert "/static/" not in page.text and "www-authenticate" not in page.headers


def test_a_link_opens_the_result_to_who_has_neither_token_nor_key(web, shared, result):
    _, stranger, _ = web
    page = stranger.get(shared["url"], headers=BROWSER)
    assert page.status_code == 200
    assert "interview.mp4" in page.text and "Likely FAKE" in page.text
    document = stranger.get(f"{shared['url']}/report.json").json()
    assert document["verdict"] == "FAKE" and document["file"] == REPORT["file"]
    report = stranger.get(f"{shared['url']}/report.html")
    assert "interview.mp4" in report.text
    picture = base64.b64encode(result.crops[0]).decode()
    assert picture in page.text and picture in report.text


def test_a_link_opens_nothing_else(web, shared):
    _, stranger, _ = web
    token = shared["url"].removeprefix("/shared/")
    for path in (
        "/",
        JOBS,
        f"{JOBS}/{ID}",
        f"{JOBS}/{token}",
        f"{JOBS}/{ID}/shares",
        "/static/app.js",
    ):
        for headers in ({}, {"authorization": f"Bearer {token}"}):
            assert stranger.get(path, headers=headers).status_code == 401
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        for rest in ("", "/report.json"):
            assert stranger.request(method, shared["url"] + rest).status_code == 405
    is_problem(stranger.post(f"{JOBS}/{ID}/shares", json={"hours": 1}), 401, "unauthorized")
    is_problem(stranger.delete(f"{JOBS}/{ID}/shares/{shared['id']}"), 401, "unauthorized")


@pytest.mark.parametrize("rest", ["", "/report.json", "/report.html"])
def test_what_a_link_shows_names_no_job_and_no_place(web, shared, rest):
    _, stranger, _ = web
    answer = stranger.get(shared["url"] + rest, headers=BROWSER)
    told = answer.text + str(answer.headers)
    assert answer.status_code == 200
    for secret in (ID, ID[:8], job_hash(ID), PLACE, shared["id"], JOBS):
        assert secret not in told


@pytest.mark.parametrize("rest", ["", "/report.json", "/report.html"])
def test_a_link_s_address_goes_nowhere_and_its_page_loads_and_sends_nothing(web, shared, rest):
    _, stranger, _ = web
    answer = stranger.get(shared["url"] + rest, headers=BROWSER)
    headers = answer.headers
    assert headers["referrer-policy"] == "no-referrer" and "noindex" in headers["x-robots-tag"]
    assert headers["cache-control"] == "no-store" and headers["x-frame-options"] == "DENY"
    if rest != "/report.json":
        for attribute in (
            "<script",
            "<form",
            "<button",
            '<link rel="style',
            'src="/',
            "http-equiv",
        ):
            assert attribute not in answer.text
        policy = headers["content-security-policy"]
        style = re.search(r"<style>(.*?)</style>", answer.text, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert f"style-src 'sha256-{digest}';" in policy and "unsafe" not in policy
        assert re.search(r'(?<!data-)style="', answer.text) is None
        assert "default-src 'none'" in policy and "script" not in policy


def test_links_are_listed_without_their_addresses_and_revoked_one_by_one(web, shared):
    client, stranger, _ = web
    other = client.post(f"{JOBS}/{ID}/shares", json={"hours": 8760}).json()
    listed = client.get(f"{JOBS}/{ID}/shares")
    assert [share["id"] for share in listed.json()["shares"]] == [shared["id"], other["id"]]
    assert set(listed.json()["shares"][0]) == {"id", "created", "expires"}
    for link in (shared, other):
        assert link["url"].removeprefix("/shared/") not in listed.text
    assert client.delete(f"{JOBS}/{ID}/shares/{other['id']}").status_code == 204
    is_closed(stranger, other["url"])
    assert stranger.get(shared["url"]).status_code == 200
    is_problem(client.delete(f"{JOBS}/{ID}/shares/{other['id']}"), 404, "not-found")


def test_a_link_ends_no_later_than_its_result_and_the_answer_says_when(web, shared):
    client, _, _ = web
    result = client.get(f"{JOBS}/{ID}").json()
    long = client.post(f"{JOBS}/{ID}/shares", json={"hours": 8760}).json()
    assert long["expires"] == result["expires"] >= shared["expires"]


@pytest.mark.parametrize(
    "body", [{}, {"hours": 0}, {"hours": 8761}, {"hours": "1"}, {"hours": 1.5}, {"hours": None}, []]
)
def test_hours_that_cannot_be_are_refused(web, body):
    client, _, _ = web
    answer = client.post(f"{JOBS}/{ID}/shares", json=body)
    assert answer.status_code == 422 and "body" in answer.json()["detail"]


def test_only_a_job_that_is_done_is_shared(web):
    client, _, store = web
    failed(store, "failed")
    is_problem(client.post(f"{JOBS}/failed/shares", json={"hours": 1}), 422, "unreadable")
    assert client.get(f"{JOBS}/failed/shares").json() == {"shares": []}
    for answer in (
        client.post(f"{JOBS}/none/shares", json={"hours": 1}),
        client.get(f"{JOBS}/none/shares"),
        client.delete(f"{JOBS}/none/shares/x"),
    ):
        is_problem(answer, 404, "not-found")


def test_pages_of_other_sites_neither_make_nor_revoke_a_link(web, shared):
    client, stranger, _ = web
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        made = client.post(f"{JOBS}/{ID}/shares", json={"hours": 1}, headers=headers)
        is_problem(made, 403, "cross-site")
        gone = client.delete(f"{JOBS}/{ID}/shares/{shared['id']}", headers=headers)
        is_problem(gone, 403, "cross-site")
    assert stranger.get(shared["url"]).status_code == 200


def test_deleting_the_result_closes_its_links(web, result):
    client, stranger, store = web
    store.add("goes", "somebody", "a.mp4", "0" * 64)
    store.keep("goes", result)
    link = client.post(f"{JOBS}/goes/shares", json={"hours": 1}).json()
    assert stranger.get(link["url"]).status_code == 200
    client.delete(f"{JOBS}/goes")
    is_closed(stranger, link["url"])


def test_the_audit_log_tells_who_made_and_revoked_a_link_without_its_token(web, settings):
    client, stranger, _ = web
    made = client.post(f"{JOBS}/{ID}/shares", json={"hours": 1}).json()
    stranger.get(made["url"])
    client.delete(f"{JOBS}/{ID}/shares/{made['id']}")
    with open(settings.audit_log) as file:
        text = file.read()
    lines = [line for line in map(json.loads, text.splitlines()) if line.get("share") == made["id"]]
    assert [line["state"] for line in lines] == ["shared", "share-revoked"]
    for line in lines:
        assert (line["client"], line["job"]) == ("127.0.0.1", job_hash(ID))
    assert lines[0]["expires"].startswith(made["expires"][:-1])
    assert made["url"].removeprefix("/shared/") not in text and ID not in text


def test_a_link_outlives_a_restart_and_the_file_has_no_token(tmp_path, settings, result):
    given = dataclasses.replace(
        settings, results_dir=str(tmp_path / "results"), folder=str(tmp_path / "uploads")
    )
    headers = {"authorization": f"Bearer {TOKEN}"}
    with running(given) as (client, app):
        app.state.jobs.store.add(ID, "somebody", "a.mp4", "0" * 64)
        app.state.jobs.store.keep(ID, result)
        made = client.post(f"{JOBS}/{ID}/shares", json={"hours": 1}, headers=headers).json()
    token = made["url"].removeprefix("/shared/").encode()
    assert not any(token in path.read_bytes() for path in (tmp_path / "results").iterdir())
    with running(given) as (client, _):
        assert client.get(made["url"]).status_code == 200


# The rule, without a server.


def test_more_links_than_there_may_be_are_refused_until_one_has_ended():
    clock = Clock()
    with contextlib.closing(ResultsStore(None, BOUNDS, clock)) as store:
        done(store, "id")
        with store.writing() as database:
            made = [shares.add(database, clock.s, "id", 1)[0] for _ in range(shares.MOST)]
            with pytest.raises(Problem, match="20 links open this result"):
                shares.add(database, clock.s, "id", 1)
            assert shares.revoke(database, "id", made[0].id)
            shares.add(database, clock.s, "id", 1)


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("share"), st.sampled_from("ab"), st.integers(1, 3)),
        st.tuples(st.just("revoke"), st.integers(0, 5), st.sampled_from("ab")),
        st.tuples(st.just("delete"), st.sampled_from("ab"), st.none()),
        st.tuples(st.just("later"), st.sampled_from([1800, 3600, 7200]), st.none()),
        st.tuples(st.just("forget"), st.none(), st.none()),
    ),
    max_size=12,
)


@given(ACTIONS)
def test_a_link_opens_its_own_job_exactly_until_it_or_the_job_ends(actions):
    clock = Clock()
    bounds = dataclasses.replace(BOUNDS, ttl_s=2.5 * 3600)
    with contextlib.closing(ResultsStore(None, bounds, clock)) as store:
        ends = {done(store, job): clock.s + bounds.ttl_s for job in "ab"}
        links = []  # [job, token, id, end]
        for what, one, other in actions:
            if what == "later":
                clock.s += one
            elif what == "forget":
                store.forget_old()
            elif what == "delete":
                store.delete(one)
                ends[one] = 0
            elif what == "share":
                with contextlib.suppress(Problem), store.writing() as database:
                    share, token = shares.add(database, clock.s, one, other)
                    assert share.expires_at == min(ends[one], clock.s + 3600 * other)
                    links.append([one, token, share.id, share.expires_at])
            elif one < len(links):
                link = links[one]
                with store.writing() as database:
                    there = shares.revoke(database, other, link[2])
                if link[0] != other:
                    assert not there
                elif there:
                    link[3] = 0
            with store.reading() as database:
                for job, token, _, end in links:
                    opened = shares.opened(database, clock.s, token)
                    live = min(end, ends[job]) > clock.s
                    assert opened == ((job, end) if live else None)
                for job in "ab":
                    listed = {share.id for share in shares.of(database, clock.s, job)}
                    assert listed == {
                        id for j, _, id, end in links if j == job and min(end, ends[j]) > clock.s
                    }
