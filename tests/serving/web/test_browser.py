"""The web application as a person meets it: Chromium, a real server and a real model."""

import asyncio
import contextlib
import itertools
import json
import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

playwright = pytest.importorskip("playwright.sync_api")

from playwright.sync_api import Page, expect  # noqa: E402

from serving.analysis.report_html import moment  # noqa: E402
from serving.web import api  # noqa: E402
from serving.web.problems import stopping  # noqa: E402
from serving.web.receive import receive  # noqa: E402
from serving.web.settings import Settings  # noqa: E402
from serving.web.worker import FaceWorker  # noqa: E402
from tests.fixtures.report_documents import (  # noqa: E402
    VERDICT_WORDS,
    demo_document,
    many_faces,
    report_document,
)
from tests.serving.web.browser import (  # noqa: E402
    MARKS,
    MAX_BYTES,
    findings,
    profiles,
    result_of,
    send,
    site_of,
)
from tests.serving.web.live_server import wait_until  # noqa: E402

expect.set_options(timeout=60_000)  # a busy machine

WORDS = {"FAKE": "Likely FAKE", "REAL": "Likely REAL", "INCONCLUSIVE": "INCONCLUSIVE"}
DECODER = "serving.web.decoder"
TOKEN = "a-token-of-some-length"

pytestmark = MARKS


@pytest.fixture(scope="module")
def dead_site(tmp_path_factory) -> Iterator[str]:
    """Asks for a token, and its model server does not answer."""
    folder = tmp_path_factory.mktemp("dead")
    (folder / "token").write_text(TOKEN)
    settings = Settings(
        model_server=("http://127.0.0.1:9",),
        model_timeout=0.1,
        token_file=str(folder / "token"),
        folder=str(folder / "uploads"),
    )
    with site_of(settings, ready=False) as url:
        yield url


def left(uploads: Path) -> list[Path]:
    """The videos that lie on the server's disk."""
    return [path for path in uploads.rglob("*") if path.is_file() and path.stat().st_size]


def problem_of(page: Page) -> str:
    problem = page.locator("#problem")
    expect(problem).to_be_visible()
    assert problem.get_attribute("role") == "alert"
    return problem.inner_text()


def current_time(page: Page) -> float:
    return page.evaluate("document.querySelector('video').currentTime")


def test_the_first_page_is_small(open_page):
    page = open_page()
    page.wait_for_load_state("networkidle")
    sizes = page.evaluate(
        "performance.getEntries().map((e) => e.transferSize).filter((size) => size !== undefined)"
    )
    assert 3 <= len(sizes) <= 5 and 10_000 < sum(sizes) <= 100_000


def test_limits_are_stated_before_the_upload(open_page):
    page = open_page()
    terms = page.locator(".terms")
    expect(terms).to_contain_text("3 MB at most")
    expect(terms).to_contain_text("20 seconds at most")
    expect(terms).to_contain_text("MP4, MOV, WebM, MKV, AVI")
    assert terms.bounding_box()["y"] < page.locator("#drop").bounding_box()["y"]


# Keeps what is shown of the progress, however short.
SEEN = """() => {
  window.seen = { stages: new Set(), details: new Set() };
  new MutationObserver(() => {
    const now = document.querySelectorAll('.stages .now');
    for (const item of now) window.seen.stages.add(item.dataset.stage);
    window.seen.details.add(document.querySelector('#detail').textContent);
  }).observe(document.querySelector('#work'), { subtree: true, attributes: true, childList: true });
}"""


@pytest.mark.parametrize("which", ["fake", "real"])
def test_a_sample_is_uploaded_followed_and_judged(open_page, uploads, request, which):
    page = open_page()
    page.evaluate(SEEN)
    report = result_of(page, request.getfixturevalue(which))
    stages = set(page.evaluate("[...window.seen.stages]"))
    # Which of the analysis depends on how soon the page follows it: decoding may be over by then.
    assert "upload" in stages and stages & {"decode", "faces", "model"}
    status = page.locator("#result [role=status]").first
    expect(status).to_contain_text(WORDS[report["verdict"]])
    expect(status).to_contain_text("Estimated probability that a face was manipulated")
    assert page.title().startswith(WORDS[report["verdict"]])
    expect(page.locator("#result")).to_contain_text(report["file"]["sha256"])
    expect(page.locator(".keep")).to_contain_text("The uploaded video was deleted")
    assert left(uploads) == []


