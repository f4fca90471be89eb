"""A result on the page as a person works with it: boxes, steps, large pictures, print."""

import itertools
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import Page, expect  # noqa: E402

from serving.analysis.report_html import PageOf, moment, render, render_part  # noqa: E402
from tests.fixtures.report_documents import (  # noqa: E402
    many_faces,
    pictures_of,
    report_document,
)
from tests.serving.web.browser import (  # noqa: E402
    MARKS,
    findings,
    profiles,
    result_of,
)

expect.set_options(timeout=60_000)  # a busy machine

FRAME_S = 1 / 25
INTERACTIVE_S = 1.0  # on a machine that does nothing else
SLOW = 4  # as the machine may be beside other tests

pytestmark = MARKS


@pytest.fixture(scope="module")
def played(browser, site, face_video):
    """A page with the result of a video that it plays, for tests that leave it there."""
    with profiles(browser, site) as open_page:
        page = open_page()
        yield page, result_of(page, face_video)


def go_to(page: Page, seconds: float) -> None:
    """Shows the frame of the video that is on the screen then."""
    page.evaluate(
        """(seconds) => new Promise((shown) => {
            const video = document.querySelector('video');
            video.pause();
            video.requestVideoFrameCallback(shown);
            video.currentTime = seconds;
        })""",
        seconds + FRAME_S / 2,
    )


def box(page: Page) -> list[float]:
    rect = page.locator(".boxes .line").first
    left, top, width, height = (float(rect.get_attribute(n)) for n in ("x", "y", "width", "height"))
    return [left, top, left + width, top + height]


def current_frame(page: Page) -> int:
    """Of a video of 25 frames a second."""
    return int(page.evaluate("document.querySelector('video').currentTime") / FRAME_S)


def test_each_frame_has_the_box_and_the_score_of_its_face(played):
    page, report = played
    (track,) = report["tracks"]
    for index in (0, -3):
        go_to(page, track["times_s"][index])
        label = page.locator(".boxes .label").first
        expect(label).to_have_text(f"Face 1: {100 * track['frame_probability'][index]:.0f} %")
        assert box(page) == pytest.approx(track["boxes"][index], abs=1)
    assert track["boxes"][0] != track["boxes"][-3]


def test_boxes_move_while_the_video_plays(played):
    page, _ = played
    go_to(page, 0)
    before = box(page)
    page.evaluate("document.querySelector('video').play()")
    page.wait_for_function(
        "(x) => document.querySelector('.boxes .line').getAttribute('x') > x + 5", arg=before[0]
    )


def test_boxes_lie_on_the_picture_and_can_be_put_away(played):
    page, _ = played
    video, over = (page.locator(name).bounding_box() for name in (".screen video", ".boxes"))
    assert over == pytest.approx(video, abs=1)
    page.get_by_label("Boxes").uncheck()
    expect(page.locator(".boxes")).to_be_hidden()
    page.get_by_label("Boxes").check()
    expect(page.locator(".boxes")).to_be_visible()


def test_boxes_are_there_on_the_full_screen_and_keys_too(played):
    page, _ = played
    page.get_by_role("button", name="Full screen").click()
    page.wait_for_function("() => document.fullscreenElement")
    go_to(page, 5 * FRAME_S)
    screen = page.evaluate("[innerWidth, innerHeight]")
    for name in (".screen video", ".boxes"):
        shown = page.locator(name).bounding_box()
        assert [shown["width"], shown["height"]] == pytest.approx(screen, abs=1)
    page.keyboard.press(".")
    assert current_frame(page) == 6
    page.evaluate("document.exitFullscreen()")
    page.wait_for_function("() => !document.fullscreenElement")


def test_keys_and_buttons_step_by_a_frame(played):
    page, _ = played
    go_to(page, 5 * FRAME_S)
    page.locator("#result h1").focus()
    for press, frame in (
        (lambda: page.keyboard.press("."), 6),
        (lambda: page.keyboard.press(","), 5),
        (lambda: page.get_by_role("button", name="Next frame").click(), 6),
        (lambda: page.get_by_role("button", name="Previous frame").press("Enter"), 5),
    ):
        press()
        assert current_frame(page) == frame
    for _ in range(3):  # faster than they are shown
        page.keyboard.press(".")
    assert current_frame(page) == 8


