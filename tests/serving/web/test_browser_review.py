"""Reviews of verdicts on the page, in Chromium."""

import hashlib

import pytest

from pipelines.clip import REAL
from pipelines.datasets.manifest import read_manifest
from serving.web.settings import Settings
from tests.serving.web.browser import (
    MARKS,
    findings,
    profiles,
    result_of,
    site_of,
)

expect = pytest.importorskip("playwright.sync_api").expect
expect.set_options(timeout=60_000)  # a busy machine

pytestmark = MARKS


def test_a_reviewer_leaves_a_video_by_keyboard_and_takes_it_back(
    browser, exported_judge, fake, tmp_path
):
    folder = tmp_path / "reviews"
    settings = Settings(
        model=(str(exported_judge),),
        folder=str(tmp_path / "uploads"),
        review_dir=str(folder),
        spares=0,
    )
    with site_of(settings) as url, profiles(browser, url) as open_page:
        page = open_page()
        result_of(page, fake)
        section = page.locator("[data-review]")
        said = section.get_by_role("status")
        back = section.get_by_role("button", name="Take the review back")
        keep = section.get_by_role("checkbox", name="Also keep the video")
        expect(keep).not_to_be_checked()
        expect(back).to_be_hidden()
        keep.focus()
        keep.press("Space")
        section.get_by_role("button", name="it is real").press("Enter")
        expect(said).to_contain_text("Noted as real")
        expect(said).to_contain_text("The video is kept for training.")
        (line,) = read_manifest(folder / "review.csv")
        kept = folder / "videos" / hashlib.sha256(fake.read_bytes()).hexdigest()
        assert (line.label, line.uri) == (REAL, str(kept))
        assert kept.read_bytes() == fake.read_bytes()
        assert findings(page) == []
        page.reload()  # without the file: it can be said again, not left again
        expect(said).to_contain_text("Noted as real")
        expect(keep).to_be_hidden()
        section.get_by_role("button", name="it is fake").click()
        expect(said).to_contain_text("An earlier review called it real")
        back.press("Enter")
        expect(said).to_contain_text("Taken back")
        expect(section.get_by_role("button", name="it is fake")).to_be_focused()
        assert not kept.exists() and read_manifest(folder / "review.csv") == []
        section.get_by_role("button", name="it is fake").click()
        expect(back).to_be_visible()
        page.get_by_role("button", name="Delete now").click()
        expect(page.locator("#result")).to_contain_text("The server still has the review")