def test_a_demo_model_gives_a_visitor_no_verdict(browser, exported, fake, tmp_path):
    settings = Settings(model=(str(exported),), folder=str(tmp_path), spares=0)
    with site_of(settings) as url, profiles(browser, url) as open_page:
        page = open_page()
        report = result_of(page, fake)
        assert report["verdict"] == "DEMO"
        expect(page.locator("#result [role=status] h1")).to_have_text("DEMO MODEL: no verdict")
        expect(page.locator(".readout")).to_contain_text("Face 1: ")
        assert page.title() == f"DEMO MODEL: no verdict: {fake.name} – dfdetect"
        assert not VERDICT_WORDS.search(page.locator("#result").inner_text())


def test_a_click_on_the_timeline_seeks_in_the_visitors_own_copy(shown):
    page, report = shown
    assert page.evaluate("document.querySelector('video').src").startswith("blob:")
    line = page.locator(".u-over")
    line.scroll_into_view_if_needed()
    box = line.bounding_box()
    aim = report["tracks"][0]["times_s"][-1] / report["file"]["duration_s"]
    page.mouse.click(box["x"] + aim * box["width"], box["y"] + 20)
    expect(page.locator(".readout")).to_contain_text("Face 1")
    assert current_time(page) == pytest.approx(report["tracks"][0]["times_s"][-1], abs=0.05)


def test_the_timeline_is_moved_by_keys(shown):
    page, report = shown
    times = report["tracks"][0]["times_s"]
    line = page.get_by_role("slider", name="Position in the video")
    line.press("End")
    assert current_time(page) == pytest.approx(times[-1], abs=0.01)
    expect(page.locator(".readout")).to_contain_text(moment(times[-1]))
    line.press("ArrowLeft")
    assert current_time(page) == pytest.approx(times[-2], abs=0.01)
    assert line.get_attribute("aria-valuenow") == f"{times[-2]:.2f}"


def test_a_time_beside_a_face_seeks(shown):
    page, report = shown
    page.locator(".extremes [data-seek]").first.click()
    first = next(face for face in report["faces"] if face["kind"] == "most")
    assert current_time(page) == pytest.approx(first["time_s"], abs=0.01)


def test_a_picture_of_the_strip_seeks(shown):
    page, report = shown
    aim = report["strip"][-1]["time_s"]
    page.locator(".strip button").last.click()
    assert current_time(page) == pytest.approx(aim, abs=0.01)
    pictures = page.locator(".strip img")
    assert pictures.evaluate_all("all => all.every((image) => image.naturalWidth > 0)")
    assert pictures.last.get_attribute("alt") == f"at {moment(aim)}"


def test_a_video_that_was_looked_at_completely_is_shown_second_by_second(shown):
    page, report = shown
    assert report["coverage"]["gaps"] == []
    expect(page.locator("#result")).to_contain_text("The video, second by second")
    expect(page.locator(".coverage")).to_contain_text("Looked at all of 0:00.6")


def test_a_segment_seeks_to_its_start_by_its_band_and_by_the_keyboard(show):
    page = show(many_faces(faces=2))
    readout = page.locator(".readout")
    page.locator(".segment[data-seek]").first.click()
    expect(readout).to_contain_text("4:12.0")
    page.get_by_role("slider", name="Position in the video").press("Home")
    expect(readout).to_contain_text("0:00.0")
    page.get_by_role("button", name="4:12–4:42, face 2, 93 %").press("Enter")
    expect(readout).to_contain_text("4:12.0")


def test_page_keys_go_over_what_was_not_looked_at(show):
    page = show(report_document())
    line, readout = (
        page.get_by_role("slider", name="Position in the video"),
        page.locator(".readout"),
    )
    for key, place in (("PageDown", "0:00.2"), ("PageDown", "0:06.0"), ("PageUp", "0:00.2")):
        line.press(key)
        expect(readout).to_contain_text(place)


