"""Fixtures of the web application's tests: settings, and for the browser a site, pages, results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from serving.analysis.report_html import PageOf, render_part
from serving.web.settings import Settings
from tests.fixtures.report_documents import pictures_of
from tests.serving.web.browser import (
    CHROMIUM,
    CPU_S,
    FLAGS,
    MAX_BYTES,
    MAX_SECONDS,
    profiles,
    result_of,
    site_of,
)

if TYPE_CHECKING:  # few machines have it
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Settings:
    """Of a server whose model server is down, and to which uploads may be slow."""
    folder = str(tmp_path_factory.mktemp("uploads"))
    return Settings(
        model_server=("http://127.0.0.1:9",), folder=folder, model_timeout=0.1, upload_grace=1e6
    )


@pytest.fixture(scope="module")
def uploads(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("web") / "uploads"


@pytest.fixture(scope="module")
def site(exported_judge, uploads) -> Iterator[str]:
    """With the tiny model that gives verdicts, and a process that decodes."""
    settings = Settings(
        model=(str(exported_judge),),
        max_bytes=MAX_BYTES,
        max_seconds=MAX_SECONDS,
        queue=1,
        folder=str(uploads),
    )
    with site_of(settings) as url:
        yield url


@pytest.fixture(scope="module")
def kept_site(exported_judge, tmp_path_factory) -> Iterator[str]:
    """The same with a history, whose results outlive it."""
    folder = tmp_path_factory.mktemp("kept")
    settings = Settings(
        model=(str(exported_judge),),
        folder=str(folder / "uploads"),
        results_dir=str(folder / "results"),
    )
    with site_of(settings) as url:
        yield url


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    # A process of Chromium that loops for ever would leave no core for the tests after it.
    limited = tmp_path_factory.mktemp("browser") / "chromium"
    limited.write_text(f'#!/bin/sh\nulimit -t {CPU_S}\nexec {CHROMIUM} "$@"\n')
    limited.chmod(0o700)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=limited, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, site) -> Iterator[Callable[..., Page]]:
    with profiles(browser, site) as open_page:
        yield open_page


@pytest.fixture(scope="module")
def shown(browser, site, fake) -> Iterator[tuple[Page, dict]]:
    """A page with the result of a fake, for tests that leave it there; and the report."""
    with profiles(browser, site) as open_page:
        page = open_page()
        yield page, result_of(page, fake)


@pytest.fixture(scope="module")
def fake(sample) -> Path:
    return sorted(sample.glob("manipulated_sequences/*/*/videos/*.mp4"))[0]


@pytest.fixture(scope="module")
def real(sample) -> Path:
    return sorted(sample.glob("original_sequences/*/*/videos/*.mp4"))[0]


@pytest.fixture
def show(open_page, fake, astronaut) -> Callable[..., Page]:
    """(document, **options of the profile) -> the page of a job with this report."""
    from playwright.sync_api import expect

    def show(document: dict, **options) -> Page:
        page = open_page(**options)
        job = result_of(page, fake)["api"]
        html = render_part(document, *pictures_of(document, astronaut), PageOf(job, "soon"))
        page.route("**/jobs/*/result", lambda route: route.fulfill(body=html))
        page.reload()
        expect(page.locator(".readout")).not_to_be_empty()
        return page

    return show