def test_keys_do_nothing_once_they_are_switched_off(played):
    page, _ = played
    go_to(page, 5 * FRAME_S)
    page.get_by_label("Keys").uncheck()
    page.keyboard.press(".")
    assert current_frame(page) == 5
    page.get_by_label("Keys").check()
    page.keyboard.press(".")
    assert current_frame(page) == 6


def test_the_name_of_the_file_is_at_the_top_and_in_the_title(played):
    page, report = played
    top = page.locator("#result .of-file")
    expect(top).to_have_text("face.mp4")
    assert top.bounding_box()["y"] < page.locator("#result h1").bounding_box()["y"]
    assert page.title() == f"{page.locator('#result h1').inner_text()}: face.mp4 – dfdetect"


def squeezed_and_turned(path: Path, square: np.ndarray) -> Path:
    """A video whose pixels are twice as wide as high, and which a player turns to the right."""
    height, width = square.shape[:2]
    squeezed = cv2.resize(np.rot90(square), (height // 2, width), interpolation=cv2.INTER_AREA)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width = squeezed.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2)
        stream.set_display_matrix([0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30])
        for _ in range(12):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(squeezed, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_boxes_fit_a_video_that_is_shown_turned_and_in_other_pixels(
    open_page, astronaut, face_video, played, tmp_path
):
    page = open_page()
    wide = np.pad(astronaut, ((0, 0), (0, 128), (0, 0)), "edge")  # the face is on the left
    report = result_of(page, squeezed_and_turned(tmp_path / "turned.mp4", wide))
    assert report["picture"] == {"width": 384, "height": 256}
    assert (report["file"]["width"], report["file"]["height"]) == (128, 384)
    assert page.evaluate(
        "(v => [v.videoWidth, v.videoHeight])(document.querySelector('video'))"
    ) == [
        384,
        256,
    ]
    go_to(page, 0)
    assert box(page) == pytest.approx(played[1]["tracks"][0]["boxes"][0], abs=8)


@pytest.mark.parametrize("name", ["late.mp4", "late.mkv"])
def test_boxes_keep_step_where_the_picture_begins_after_the_sound(
    open_page, astronaut, tmp_path, name
):
    page, late_frames = open_page(), 10
    with av.open(str(tmp_path / name), "w") as container:
        stream, sound = (
            container.add_stream("libx264", rate=25),
            container.add_stream("aac", 16_000),
        )
        stream.height, stream.width = astronaut.shape[:2]
        stream.pix_fmt = "yuv420p"
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 32_000), np.float32), "fltp", "mono")
        silence.sample_rate = 16_000
        for packet in [*sound.encode(silence), *sound.encode()]:
            container.mux(packet)
        for i in range(30):
            frame = av.VideoFrame.from_ndarray(np.roll(astronaut, 2 * i, axis=1), format="rgb24")
            frame.pts, frame.time_base = i + late_frames, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    report = result_of(page, tmp_path / name)
    (track,) = report["tracks"]
    for index in (2, len(track["times_s"]) - 2):
        go_to(page, track["times_s"][index] + late_frames * FRAME_S)
        assert box(page) == pytest.approx(track["boxes"][index], abs=1)
        expect(page.locator(".readout")).to_contain_text(moment(track["times_s"][index]))
    page.locator(".strip button").last.click()
    assert current_frame(page) == late_frames + round(report["strip"][-1]["time_s"] / FRAME_S)


def press_until(page: Page, key: str, said: str) -> None:
    page.keyboard.press(key)
    expect(page.locator(".readout")).to_contain_text(said)


def two_parts() -> dict:
    document = many_faces(faces=2)
    document["tracks"][1]["segments"].append(
        {"start_s": 400.0, "end_s": 420.0, "probability_fake": 0.91, "clips": 3}
    )
    return document


def test_keys_and_buttons_jump_between_suspicious_parts(show):
    page = show(two_parts())
    for key, place in (("n", "4:12.0"), ("n", "6:40.0"), ("n", "6:40.0"), ("p", "4:12.0")):
        press_until(page, key, place)
    page.get_by_role("button", name="Next suspicious part").click()
    expect(page.locator(".readout")).to_contain_text("6:40.0")


