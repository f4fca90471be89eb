"""Around the upload, as a person meets it: dropping, leaving, and a page without JavaScript."""

import asyncio
import threading

import numpy as np
import pytest

playwright = pytest.importorskip("playwright.sync_api")

from playwright.sync_api import Page, expect  # noqa: E402

from serving.web import api  # noqa: E402
from serving.web.receive import receive  # noqa: E402
from tests.serving.web.browser import MARKS, findings, result_of, send  # noqa: E402

expect.set_options(timeout=60_000)  # a busy machine

pytestmark = MARKS

# Drops files of these names, and tells whether the browser would have left the page for them.
DROP = """([where, names]) => {
  const dataTransfer = new DataTransfer();
  for (const name of names) dataTransfer.items.add(new File(['x'], name, { type: 'video/mp4' }));
  const event = { dataTransfer, bubbles: true, cancelable: true };
  const target = document.querySelector(where);
  return ['dragover', 'drop'].some((kind) => target.dispatchEvent(new DragEvent(kind, event)));
}"""


@pytest.fixture
def held(monkeypatch):
    """Uploads come in, and are answered once this is set."""
    held = threading.Event()

    async def late(*args):
        upload = await receive(*args)
        await asyncio.to_thread(held.wait, 60)
        return upload

    monkeypatch.setattr(api, "receive", late)
    yield held
    held.set()


@pytest.mark.parametrize("where", ["#drop", "header.top", "html"])
def test_a_video_that_is_dropped_anywhere_is_chosen(open_page, where):
    page = open_page()
    assert page.evaluate(DROP, [where, ["dropped.mp4"]]) is False
    expect(page.locator("#chosen")).to_contain_text("dropped.mp4")
    expect(page.locator("#chosen")).not_to_contain_text("not taken")


def leaving(page: Page) -> bool:
    """Whether the browser is asked to keep the visitor on the page."""
    return page.evaluate("() => !dispatchEvent(new Event('beforeunload', { cancelable: true }))")


def test_who_leaves_or_drops_a_file_during_an_upload_is_told(open_page, fake, held):
    page = open_page()
    assert not leaving(page)
    send(page, fake)
    expect(page.locator("#detail")).to_have_text("100 %")
    assert leaving(page)
    assert page.evaluate(DROP, ["#work", ["second.mp4"]]) is False
    expect(page.locator("#not-taken")).to_contain_text("second.mp4 was not taken")
    assert findings(page) == []
    held.set()
    expect(page.locator("#result .banner")).to_be_visible()
    expect(page.locator("#not-taken")).to_be_hidden()
    assert not leaving(page)


def test_the_address_of_a_result_without_a_face_shows_no_empty_card(
    open_page, write_video, tmp_path
):
    noise = np.random.default_rng(0).integers(0, 255, (12, 120, 160, 3), np.uint8)
    page = open_page()
    result_of(page, write_video(tmp_path / "noise.mp4", noise))
    page.reload()
    expect(page.locator(".player")).to_contain_text("The video is no longer on the server.")


def test_without_javascript_a_video_is_sent_judged_and_deleted(open_page, fake):
    page = open_page(java_script_enabled=False)
    expect(page.locator("#video")).to_be_visible()
    expect(page.locator("label[for=video]")).to_be_hidden()
    send(page, fake)
    expect(page.locator(".result .banner")).to_be_visible()
    assert page.url.endswith("/plain") and fake.name not in page.url
    expect(page.locator("video, dialog, .steps")).to_have_count(0)
    assert findings(open_page(page.url)) == []  # which needs JavaScript itself
    page.goto(page.url.removesuffix("/plain"))  # the page with script leads there, too
    expect(page.locator(".result .banner")).to_be_visible()
    page.click("text=Delete now")
    expect(page.locator("main")).to_contain_text("Nothing of this video is left on the server.")
    page.go_back()
    page.reload()
    expect(page.locator("#problem")).to_contain_text("There is nothing here")


@pytest.mark.parametrize("path", ["/none", "/jobs/none", "/jobs/none/plain", "/api/v1/jobs/none"])
def test_an_address_without_anything_shows_people_an_accessible_page(open_page, site, path):
    page = open_page()
    page.goto(site + path)
    expect(page.locator("#problem")).to_contain_text("There is nothing here")
    assert findings(page) == []
    page.click("text=Back to the start")
    expect(page.locator("#upload")).to_be_visible()