def test_what_shares_the_time_axis_lies_on_it(show):
    page = show(many_faces(faces=2))
    sides = [
        (round(box["x"]), round(box["x"] + box["width"]))
        for box in (
            page.locator(name).first.bounding_box()
            for name in (".u-over", ".lane svg", ".leaders", ".strip")
        )
    ]
    assert len(set(sides)) == 1


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"color_scheme": "dark"}, marks=pytest.mark.slow),
        {"viewport": {"width": 360, "height": 740}},
    ],
    ids=["dark", "phone"],
)
def test_a_page_without_a_verdict_is_accessible_and_fits(show, options):
    page = show(demo_document(), **options)
    assert findings(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, marks=pytest.mark.slow),
        pytest.param({"color_scheme": "dark"}, marks=pytest.mark.slow),
        {"viewport": {"width": 360, "height": 740}},
    ],
    ids=["light", "dark", "phone"],
)
def test_a_long_video_with_many_faces_is_accessible_and_fits(show, options):
    page = show(many_faces(), **options)
    assert findings(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_heat_map_is_off_until_it_is_asked_for(shown):
    page, report = shown
    if not any(face["heat_map"] for face in report["faces"]):
        pytest.skip("this model explains nothing")
    heat = page.locator(".extremes .heat").first
    expect(heat).to_be_hidden()
    page.get_by_label("Heat map").check()
    expect(heat).to_be_visible()
    expect(page.locator(".switch")).to_contain_text("not proof of editing")


def decoders() -> list[int]:
    """The decoding processes that the server in this process has started."""
    pids = " ".join(p.read_text() for p in Path("/proc/self/task").glob("*/children")).split()
    return [pid for pid in map(int, pids) if DECODER in Path(f"/proc/{pid}/cmdline").read_text()]


@contextlib.contextmanager
def nothing_is_decoded(site: str) -> Iterator[None]:
    """Within it no job comes to its end; the first of them is at work."""
    wait_until(lambda: httpx.get(f"{site}/readyz").status_code == 200)
    stopped = decoders()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in set(stopped) & set(decoders()):
            os.kill(pid, signal.SIGCONT)


def test_a_cancelled_job_is_gone_and_so_is_its_video(open_page, uploads, real, monkeypatch):
    asked, request = threading.Event(), FaceWorker.request

    def noted(self, message):
        request(self, message)
        asked.set()

    monkeypatch.setattr(FaceWorker, "request", noted)
    stopped = decoders()
    for decoder in stopped:
        os.kill(decoder, signal.SIGSTOP)  # or the job may end first
    page = open_page()
    send(page, real)
    page.wait_for_url("**/jobs/*")
    api = page.url.replace("/jobs/", "/api/v1/jobs/")
    assert asked.wait(60)  # before that there is nothing to end
    page.click("#cancel")
    expect(page.locator("#chosen")).to_contain_text("Cancelled")
    assert httpx.get(api).status_code == 404
    assert page.evaluate("document.activeElement.id") == "video"
    wait_until(lambda: not left(uploads) and not set(stopped) <= set(decoders()))
    for decoder in set(stopped) & set(decoders()):  # one that waits to take over
        os.kill(decoder, signal.SIGCONT)


def test_who_cancels_before_the_server_has_answered_leaves_no_job(
    open_page, site, real, monkeypatch
):
    came, held = threading.Event(), threading.Event()

    async def late(*args):
        upload = await receive(*args)
        came.set()
        await asyncio.to_thread(held.wait, 60)
        return upload

    def forgotten() -> str:
        text = httpx.get(f"{site}/metrics").text
        return "".join(re.findall(r'total{method="DELETE".*status="204"} .*', text))

    monkeypatch.setattr(api, "receive", late)
    page, before = open_page(), forgotten()
    send(page, real)
    wait_until(came.is_set)
    expect(page.locator("#detail")).to_have_text("100 %")  # the browser knows that all is sent
    page.click("#cancel")
    expect(page.locator("#chosen")).to_contain_text("Cancelled")
    held.set()
    wait_until(lambda: forgotten() != before)


def test_who_waits_sees_the_place_in_the_queue(open_page, site, real, fake):
    page = open_page()
    with nothing_is_decoded(site):
        httpx.post(f"{site}/api/v1/jobs", files={"video": real.read_bytes()})
        send(page, fake)
        expect(page.locator("#detail")).to_contain_text("Place 1 in the queue. ")
    expect(page.locator("#result .banner")).to_be_visible()


@pytest.fixture(scope="module")
def wide_site(exported_judge, tmp_path_factory) -> Iterator[str]:
    """With room for many videos at a time."""
    folder = tmp_path_factory.mktemp("wide") / "uploads"
    settings = Settings(model=(str(exported_judge),), queue=8, folder=str(folder), spares=0)
    with site_of(settings) as url:
        yield url


def test_eight_tabs_that_wait_at_a_time_all_get_their_result(browser, wide_site, fake):
    with profiles(browser, wide_site) as open_page:
        first = open_page()
        tabs = [first, *(first.context.new_page() for _ in range(7))]
        with nothing_is_decoded(wide_site):  # until all of them wait
            for tab in tabs:
                tab.goto(wide_site)
                send(tab, fake)
                tab.wait_for_url("**/jobs/*")
        for tab in tabs:
            expect(tab.locator("#result .banner")).to_be_visible()
        assert len({tab.url for tab in tabs}) == 8


def test_a_server_that_does_not_answer_for_a_while_is_asked_again(open_page, fake):
    page, lost = open_page(), threading.Event()

    def lose_one(route):
        route.continue_() if lost.is_set() else route.abort()
        lost.set()

    page.route("**/api/v1/jobs/*", lose_one)
    page.evaluate(SEEN)
    result_of(page, fake)
    assert "The server does not answer. Asking again." in page.evaluate("[...window.seen.details]")


def test_a_file_beyond_the_limit_is_not_even_sent(open_page, tmp_path):
    (tmp_path / "large.mp4").write_bytes(bytes(MAX_BYTES + 1))
    page = open_page()
    send(page, tmp_path / "large.mp4")
    expect(page.locator("#chosen")).to_contain_text("too large for this server")
    expect(page.locator("#work")).to_be_hidden()


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory, write_video, fake) -> dict[str, Path]:
    import av

    folder = tmp_path_factory.mktemp("bad")
    (folder / "text.mp4").write_text("not a video at all")
    (folder / "cut.mp4").write_bytes(fake.read_bytes()[:2000])
    with av.open(str(folder / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        samples = np.zeros((1, 16_000), np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = 16_000
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)
    grey = np.full((8, 64, 64, 3), 90, np.uint8)
    write_video(folder / "hours.mp4", np.repeat(grey, 4, axis=0), fps=1)
    return {path.stem: path for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("text", "This is not a video of a known format"),
        ("cut", "The video cannot be read"),
        ("sound", "The file holds no video"),
        ("hours", "The video is too long"),
    ],
)
def test_a_file_that_is_no_use_is_refused_in_words(open_page, bad_files, name, said):
    page = open_page()
    send(page, bad_files[name])
    assert said in problem_of(page)
    page.click("text=Back to the start")
    expect(page.locator("#start")).to_be_visible()


def test_a_full_queue_is_told_in_words(open_page, site, real, fake):
    page, taken = open_page(), []
    with nothing_is_decoded(site):
        while (
            answer := httpx.post(f"{site}/api/v1/jobs", files={"video": real.read_bytes()})
        ).is_success:
            taken.append(answer.headers["location"])
        send(page, fake)
        assert "Too many videos are waiting" in problem_of(page)
    for place in taken:  # the next test finds its places free
        httpx.delete(site + place)


def test_what_a_server_that_stops_did_not_take_is_sent_again(open_page, fake):
    page = open_page()
    answer = stopping()

    def refuse(route):
        body, kind = json.dumps(answer.to_dict()), "application/problem+json"
        route.fulfill(status=answer.status, body=body, content_type=kind)

    page.route("**/api/v1/jobs", refuse, times=1)
    send(page, fake)
    expect(page.locator("#problem")).to_contain_text("restarted or stopped")
    page.click("text=Send it again")
    expect(page.locator("#result .banner")).to_be_visible()


def test_a_dead_model_server_gives_an_error_and_no_verdict(open_page, dead_site, fake):
    page = open_page(dead_site, http_credentials={"username": "any", "password": TOKEN})
    send(page, fake)
    assert "The model cannot be asked" in problem_of(page)
    expect(page.locator("#result")).to_be_hidden()


def test_a_page_of_a_server_with_a_token_is_not_shown_without_it(dead_site):
    for path in ("/", "/jobs/x", "/static/app.js"):
        answer = httpx.get(dead_site + path)
        assert answer.status_code == 401 and "Basic" in answer.headers["www-authenticate"]


def test_a_server_that_is_lost_is_told_in_words(open_page, fake):
    page = open_page()
    page.context.set_offline(True)
    send(page, fake)
    assert "The server cannot be reached" in problem_of(page)


def test_a_video_without_a_face_gets_no_number(open_page, write_video, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (12, 120, 160, 3), np.uint8)
    page = open_page()
    send(page, write_video(tmp_path / "noise.mp4", noise))
    banner = page.locator("#result .banner")
    expect(banner).to_contain_text("NOT ANALYSED: no face")
    expect(banner).not_to_contain_text("Estimated probability")


def test_a_result_is_deleted_at_once(open_page, fake):
    page = open_page()
    api = result_of(page, fake)["api"]
    page.click("text=Delete now")
    expect(page.locator("#result")).to_contain_text("Nothing of this video is left on the server.")
    assert httpx.get(api).status_code == 404
    page.reload()
    assert "There is nothing here" in problem_of(page)


def test_to_delete_what_is_gone_already_is_no_error(open_page, fake):
    page = open_page()
    httpx.delete(result_of(page, fake)["api"]).raise_for_status()
    page.click("text=Delete now")
    expect(page.locator("#result")).to_contain_text("Nothing of this video is left on the server.")


def test_the_moments_under_a_very_short_video_differ(open_page, write_video, astronaut, tmp_path):
    page = open_page()
    page.evaluate("""() => {
        window.drawn = [];
        const draw = CanvasRenderingContext2D.prototype.fillText;
        CanvasRenderingContext2D.prototype.fillText = function (text, ...where) {
            window.drawn.push(text);
            return draw.call(this, text, ...where);
        };
    }""")
    result_of(page, write_video(tmp_path / "short.mp4", np.stack([astronaut] * 5)))
    page.evaluate("() => { window.drawn = []; }")
    page.set_viewport_size({"width": 700, "height": 700})  # it is drawn again
    page.wait_for_function("window.drawn.some((text) => text.includes(':'))")
    moments = page.evaluate("window.drawn.filter((text) => text.includes(':'))")
    assert len(moments) == len(set(moments)) > 0


def test_the_moments_of_a_report_do_not_run_into_each_other_on_a_phone(
    open_page, write_video, astronaut, tmp_path
):
    page = open_page(viewport={"width": 360, "height": 740})
    report = result_of(page, write_video(tmp_path / "slow.mp4", np.stack([astronaut] * 6), fps=1))
    (tmp_path / "report.html").write_text(httpx.get(f"{report['api']}/report.html").text)
    page.goto((tmp_path / "report.html").as_uri())
    boxes = page.locator(".plot text").evaluate_all(
        "all => all.map((t) => t.getBoundingClientRect()).filter((b) => b.width)"
        ".map((b) => [b.left, b.right])"
    )
    assert len(boxes) >= 2
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(boxes))