def test_without_the_video_the_keys_step_by_the_frames_that_were_looked_at(show):
    page = show(report_document())
    for key, place in ((".", "0:00.2"), (".", "0:00.4"), (",", "0:00.2")):
        press_until(page, key, place)


def test_a_picture_opens_in_large_beside_its_heat_map(show):
    page = show(report_document())
    button = page.locator(".extremes .enlarge").first
    button.press("Enter")
    dialog = page.get_by_role("dialog", name="Face 1 at 0:06.4: 95 %")
    expect(dialog).to_be_visible()
    plain, heated = dialog.locator("figure").all()
    assert plain.bounding_box()["y"] == pytest.approx(heated.bounding_box()["y"])
    assert plain.locator("img").bounding_box()["width"] > 3 * button.bounding_box()["width"]
    expect(heated.locator("img")).to_have_count(2)
    expect(heated.locator(".heat")).to_be_visible()
    expect(dialog.locator(".heat-legend")).to_contain_text("much of the model's attention")
    for _ in range(2):  # keys are for what lies under it
        page.keyboard.press(".")
    expect(page.locator(".readout")).to_contain_text("0:00.2")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(button).to_be_focused()


def test_a_picture_without_a_heat_map_opens_alone(show):
    page = show(report_document())
    page.locator(".card .enlarge").first.click()
    expect(page.locator(".large figure").first).to_be_visible()
    expect(page.locator(".large figure").last).to_be_hidden()
    expect(page.locator(".large .heat-legend")).to_be_hidden()
    page.get_by_role("button", name="Close").click()
    expect(page.locator(".large")).to_be_hidden()


def test_more_than_eight_faces_are_folded_until_they_are_asked_for(show):
    page = show(many_faces())
    cards = page.locator(".card")
    expect(cards.nth(7)).to_be_visible()
    expect(cards.nth(8)).to_be_hidden()
    page.get_by_text("8 more faces").press("Enter")
    expect(cards.nth(15)).to_be_visible()


