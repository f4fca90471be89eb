"""Pages of a real server in Chromium, for the tests of the web application.

Every page also complains of a request to elsewhere, of an error on its console, and of anything
that its content security policy forbids.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest

from serving.web.settings import Settings
from tests.serving.web.live_server import running, until_ready

if TYPE_CHECKING:  # few machines have it
    from playwright.sync_api import Browser, BrowserContext, Page

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
CPU_S = 120  # of each of its processes; all tests take half of that together
MAX_BYTES, MAX_SECONDS = 3_000_000, 20.0

# Of a module of browser tests.
MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path"),
]


@contextlib.contextmanager
def site_of(settings: Settings, ready: bool = True) -> Iterator[str]:
    """The application -> its address. ready: once a worker is."""
    with running(settings) as (client, _):
        if ready:
            until_ready(client)
        yield str(client.base_url).rstrip("/")


class Watched:
    """A page of a new profile, and what it asked for and complained of."""

    def __init__(self, context: BrowserContext, site: str):
        self.page, self.site = context.new_page(), site
        self.page.set_default_timeout(60_000)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        context.on("request", lambda request: self.requests.append(request.url))
        context.on("console", lambda message: self._said(message.type, message.text))
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))

    def _said(self, kind: str, text: str) -> None:
        # A browser reports every refusal of the server as an error; the tests expect some.
        if kind in ("error", "warning") and not text.startswith("Failed to load resource"):
            self.complaints.append(text)

    def check(self) -> None:
        here = urlsplit(self.site).netloc
        addresses = [urlsplit(url.removeprefix("blob:")) for url in self.requests]
        assert [a for a in addresses if a.scheme not in ("data", "file") and a.netloc != here] == []
        assert self.complaints == []


@contextlib.contextmanager
def profiles(browser: Browser, site: str) -> Iterator[Callable[..., Page]]:
    """(address, **options of the profile) -> a page at the start; in the end all are checked."""
    opened: list[tuple[BrowserContext, Watched]] = []

    def open_page(at: str = site, **options) -> Page:
        context = browser.new_context(**options)
        watched = Watched(context, at)
        opened.append((context, watched))
        watched.page.goto(at)
        return watched.page

    yield open_page
    for context, watched in opened:
        watched.check()
        context.close()


def send(page: Page, video: Path) -> None:
    page.set_input_files("#video", video)
    page.click("#check")


def result_of(page: Page, video: Path) -> dict:
    """Uploads a video, and the report of its job by the API."""
    from playwright.sync_api import expect

    send(page, video)
    expect(page.locator("#result .banner")).to_be_visible()
    job = urlsplit(page.url).path.removeprefix("/jobs/")
    site = page.url.removesuffix(f"/jobs/{job}")
    report = httpx.get(f"{site}/api/v1/jobs/{job}/report.json").raise_for_status().json()
    return {"api": f"{site}/api/v1/jobs/{job}", **report}


def findings(page: Page) -> list[str]:
    """What axe-core finds."""
    from axe_playwright_python.sync_playwright import Axe

    return [f"{v['id']}: {v['help']}" for v in Axe().run(page).response["violations"]]
