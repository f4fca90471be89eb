"""Links to a result that expire and are revoked, in Chromium."""

import re
from urllib.parse import urlsplit

import httpx
import pytest

from serving.web.settings import Settings
from tests.serving.web.browser import (
    MARKS,
    findings,
    profiles,
    send,
    site_of,
)
from tests.serving.web.live_server import wait_until

expect = pytest.importorskip("playwright.sync_api").expect
expect.set_options(timeout=60_000)  # a busy machine

pytestmark = MARKS

TOKEN = "a-token-of-some-length"
KNOWN = {"username": "any", "password": TOKEN}
HEADERS = {"authorization": f"Bearer {TOKEN}"}
DAYS = 24 * 3600


@pytest.fixture(scope="module")
def closed_site(exported_judge, tmp_path_factory):
    """A server that wants a token, and keeps results for ten days."""
    folder = tmp_path_factory.mktemp("closed")
    (folder / "token").write_text(TOKEN)
    settings = Settings(
        model=(str(exported_judge),),
        folder=str(folder / "uploads"),
        results_dir=str(folder / "results"),
        token_file=str(folder / "token"),
        ttl=10.0 * DAYS,
    )
    with site_of(settings, ready=False) as url:
        wait_until(lambda: httpx.get(f"{url}/readyz", headers=HEADERS).status_code == 200)
        yield url


def test_a_link_is_made_by_keyboard_opened_by_a_stranger_and_revoked(browser, closed_site, fake):
    with profiles(browser, closed_site) as open_page:
        page = open_page(http_credentials=KNOWN)
        send(page, fake)
        section = page.locator("[data-share]")
        expect(section).to_be_visible()
        said = section.get_by_role("status")
        assert not section.get_by_role("heading", name="Links that work now").is_visible()
        section.get_by_label("How long the link works").select_option("7 days")
        section.get_by_role("button", name="Make a link").focus()
        page.keyboard.press("Enter")
        expect(said).to_contain_text(re.compile(r"works until \d{4}-\d\d-\d\d \d\d:\d\d UTC\. It"))
        link = section.get_by_role("textbox", name="The link")
        address = link.input_value()
        assert address.startswith(f"{closed_site}/shared/")
        assert link.evaluate("(field) => field.readOnly")
        section.get_by_role("button", name="Copy").press("Enter")
        expect(said).to_have_text("Copied.")
        assert findings(page) == []

        stranger = open_page(address)
        expect(stranger.locator(".result .banner")).to_be_visible()
        expect(stranger.locator("main")).to_contain_text("This link")
        expect(stranger.locator("main")).to_contain_text(fake.name)
        expect(stranger.locator("button, form, [data-share]")).to_have_count(0)
        job = urlsplit(page.url).path.rpartition("/")[2]
        assert job not in stranger.content()
        look_at(stranger)

        section.get_by_label("How long the link works").select_option("30 days")
        section.get_by_role("button", name="Make a link").click()
        expect(said).to_contain_text("when the result itself is deleted")
        revokes = section.get_by_role("button", name="Revoke link")
        expect(revokes).to_have_count(2)
        page.reload()
        expect(revokes).to_have_count(2)  # the links are shown once, not their being there
        expect(link).to_be_hidden()
        for left in (1, 0):
            revokes.first.press("Enter")
            expect(revokes).to_have_count(left)
        expect(said).to_contain_text("Revoked.")
        expect(section.get_by_role("button", name="Make a link")).to_be_focused()
        assert stranger.goto(address).status == 404
        expect(stranger.locator("main")).to_contain_text("There is nothing here")
        look_at(stranger)


def look_at(page) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": 320, "height": 700})
        assert findings(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_a_link_that_cannot_be_made_is_told(browser, closed_site, fake):
    with profiles(browser, closed_site) as open_page:
        page = open_page(http_credentials=KNOWN)
        send(page, fake)
        section = page.locator("[data-share]")
        expect(section).to_be_visible()
        job = urlsplit(page.url).path.rpartition("/")[2]
        httpx.delete(f"{closed_site}/api/v1/jobs/{job}", headers=HEADERS).raise_for_status()
        section.get_by_role("button", name="Make a link").click()
        expect(section.get_by_role("status")).to_contain_text("This did not work. It was deleted")