def test_a_jobs_address_shows_stills_instead_of_the_video(open_page, fake):
    page = open_page()
    result_of(page, fake)
    page.reload()
    expect(page.locator(".player")).to_contain_text("no longer on the server")
    expect(page.locator("video")).to_have_count(0)
    first, last = page.locator(".extremes [data-seek]").first, page.locator("[data-seek]").last
    shown = []
    for button in (first, last):
        button.click()
        shown.append(page.locator(".still figcaption").inner_text())
        assert button.inner_text() in shown[-1]
    assert shown[0] != shown[1]


def test_what_the_browser_cannot_play_falls_back_to_stills(open_page, encode, astronaut, tmp_path):
    frames = np.stack([np.roll(astronaut, i, axis=1) for i in range(16)])
    page = open_page()
    result_of(page, encode(tmp_path / "old.avi", frames, "mpeg4"))
    expect(page.locator(".player")).to_contain_text("This browser cannot play this file")
    expect(page.locator(".still img").first).to_be_visible()


def test_the_saved_report_needs_no_server(shown, open_page, tmp_path):
    with shown[0].expect_download() as download:
        shown[0].click("text=Report as HTML")
    download.value.save_as(tmp_path / "report.html")
    page = open_page()
    page.context.set_offline(True)
    page.goto((tmp_path / "report.html").as_uri())
    expect(page.locator(".banner")).to_contain_text("Estimated probability")
    pictures = page.locator(".picture img:not(.heat)")
    assert pictures.evaluate_all("all => all.every((image) => image.naturalWidth > 0)")
    assert page.evaluate("getComputedStyle(document.querySelector('.card')).display") == "grid"


def test_the_upload_works_with_the_keyboard_alone(open_page, fake):
    page = open_page()
    reached = []
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    assert reached.index("video") < reached.index("check")
    page.set_input_files("#video", fake)
    page.locator("#check").press("Enter")
    expect(page.locator("#result .banner")).to_be_visible()
    assert page.evaluate("document.activeElement.closest('.banner') !== null")


@pytest.mark.parametrize(
    "options",
    [
        {"color_scheme": "light"},
        {"color_scheme": "dark"},
        {"viewport": {"width": 360, "height": 740}},
    ],
    ids=["light", "dark", "phone"],
)
def test_pages_are_accessible_and_fit(open_page, fake, bad_files, options):
    def fits() -> bool:
        return page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    page = open_page(**options)
    assert findings(page) == [] and fits()
    send(page, bad_files["text"])
    problem_of(page)
    assert findings(page) == [] and fits()
    page.click("text=Back to the start")
    result_of(page, fake)
    assert findings(page) == [] and fits()
