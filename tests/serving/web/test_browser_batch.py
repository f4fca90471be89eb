"""A list of several videos on the start page, in Chromium."""

import csv
import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from serving.analysis.report_html import WORDS, percent

playwright = pytest.importorskip("playwright.sync_api")

from playwright.sync_api import Page, expect  # noqa: E402

from tests.serving.web.browser import (  # noqa: E402
    MARKS,
    MAX_BYTES,
    findings,
    profiles,
)
from tests.serving.web.live_server import wait_until  # noqa: E402

expect.set_options(timeout=60_000)  # a busy machine

pytestmark = MARKS


@pytest.fixture(scope="module")
def folder(tmp_path_factory, fake, real) -> Path:
    """Two videos, one that is none, one that is too large, and a file with another suffix."""
    folder = tmp_path_factory.mktemp("dropped") / "clips"
    (folder / "a").mkdir(parents=True)
    shutil.copy(fake, folder / "a" / "clip10.mp4")
    shutil.copy(real, folder / "a" / "clip9.MP4")
    (folder / "b-broken.mp4").write_bytes(b"no video")
    (folder / "c-large.mp4").write_bytes(bytes(MAX_BYTES + 1))
    (folder / "notes.txt").write_text("of the archive")
    (folder / "._clip9.mp4").write_bytes(b"what a system keeps beside a file")
    return folder


def drop(page: Page, *paths: Path) -> None:
    """Drags files and folders of this machine onto the page."""
    driver = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        driver.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})


def rows(page: Page) -> list[str]:
    return page.locator("#several tbody .file-name").all_inner_texts()


def job_of(page: Page, name: str) -> str:
    """The id of the job of a row that is done."""
    link = page.locator("#several tr", has_text=name).get_by_role("link")
    return link.get_attribute("href").removeprefix("/jobs/")


@pytest.fixture(scope="module")
def listed(browser, site, folder) -> Iterator[tuple[Page, list[str]]]:
    """A page with the list of a folder that was dropped, once all is done; the names of the files
    that were sent."""
    with profiles(browser, site) as open_page:
        page = open_page()
        sent: list[str] = []
        page.on("request", lambda r: r.method == "POST" and sent.append(r.url))
        drop(page, folder)
        expect(page.locator("#chosen")).to_contain_text("4 videos")
        page.click("#check")
        expect(page.locator("#several h1")).to_be_focused()
        expect(page.locator("#summary")).to_contain_text("4 of 4 videos done")
        yield page, sent


def test_a_folder_that_is_dropped_is_a_list_in_natural_order(listed):
    page, _ = listed
    names = ["a/clip9.MP4", "a/clip10.mp4", "b-broken.mp4", "c-large.mp4"]
    assert rows(page) == [f"clips/{name}" for name in names]
    expect(page.locator("#skipped")).to_have_text("2 files skipped: by name no video.")


def test_each_row_has_the_words_of_its_result_and_leads_to_it(listed, site):
    page, _ = listed
    for name in ("clip9.MP4", "clip10.mp4"):
        address = f"{site}/api/v1/jobs/{job_of(page, name)}"
        report = httpx.get(f"{address}/report.json").raise_for_status().json()
        assert report["file"]["name"] == name
        words, tone = WORDS[report["verdict"]]
        chip = page.locator("#several tr", has_text=name).locator(f".chip.{tone}")
        expect(chip).to_have_text(f"{words}, {percent(report['probability_fake'])}")
        expect(page.locator("#summary")).to_contain_text(words)


def test_what_is_no_use_is_told_in_its_row_and_what_is_too_large_is_not_sent(listed):
    page, sent = listed
    assert len(sent) == 3
    broken = page.locator("#several tr", has_text="b-broken.mp4")
    expect(broken).to_contain_text("Failed")
    expect(broken.get_by_role("button", name="Try again: clips/b-broken.mp4")).to_be_visible()
    large = page.locator("#several tr", has_text="c-large.mp4")
    expect(large).to_contain_text("Not sent: this server takes 3.0 MB at most.")


def saved(page: Page, button: str) -> bytes:
    with page.expect_download() as download:
        page.get_by_role("button", name=button).click()
    return Path(download.value.path()).read_bytes()


def test_the_list_is_saved_as_a_table_as_json_and_as_reports(listed):
    page, _ = listed
    names = ["clip9.MP4", "clip10.mp4"]
    table = list(csv.DictReader(io.StringIO(saved(page, "CSV").decode())))
    assert len(table) == 3
    for name, line in zip(names, table, strict=False):
        assert name in line.values() and line["verdict"] in WORDS
    assert len(json.loads(saved(page, "JSON"))) == 3
    with zipfile.ZipFile(io.BytesIO(saved(page, "ZIP of reports"))) as files:
        reports = [name for name in files.namelist() if name.endswith(".html")]
        assert len(reports) == 2 and "results.csv" in files.namelist()
    expect(page.locator("#several [data-exported]")).to_have_text("3 results downloaded.")


def test_a_list_is_accessible_and_fits_and_prints_its_hashes(listed):
    page, _ = listed
    for look in ({}, {"color_scheme": "dark"}, {"media": "print"}):
        page.emulate_media(color_scheme="light", media="screen")
        page.emulate_media(**look)
        for width in (960, 320):
            page.set_viewport_size({"width": width, "height": 700})
            assert findings(page) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
    hashes = page.locator("#several .hash").all_inner_texts()
    assert len([text for text in hashes if text.startswith("SHA-256 ")]) == 3
    expect(page.locator("#several tbody button").first).to_be_hidden()
    page.emulate_media(media="screen")


