"""The page of the history, as a browser without a script gets it."""

import dataclasses
import re

import pytest

from serving.web.settings import Settings
from tests.serving.web.live_server import finished, running, send, with_history
from tests.serving.web.test_history import keep

HTML = {"accept": "text/html"}


@pytest.fixture
def settings(tmp_path) -> Settings:
    """Of a server whose model server is down."""
    return with_history(tmp_path)


def links(html: str) -> list[str]:
    """To results, in order."""
    return re.findall(r'href="/jobs/([^"]+)"', html)


def test_the_page_lists_jobs_with_verdict_estimate_and_model_and_finds_them(settings):
    with running(settings) as (client, app):
        page = client.get("/history", headers=HTML)
        assert page.status_code == 200 and "No result is kept yet." in page.text
        keep(app.state.jobs, "one", name="<b>.mp4", sha256="abcd" + "0" * 60, verdict="REAL")
        keep(app.state.jobs, "two", name="two.mp4", sha256="abce" + "0" * 60)
        finished(client, send(client, b"no video", "junk.mp4"))

        def found(**search: str) -> list[str]:
            answer = client.get("/history", params=search, headers=HTML)
            assert answer.status_code == 200
            return links(answer.text)

        page = client.get("/history", headers=HTML).text
        assert links(page)[1:] == ["two", "one"] and "The model cannot be asked" in page
        assert "&lt;b&gt;.mp4" in page and "<b>.mp4" not in page
        assert "Likely FAKE" in page and "87\N{NO-BREAK SPACE}%" in page and "dfdetect/1" in page
        assert found(name="TWO ") == ["two"] and found(sha256=" ABCD ") == ["one"]
        assert found(verdict="REAL") == ["one"] and found(name="two", verdict="REAL") == []
        searched = client.get("/history", params={"name": '"two'}, headers=HTML).text
        assert 'value="&#34;two"' in searched and "No result that is still kept" in searched


def test_older_results_are_a_link_away_with_the_same_search(settings):
    with running(settings) as (client, app):
        for number in range(52):
            keep(app.state.jobs, f"job{number:02}", name=f"a&b {number % 26}.mp4")
        keep(app.state.jobs, "other", name="other.mp4")
        page = client.get("/history", params={"name": "a&b"}, headers=HTML).text
        (older,) = re.findall(r'href="(/history\?[^"]+)"', page)
        last = client.get(older.replace("&amp;", "&"), headers=HTML).text
        assert links(page) + links(last) == [f"job{number:02}" for number in reversed(range(52))]
        assert "Older" not in last and 'value="a&amp;b"' in last


@pytest.mark.parametrize("typed", ["abc", "xyz0", "ab%0", "a" * 65])
def test_what_is_no_hash_is_told_on_the_page(settings, typed):
    with running(settings) as (client, app):
        keep(app.state.jobs, "one")
        answer = client.get("/history", params={"sha256": typed}, headers=HTML)
        assert answer.status_code == 200 and links(answer.text) == []
        assert "4 to 64 hexadecimal digits" in answer.text


def test_only_a_server_with_a_history_leads_to_it_and_others_name_the_flag(settings):
    with running(settings) as (client, _):
        assert 'href="/history"' in client.get("/").text
    with running(dataclasses.replace(settings, results_dir="")) as (client, _):
        assert 'href="/history"' not in client.get("/").text
        answer = client.get("/history", headers=HTML)
        assert answer.status_code == 404 and "--results-dir" in answer.text