@pytest.mark.parametrize(
    "options",
    [
        {"color_scheme": "light", "reduced_motion": "reduce"},
        {"color_scheme": "dark"},
        {"viewport": {"width": 360, "height": 740}},
    ],
    ids=["light", "dark", "phone"],
)
def test_a_result_is_accessible_with_all_of_it_opened(show, options):
    page = show(many_faces(moments=8) | {"faces": two_faces_with_heat()}, **options)
    page.get_by_text("8 more faces").click()
    page.get_by_text("What identifies them").click()
    assert findings(page) == []
    page.locator(".enlarge").first.click()
    expect(page.locator(".large")).to_be_visible()
    assert findings(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if options.get("reduced_motion"):
        assert page.evaluate("document.getAnimations().length") == 0


def two_faces_with_heat() -> list[dict]:
    return [face | {"heat_map": face["n"] < 2} for face in many_faces()["faces"]]


def test_what_has_the_focus_is_seen(played):
    page, _ = played
    page.locator("#result h1").focus()
    for _ in range(100):
        page.keyboard.press("Tab")
        focus, style = page.evaluate(
            "(e => [e.className || e.tagName, getComputedStyle(e).outlineStyle])"
            "(document.activeElement)"
        )
        if focus == "BODY" or "skip" in focus:
            break
        assert style != "none" or focus == "VIDEO", focus  # whose controls show it themselves
    else:
        pytest.fail("the end of the page was not reached")


def texts(pdf: bytes) -> list[str]:
    """The text of each page, with ordinary spaces only."""
    pdfium = pytest.importorskip("pypdfium2")
    return [
        " ".join(page.get_textpage().get_text_bounded().replace("\ufffe", "").split())
        for page in pdfium.PdfDocument(pdf)
    ]


@pytest.fixture(params=["page", "report"])
def print_of(request, show, open_page, astronaut, tmp_path) -> Callable[[dict], list[str]]:
    """(document) -> the text of each printed page, of a job's page or of the report on its own."""

    def printed(document: dict) -> list[str]:
        if request.param == "page":
            page = show(document)
        else:
            page = open_page()
            html = render(document, *pictures_of(document, astronaut))
            (tmp_path / "report.html").write_text(html)
            page.goto((tmp_path / "report.html").as_uri())
        return texts(page.pdf(prefer_css_page_size=True))

    return printed


def test_a_printed_result_can_be_handed_on(print_of):
    document = many_faces()
    document["file"]["name"] = 'two "words" <b>.mp4'
    pages = print_of(document)
    assert 2 <= len(pages) <= 5
    for number, text in enumerate(pages, 1):
        assert f"Page {number} of {len(pages)}" in text
        assert 'two "words" <b>.mp4 · SHA-256 9f2c9f2c9f2c9f2c…' in text
    for said in (
        "9f2c" * 16,
        "dfdetect, version 1, for crops 0a1b2c3d4e5f6071",
        "REAL up to 40 %, FAKE from 60 %",
        "Looked at 64 moments of 9:50",
        "Likely FAKE",
    ):
        assert said in pages[0]
    whole = " ".join(pages)
    assert "Face 16" in whole.split("Faces The highest-scoring")[1]  # folded on the screen
    for control in ("Delete now", "Next frame", "Heat map"):
        assert control not in whole


@pytest.fixture
def play(open_page, astronaut, face_video) -> Callable[[dict], Page]:
    """(document) -> the page of a video that it plays, with this report of it."""

    def play(document: dict) -> Page:
        document["picture"] = {"width": 256, "height": 256}
        of = PageOf("/api/v1/jobs/x", "soon")
        html = render_part(document, *pictures_of(document, astronaut), of)
        page = open_page()
        page.route("**/jobs/*/result", lambda route: route.fulfill(body=html))
        page.route("**/report.json", lambda route: route.fulfill(json=document))
        page.evaluate(IDLE)
        page.set_input_files("#video", face_video)
        page.click("#check")
        page.wait_for_function("() => window.idleAt")
        return page

    return play


# Keeps when the result is shown with its boxes, and nothing is left to be done.
IDLE = """() => {
    const seen = new MutationObserver(() => {
        if (document.querySelector('#result').hidden || !document.querySelector('.boxes')) return;
        seen.disconnect();
        requestIdleCallback(() => { window.idleAt = performance.now(); });
    });
    seen.observe(document.body, { subtree: true, attributes: true, childList: true });
}"""
ANSWERED = """performance.getEntriesByType('resource')
    .find((entry) => entry.name.endsWith('/result')).responseEnd"""


def test_a_result_of_sixteen_faces_over_ten_minutes_is_soon_interactive(play):
    page = play(many_faces())
    took_s = (page.evaluate("window.idleAt") - page.evaluate(ANSWERED)) / 1000
    print(f"\n16 faces, 9:50: interactive after {took_s:.2f} s")
    assert took_s <= SLOW * INTERACTIVE_S
    page.get_by_role("slider", name="Position in the video").press("End")
    expect(page.locator(".readout")).to_contain_text("0:01.2")  # the end of what is played


def test_boxes_of_faces_do_not_look_alike(play):
    looks = (
        play(many_faces())
        .locator(".boxes .line")
        .evaluate_all(
            "all => all.map((e) => (s => [s.stroke, s.strokeDasharray])(getComputedStyle(e)))"
        )
    )
    assert len(looks) == 16
    assert all(one != other for one, other in itertools.combinations(looks, 2))


def test_a_moment_that_was_not_looked_at_has_no_box_and_says_so(play):
    document = report_document()
    track = document["tracks"][0]
    del document["tracks"][1:], document["peaks"][:]
    document["faces"] = [face for face in document["faces"] if face["track"] == track["track"]]
    track["times_s"] = [round(i * FRAME_S, 3) for i in range(5)]
    track["frame_probability"], track["boxes"] = [0.9] * 5, [[50, 40, 200, 220]] * 5
    page = play(document)
    face, note = page.locator(".boxes g"), page.locator(".boxes > .label")
    go_to(page, 4 * FRAME_S)
    expect(face).to_be_visible()
    expect(note).to_be_hidden()
    go_to(page, 1.0)
    expect(face).to_be_hidden()
    expect(note).to_have_text("not looked at")
    expect(note).to_be_visible()


def test_a_long_name_fits_on_a_phone(show):
    document = report_document()
    document["file"]["name"] = "a" * 300 + ".mp4"
    page = show(document, viewport={"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
