"""The history, and answers from it, in Chromium."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

playwright = pytest.importorskip("playwright.sync_api")

from playwright.sync_api import Page, expect  # noqa: E402

from tests.serving.web.browser import (  # noqa: E402
    MARKS,
    findings,
    profiles,
    result_of,
    send,
)

expect.set_options(timeout=60_000)  # a busy machine

pytestmark = MARKS


@pytest.fixture(scope="module")
def sent(browser, kept_site, fake, real) -> Iterator[tuple[Page, list[dict]]]:
    """A page of a server that has the results of two videos, and their reports."""
    with profiles(browser, kept_site) as open_page:
        reports = [result_of(open_page(), video) for video in (fake, real)]
        yield open_page(f"{kept_site}/history"), reports


def names(page: Page) -> list[str]:
    return page.locator(".list tbody a").all_inner_texts()


def test_a_result_is_found_by_its_hash_with_the_keyboard_alone(sent):
    page, (report, other) = sent
    page.get_by_role("link", name="History").click()
    assert names(page) == [other["file"]["name"], report["file"]["name"]]
    page.get_by_label("SHA-256").fill(report["file"]["sha256"][:12].upper())
    page.keyboard.press("Enter")
    expect(page.locator(".list tbody a")).to_have_count(1)
    assert names(page) == [report["file"]["name"]]
    page.locator(".list tbody a").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#result")).to_contain_text(report["file"]["sha256"])
    page.go_back()


def test_what_is_chosen_in_the_history_is_saved_as_a_table(sent):
    page, (_, other) = sent
    page.get_by_role("link", name="History").click()
    page.get_by_role("button", name="CSV").click()
    expect(page.locator("[data-exported]")).to_contain_text("Select the results first")
    page.get_by_label("All on this page").check()
    page.get_by_role("checkbox", name="Select").nth(1).uncheck()
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    (line,) = csv.DictReader(io.StringIO(Path(download.value.path()).read_text()))
    assert other["file"]["name"] in line.values() and line["verdict"] == other["verdict"]


def test_the_history_is_accessible_and_fits(sent):
    page, _ = sent
    page.get_by_role("link", name="History").click()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in (960, 320):
            page.set_viewport_size({"width": width, "height": 700})
            assert findings(page) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.set_viewport_size({"width": 1280, "height": 720})


def test_a_file_that_was_judged_before_is_answered_from_the_history_unless_asked_again(
    sent, browser, kept_site, fake
):
    _, (report, _) = sent
    with profiles(browser, kept_site) as open_page:
        page = open_page()
        send(page, fake)
        notice = page.locator("#earlier")
        expect(notice).to_contain_text("Answered from an earlier analysis of the same file, on 2")
        first = page.url
        assert first.partition("#")[0].endswith(report["api"].rpartition("/")[2])
        assert findings(page) == []
        notice.get_by_role("button", name="Analyse again").click()
        expect(page.locator("#result .banner")).to_be_visible()
        assert page.url.partition("#")[0] != first.partition("#")[0]
        expect(notice).to_be_hidden()
        later = open_page(first)  # without the file
        expect(later.locator("#earlier")).to_be_visible()
        later.get_by_role("button", name="Analyse again").click()
        expect(later.locator("#anew")).to_be_visible()
        known = jobs(kept_site)
        send(later, fake)
        expect(later.locator("#result .banner")).to_be_visible()
        assert len(jobs(kept_site)) == len(known) + 1


def test_a_row_of_a_list_says_that_its_answer_was_there_before(
    sent, browser, kept_site, fake, real
):
    with profiles(browser, kept_site) as open_page:
        page = open_page()
        page.set_input_files("#video", [fake, real])
        page.click("#check")
        expect(page.locator("#summary")).to_contain_text("2 of 2 videos done")
        row = page.locator("#several tr", has_text=fake.name)
        expect(row).to_contain_text("Answered from an earlier analysis")
        assert findings(page) == []
        known = jobs(kept_site)
        row.get_by_role("button", name="Analyse again").click()
        expect(page.locator("#summary")).to_contain_text("2 of 2 videos done")
        expect(row).not_to_contain_text("Answered from")
        assert len(jobs(kept_site)) == len(known) + 1


def test_without_javascript_the_history_is_searched_and_answers(sent, browser, kept_site, real):
    _, (_, other) = sent
    with profiles(browser, kept_site) as open_page:
        page = open_page(java_script_enabled=False)
        page.click("text=History")
        page.get_by_label("Name").fill(other["file"]["name"])
        page.click("text=Search")
        expect(page.locator(".list tbody a")).to_have_count(1)
        expect(page.locator("[data-export]").first).to_be_hidden()
        page.goto(kept_site)
        send(page, real)
        expect(page.locator("form.notice")).to_contain_text("Answered from an earlier analysis")
        known = jobs(kept_site)
        page.set_input_files("[name=video]", real)
        page.get_by_role("button", name="Analyse again").click()
        expect(page.locator(".result .banner")).to_be_visible()
        assert len(jobs(kept_site)) == len(known) + 1


def jobs(site: str) -> list[dict]:
    return httpx.get(f"{site}/api/v1/jobs").raise_for_status().json()["jobs"]