def test_where_no_file_is_a_video_the_page_says_so_and_sends_nothing(open_page, folder):
    page = open_page()
    page.set_input_files("#video", [folder / "notes.txt", folder / "._clip9.mp4"])
    expect(page.locator("#chosen")).to_have_text("No video among 2 files.")
    assert not page.evaluate("document.querySelector('#upload').checkValidity()")


def test_who_checks_several_videos_before_they_are_read_checks_all_of_them(open_page, folder):
    page = open_page()
    held = []
    page.route("**/static/files.js", lambda route: held.append(route))
    page.set_input_files("#video", [folder / "c-large.mp4", folder / "b-broken.mp4"])
    page.click("#check")
    wait_until(lambda: page.title() and held)
    held[0].continue_()
    expect(page.locator("#summary")).to_contain_text("2 of 2 videos done")


def test_who_removes_a_row_by_keyboard_is_at_the_next_one(open_page, folder):
    page = open_page()
    page.set_input_files("#video", [folder / "c-large.mp4", folder / "b-broken.mp4"])
    page.click("#check")
    expect(page.locator("#summary")).to_contain_text("2 of 2 videos done")
    page.locator(".skip").press("Enter")
    assert page.url.endswith("#list")  # no other place, for which the page would be loaded again
    first = page.get_by_role("button", name="Remove: b-broken.mp4")
    first.focus()
    first.press("Enter")
    expect(page.get_by_role("button", name="Remove: c-large.mp4")).to_be_focused()
    expect(page.locator("#summary")).to_have_text("1 of 1 video done: 1 too large.")


def refuse_after(page: Page, taken: int, name: str, retry_after: str) -> None:
    """The server takes so many videos; then it says this."""
    asked = iter(range(1000))
    body = {"type": f"urn:dfdetect:problem:{name}", "title": "Not now", "detail": "Why."}
    headers = {"Retry-After": retry_after, "Content-Type": "application/problem+json"}

    def answer(route):
        if route.request.method != "POST" or next(asked) < taken:
            return route.continue_()
        return route.fulfill(status=429, headers=headers, body=json.dumps({**body, "status": 429}))

    page.route("**/api/v1/jobs", answer)


@pytest.mark.parametrize(
    ("name", "retry_after", "said"),
    [("busy", "200", "Waiting. Not now. Why."), ("quota-exceeded", "9000", "Stopped. Not now.")],
)
def test_a_list_that_is_refused_says_so_and_goes_on(open_page, folder, name, retry_after, said):
    page = open_page()
    refuse_after(page, 0, name, retry_after)
    drop(page, folder / "a" / "clip9.MP4", folder / "b-broken.mp4")
    expect(page.locator("#chosen")).to_contain_text("2 videos")
    page.click("#check")
    expect(page.locator("#hold")).to_contain_text(said)
    assert findings(page) == []
    page.unroute("**/api/v1/jobs")
    page.get_by_role("button", name="Go on now").click()
    expect(page.locator("#summary")).to_contain_text("2 of 2 videos done")
    expect(page.locator("#hold")).to_be_hidden()


def test_a_list_outlives_a_reload_and_tells_what_was_not_sent(open_page, folder):
    page = open_page()
    page.on("dialog", lambda dialog: dialog.accept())  # what was not sent would be lost
    refuse_after(page, 1, "busy", "200")
    clip, other = folder / "a" / "clip9.MP4", folder / "a" / "clip10.mp4"
    drop(page, clip, other)
    expect(page.locator("#chosen")).to_contain_text("2 videos")
    page.click("#check")
    expect(page.locator("#summary")).to_contain_text("1 of 2 videos done")
    expect(page.locator("#hold")).to_be_visible()
    page.reload()
    expect(page.locator("#summary")).to_contain_text("2 of 2 videos done")
    assert rows(page) == [clip.name, other.name]
    expect(page.locator("#several tr", has_text=clip.name).locator(".chip")).to_be_visible()
    lost = page.locator("#several tr", has_text=other.name)
    expect(lost).to_contain_text("choose the file once more")
    page.unroute("**/api/v1/jobs")
    drop(page, other)
    expect(lost.locator(".chip")).to_be_visible()
    assert rows(page) == [clip.name, other.name]
    page.goto(page.url.removesuffix("#list"))
    page.get_by_role("link", name="Back to your list").click()
    expect(page.locator("#several tr", has_text=clip.name).locator(".chip")).to_be_visible()
    page.get_by_role("button", name="New list").click()
    expect(page.locator("#start")).to_be_visible()
    expect(page.locator("#kept-list")).to_be_hidden()


def test_a_list_that_is_cancelled_leaves_nothing_on_the_server(
    open_page, folder, uploads, site, fake, tmp_path
):
    copies = [shutil.copy(fake, tmp_path / f"{number}.mp4") for number in range(4)]
    page = open_page()
    posted = []
    page.on("response", lambda r: r.request.method == "POST" and posted.append(r.json()["id"]))
    page.set_input_files("#video", copies)
    page.click("#check")
    expect(page.locator("#several progress").nth(1)).to_be_visible()  # one at work, one to come
    page.get_by_role("button", name="Cancel all").click()
    expect(page.locator("#summary")).to_contain_text("videos done")
    done = set(page.locator("#several td a").evaluate_all("all => all.map((a) => a.pathname)"))

    def left() -> list[str]:
        found = {id for id in posted if httpx.get(f"{site}/api/v1/jobs/{id}").status_code == 200}
        return sorted(found - {path.removeprefix("/jobs/") for path in done})

    wait_until(lambda: left() == [])
    wait_until(
        lambda: not any(path.is_file() and path.stat().st_size for path in uploads.rglob("*"))
    )
