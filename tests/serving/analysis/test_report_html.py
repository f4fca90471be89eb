"""The report on its own: every kind of result, as a person sees it."""

import copy
import functools
import json
import re
from html import unescape
from html.parser import HTMLParser
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.analysis.report_document import MAX_TRACKS
from serving.analysis.report_html import (
    PageOf,
    css_string,
    exact,
    heat_png,
    moment,
    percent,
    render,
    render_part,
    score_text,
    size,
)
from serving.analysis.sentences import file_format
from serving.analysis.timeline import dash_of, timeline
from serving.analysis.video_result import DEMO_REASON
from serving.web.examples import REPORT
from tests.fixtures.report_documents import (
    SAMPLED,
    THRESHOLDS,
    VERDICT_WORDS,
    demo_document,
    document_of_two_models,
    judged,
    little_known,
    looked_at_completely,
    many_faces,
    opinion,
    pictures_of,
    report_document,
    too_little_looked_at,
    uncalibrated,
    without_coverage,
    without_face,
)

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>.mp4"
VOID = {"meta", "link", "input", "img", "br", "hr"}
PAGE = PageOf("/api/v1/jobs/x", "after 1 hour at the latest")
VARIANTS = {
    "fake": report_document,
    "real": lambda: judged("REAL", 0.08),
    "inconclusive": lambda: judged("INCONCLUSIVE", 0.55),
    "demo": demo_document,
    "no face": without_face,
    "uncalibrated": uncalibrated,
    "little known": little_known,
    "many faces": many_faces,
    "looked at completely": looked_at_completely,
    "too little looked at": too_little_looked_at,
    "without coverage": without_coverage,
    "two models": document_of_two_models,
}


@pytest.fixture(scope="module")
def pictures(astronaut):
    """(document) -> the crops, heat maps and thumbnails that belong to it."""
    return functools.partial(pictures_of, face=astronaut)


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request, pictures) -> tuple[dict, str]:
    document = VARIANTS[request.param]()
    return document, render(document, *pictures(document))


def plain(text: str) -> str:
    """With ordinary spaces only."""
    return " ".join(text.split())


class Page(HTMLParser):
    """Elements, links and text; fails where a tag is not closed as it should be."""

    def __init__(self, html: str):
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs), f"twice the same attribute: {attrs}"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data

    @property
    def words(self) -> str:
        return plain(self.text)

    def attributes(self, *names: str) -> list[str]:
        return [found[name] for _, found in self.elements for name in names if name in found]


def test_every_kind_of_result_is_well_formed_and_defined(variant):
    _, html = variant
    page = Page(html)
    assert html.startswith("<!doctype html>\n<html lang=")
    for word in ("None", "nan", "Undefined", "inf"):
        assert not re.search(rf"\b{word}\b", page.words), word


def test_ids_are_unique_and_labels_point_at_them(variant):
    page = Page(variant[1])
    ids = page.attributes("id")
    assert len(ids) == len(set(ids)) and set(page.attributes("for")) <= set(ids)


def test_the_report_asks_for_nothing_from_elsewhere(variant):
    _, html = variant
    page = Page(html)
    addresses = page.attributes("src", "href", "action", "poster", "srcset", "data")
    assert {urlsplit(address).scheme for address in addresses} <= {"data"}
    assert not re.search(r"url\(|@import", html)
    assert {"script", "link", "iframe", "object"}.isdisjoint(tag for tag, _ in page.elements)


def test_the_report_says_the_verdict_in_words_with_one_number(variant):
    document, html = variant
    words = Page(html).words
    said = {
        "FAKE": "Likely FAKE",
        "REAL": "Likely REAL",
        "INCONCLUSIVE": "INCONCLUSIVE",
        "NO_FACE": "NOT ANALYSED: no face",
        "DEMO": "DEMO MODEL: no verdict",
    }
    assert said[document["verdict"]] in words
    if document["probability_fake"] is None:
        assert "Estimated probability" not in words and document["detail"] in words
    else:
        score = f"{100 * document['probability_fake']:.0f} %"
        what = "Estimated probability that a face was manipulated"
        if document["verdict"] == "DEMO":
            what = "Score of the demo model"
        assert f"{what}: {score}" in words


def test_a_demo_model_s_report_has_no_word_and_no_colour_of_a_verdict(pictures):
    document = demo_document()
    for html in (
        render(document, *pictures(document)),
        render_part(document, *pictures(document), PAGE),
    ):
        page = Page(html)
        labels = " ".join(page.attributes("aria-label", "alt", "data-timeline"))
        assert not VERDICT_WORDS.search(page.words + labels)
        assert page.words.count(DEMO_REASON) == 1
        assert "Face 2 DEMO MODEL: no verdict, score 12 %" in page.words
        classes = {name for found in page.attributes("class") for name in found.split()}
        coloured = {"fake", "real", "unsure", "limit", "band", "segment", "threshold", "marker"}
        assert not classes & coloured and not any(name.startswith("zone") for name in classes)
    assert page.words.count("DEMO MODEL: no verdict") == 3  # the video and both of its faces


def test_a_demo_model_s_report_on_a_video_without_a_face_tells_no_false_alarms(pictures):
    document = without_face()
    document["model"]["sample_data"] = True
    words = Page(render(document, *pictures(document))).words
    assert "NOT ANALYSED: no face" in words and "of the real videos" not in words


def test_a_calibrated_score_comes_with_what_it_meant_for_held_out_videos(pictures):
    document = report_document()
    words = Page(render(document, *pictures(document))).words
    assert "Of held-out videos scored 80–90 %, 41 of 47 were fake." in words
    assert "Uncalibrated" not in words


def test_an_uncalibrated_score_is_called_so(pictures):
    document = uncalibrated()
    words = Page(render(document, *pictures(document))).words
    assert "Uncalibrated:" in words and "held-out" not in words
    assert "How often this model calls a real video FAKE was not measured." in words


def test_a_calibrated_score_without_test_figures_says_that(pictures):
    document = report_document()
    document["reliability"] = None
    assert (
        "is not known: the model has no test figures"
        in Page(render(document, *pictures(document))).words
    )


def test_the_report_names_faces_peaks_limits_and_facts(pictures):
    document = report_document()
    words = Page(render(document, *pictures(document))).words
    for said in (
        "The highest-scoring face decides",
        "Face 1 decides",
        "0:06.2 to 0:06.6 Face 1 99 %",
        "0:00.4 Face 1 97 %",
        "Likely REAL, 12 %",
        "where the model looked, not proof of editing",
        "an edit outside of faces is not seen",
        "On celeb_df (518 videos, real and fake) this model called 4.3 % of the real videos FAKE.",
        "9f2c" * 16,
        "4.2 MB",
        "1280 × 720 px",
        "dfdetect, version 1",
        "REAL up to 40 %, FAKE from 60 %",
        "2.7 s (faces 1.9 s, model 0.6 s)",
    ):
        assert said in words, said


def test_a_hostile_name_and_hostile_texts_are_only_text(pictures):
    document = report_document()
    document["file"].update(name=HOSTILE, codec=HOSTILE)
    document["model"]["trained_on"] = [HOSTILE]
    document["reasons"] = document["limits"] = [HOSTILE]
    for html in (
        render(document, *pictures(document)),
        render_part(document, *pictures(document), PAGE),
    ):
        page = Page(html)
        assert {tag for tag, _ in page.elements}.isdisjoint({"script"})
        assert not any(name.startswith("on") for _, found in page.elements for name in found)
        assert HOSTILE in page.text


def test_a_video_at_hand_is_played_and_its_times_are_links(pictures):
    document = report_document()
    page = Page(render(document, *pictures(document), video_url='my "video".mp4'))
    assert ("video", {"controls": None, "preload": "metadata", "src": 'my "video".mp4'}) in (
        page.elements
    )
    assert 'my "video".mp4#t=6.2' in page.attributes("href")


def test_the_part_for_a_page_has_buttons_and_no_inline_style(pictures):
    document = report_document()
    html = render_part(document, *pictures(document), PAGE)
    page = Page(html)
    assert page.attributes("style") == [] and "<style" not in html
    assert "/api/v1/jobs/x/report.json" in page.attributes("href")
    assert "6.2" in page.attributes("data-seek")
    assert "is deleted after 1 hour at the latest" in page.words
    (data,) = page.attributes("data-timeline")
    assert json.loads(data) == json.loads(json.dumps(timeline(document).data()))


def test_a_crop_that_is_no_image_is_refused():
    with pytest.raises(ValueError, match="The crop, 3 bytes, is no image"):
        heat_png(np.ones((2, 2), np.float32), b"abc")


def test_crops_that_do_not_fit_the_document_are_refused(pictures):
    crops, heat_maps, strip = pictures(report_document())
    with pytest.raises(ValueError, match="5 crops and 6 heat maps for the 6 faces"):
        render(report_document(), crops[:-1], heat_maps, strip)


def test_a_strip_that_does_not_fit_the_document_is_refused(pictures):
    crops, heat_maps, strip = pictures(report_document())
    with pytest.raises(ValueError, match="3 pictures for the 4 of the document's strip"):
        render(report_document(), crops, heat_maps, strip[:-1])


def test_the_example_of_the_api_is_a_report(pictures):
    crops, heat_maps, strip = pictures(REPORT)
    assert "Looked at 2 moments of 0:10" in Page(render(REPORT, crops, heat_maps, strip)).words


def test_a_report_without_heat_maps_says_so_and_another_does_not(pictures):
    document = report_document()
    crops, heat_maps, strip = pictures(document)
    without = Page(render(document, crops, [None] * len(crops), strip))
    assert "Without heat maps: this export of the model" in without.words
    assert not any(attributes.get("id") == "heat-switch" for _, attributes in without.elements)
    assert "Without heat maps" not in Page(render(document, crops, heat_maps, strip)).words


def test_rendering_leaves_the_document_as_it_is(pictures):
    document = report_document()
    before = copy.deepcopy(document)
    render(document, *pictures(document))
    assert document == before


def test_a_line_breaks_where_the_face_is_missing_and_where_nothing_was_sampled():
    first, second = timeline(report_document()).lines
    assert [(run[0][0], run[-1][0]) for run in first.runs] == [(0.2, 1.0), (2.0, 2.8), (6.0, 8.8)]
    assert (first.number, second.number) == (1, 2)
    assert [(run[0][0], run[-1][0]) for run in second.runs] == [(6.2, 8.0)]


def test_what_was_not_looked_at_is_striped_and_that_alone(pictures):
    document = report_document()
    assert timeline(document).gaps == ((3.0, 6.0), (9.0, 10.0))
    page = Page(render(document, *pictures(document)))
    striped = [found for tag, found in page.elements if found.get("class") == "gap"]
    assert [(gap["x1"], gap["x2"]) for gap in striped[:2]] == [
        ("30.0%", "60.0%"),
        ("90.0%", "100.0%"),
    ]
    assert "not looked at" in page.words


def test_a_video_that_was_looked_at_completely_has_no_stripes(pictures):
    document = looked_at_completely()
    words = Page(render(document, *pictures(document))).words
    assert "not looked at" not in words
    assert "The video, second by second" in words


def test_the_title_claims_no_more_than_was_looked_at(pictures):
    for document in (report_document(), without_coverage(), without_face()):
        words = Page(render(document, *pictures(document))).words
        assert "The moments that were looked at" in words and "second by second" not in words


def test_the_banner_says_how_much_was_looked_at(pictures):
    document = many_faces(faces=1)
    assert (
        "Looked at 64 moments of 9:50 (7 % of the video, 7 % of the frames), largest gap 9 s."
        in Page(render(document, *pictures(document))).words
    )


def test_a_fake_part_is_said_as_such(pictures):
    document = many_faces(faces=2)
    said = "Likely FAKE between 4:12 and 4:42; nothing else reached the threshold."
    assert said in Page(render(document, *pictures(document))).words


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (too_little_looked_at(), "have more of it looked at by a larger --max-clips"),
        (too_little_looked_at(usable_share=0.3), "Send the part of the video that shows the face"),
    ],
    ids=["gap", "faces"],
)
def test_a_low_score_of_too_little_comes_with_what_to_do(pictures, document, said):
    words = Page(render(document, *pictures(document))).words
    assert "35 s in a row were not looked at" in words and said in words


@pytest.mark.parametrize("document", [report_document(), judged("INCONCLUSIVE", 0.55)])
def test_other_verdicts_come_without_that_advice(pictures, document):
    assert "--max-clips" not in Page(render(document, *pictures(document))).words


def test_a_segment_is_a_band_and_a_button_of_a_list(pictures):
    document = report_document()
    page = Page(render_part(document, *pictures(document), PAGE))
    (band,) = (found for tag, found in page.elements if found.get("class") == "band")
    assert (band["x"], band["width"]) == ("60.0%", "28.0%")
    assert "0:06.0–0:08.8, face 1, 93 %" in page.words
    seeking = {tag for tag, found in page.elements if found.get("data-seek") == "6.0"}
    assert seeking == {"rect", "button"}


def test_a_report_on_its_own_has_no_buttons(pictures):
    document = report_document()
    page = Page(render(document, *pictures(document)))
    assert "button" not in {tag for tag, _ in page.elements} and not page.attributes("data-seek")


def test_every_picture_of_the_strip_tells_its_time(pictures):
    document = report_document()
    page = Page(render(document, *pictures(document), video_url="my.mp4"))
    thumbs = [found["href"] for _, found in page.elements if found.get("class") == "thumb"]
    assert thumbs == [f"my.mp4#t={time}" for time in (0.6, 2.2, 6.6, 8.2)]
    assert [alt for alt in page.attributes("alt") if alt.startswith("at ")] == [
        "at 0:00.6", "at 0:02.2", "at 0:06.6", "at 0:08.2",
    ]  # fmt: skip


def test_a_moment_too_short_to_be_seen_gets_a_mark_at_its_mean():
    (line,) = timeline(many_faces(moments=8, faces=1)).lines
    assert [round(time, 1) for time, _ in line.marks[:3]] == [0.3, 84.3, 168.3]
    first = [value for _, value in line.runs[0]]
    assert line.marks[0][1] == pytest.approx(sum(first) / len(first), abs=1e-3)
    assert timeline(report_document()).lines[0].marks == ()


def test_moments_that_follow_each_other_have_a_mark_each():
    document = many_faces(moments=2, faces=1)
    (own,) = document["tracks"]
    own["times_s"] = [round(100 + i / 25, 3) for i in range(32)]
    own["frame_probability"] = [0.1] * 16 + [0.9] * 16
    assert [value for _, value in timeline(document).lines[0].marks] == [0.1, 0.9]


def test_every_face_that_is_listed_looks_different(pictures):
    document = many_faces(moments=3, faces=MAX_TRACKS)
    page = Page(render(document, *pictures(document)))
    marks = {
        (found["class"], found["d"])
        for _, found in page.elements
        if found.get("class", "").startswith("mark ")
    }
    lines = {dash_of(number) for number in range(1, MAX_TRACKS + 1)}
    assert len(marks) == len(lines) == MAX_TRACKS
    assert lines - {""} <= set(page.attributes("stroke-dasharray"))


@pytest.mark.parametrize(("faces", "more"), [(8, ""), (9, "1 more face,"), (16, "8 more faces,")])
def test_beyond_eight_faces_the_rest_is_folded(pictures, faces, more):
    document = many_faces(moments=3, faces=faces)
    page = Page(render(document, *pictures(document)))
    folds = [found for tag, found in page.elements if found.get("class") == "more"]
    assert len(folds) == bool(more) and "open" not in page.attributes("open")
    assert more in page.words and page.attributes("class").count("card") == faces


def test_the_face_that_decides_is_not_folded_away(pictures):
    document = many_faces(moments=3, faces=9)
    for own in document["tracks"]:
        own["decides"] = own["track"] == 8
    page = Page(render(document, *pictures(document)))
    assert [found for _, found in page.elements if found.get("class") == "more"] == [
        {"class": "more", "open": None}
    ]


def test_a_file_is_told_of_in_words_and_what_identifies_it_apart(pictures):
    document = report_document()
    words = Page(render(document, *pictures(document))).words
    assert "FormatMP4 or QuickTime, video in H.264" in words and "m4a" not in words
    plain_part, technical = words.split("What identifies them")
    assert document["file"]["sha256"] in technical
    assert document["file"]["sha256"] not in plain_part.split("File and model")[1]


def test_a_picture_that_is_shown_turned_is_told_as_it_is_shown(pictures):
    document = report_document()
    document["picture"] = {"width": 720, "height": 1280}
    assert "Picture720 × 1280 px" in Page(render(document, *pictures(document))).words


@pytest.mark.parametrize(
    ("container", "codec", "said"),
    [
        ("matroska,webm", "vp9", "Matroska or WebM, video in VP9"),
        ("avi", "msvideo1", "AVI, video in msvideo1"),
        ("gif", "gif", "GIF"),
        ("", "", ""),
    ],
)
def test_formats_have_the_names_that_people_use(container, codec, said):
    assert file_format(container, codec) == said


def test_the_page_jumps_to_where_a_face_scores_fake_or_else_is_highest(pictures):
    document = report_document()
    page = Page(render_part(document, *pictures(document), PAGE))
    assert page.attributes("data-jumps") == ["[6.0]"] and "Next suspicious part" in page.words
    for own in document["tracks"]:
        own["segments"] = []
    page = Page(render_part(document, *pictures(document), PAGE))
    assert page.attributes("data-jumps") == ["[0.4, 6.2]"] and "Next peak" in page.words
    document["peaks"] = []
    page = Page(render_part(document, *pictures(document), PAGE))
    assert page.attributes("data-jumps") == ["[]"] and "Next peak" not in page.words


@given(text=st.text())
def test_a_string_of_css_ends_where_the_text_does(text):
    inside = css_string(text)[1:-1]
    assert re.fullmatch(r"(?:[0-9A-Za-z]|\\[0-9a-f]+ )*", inside)
    assert re.sub(r"\\([0-9a-f]+) ", lambda m: chr(int(m[1], 16)), inside) == text


def test_a_very_long_timeline_is_thinned_and_keeps_its_highest_values():
    document = many_faces(moments=1000, faces=2)
    own = document["tracks"][1]["frame_probability"]
    own[7777] = 0.997
    drawn = timeline(document)
    assert len(drawn.sampled) <= 3000 and set(drawn.sampled) <= set(
        document["tracks"][0]["times_s"]
    )
    assert max(value for run in drawn.lines[1].runs for _, value in run) == 0.997


def test_no_face_is_shaded_only_where_frames_were_sampled():
    assert timeline(report_document()).no_face == ((1.0, 2.0),)


def test_the_scripts_lines_have_a_null_between_two_runs():
    data = timeline(report_document()).data()
    times, values = data["times"], data["lines"][0]["values"]
    (between,) = set(times) - set(data["sampled"])
    assert 2.8 < between < 6.0 and values[times.index(between)] is None
    assert all(values[times.index(time)] is None for time in (1.2, 1.8))
    assert times == sorted(times) and len(times) == len(values)


def test_the_script_knows_which_frames_were_looked_at():
    data = timeline(report_document()).data()
    assert data["sampled"] == tuple(SAMPLED) and data["step"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("duration_s", "expected"),
    [(0.5, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]), (10.0, [0, 2, 4, 6, 8, 10]), (0.0, [0.0])],
)
def test_ticks_are_few_and_round(duration_s, expected):
    document = without_face()
    document["file"]["duration_s"] = duration_s
    document["coverage"] = None
    document["tracks"] = [{"times_s": [0.0], "frame_probability": [0.5], "segments": []}]
    assert list(timeline(document).ticks) == pytest.approx(expected)


def test_a_heat_map_becomes_a_transparent_picture_of_the_crops_size(pictures):
    crop = pictures(report_document())[0][0]
    heat = np.zeros((4, 4), np.float32)
    heat[1, 1] = 1
    pixels = cv2.imdecode(np.frombuffer(heat_png(heat, crop), np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels.shape == (112, 112, 4)
    assert pixels[-1, -1, 3] == 0 and pixels[42, 42, 3] > 150


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.871, "87 %"), (0.9999, "over 99 %"), (0.0, "under 1 %"), (0.012, "1 %"), (0.5, "50 %")],
)
def test_percent_is_never_certain(share, text):
    assert plain(percent(share)) == text


def test_a_score_does_not_look_as_if_it_had_reached_a_threshold():
    assert plain(score_text(0.596, THRESHOLDS)) == "59.6 %"
    assert plain(score_text(0.404, THRESHOLDS)) == "40.4 %"
    assert plain(score_text(0.59996, THRESHOLDS)) == "59.996 %"
    assert plain(score_text(0.604, THRESHOLDS)) == "60 %"
    assert plain(score_text(None, THRESHOLDS)) == ""


def test_times_sizes_and_shares_are_for_people():
    assert [moment(s) for s in (0, 3.24, 59.96, 125.5)] == ["0:00.0", "0:03.2", "1:00.0", "2:05.5"]
    assert moment(3723.4) == "1:02:03.4"
    assert [plain(size(n)) for n in (12, 20_000, 2e8)] == ["12 bytes", "20 kB", "200 MB"]
    assert [plain(exact(s)) for s in (0.6, 0.3127)] == ["60 %", "31.3 %"]


def test_what_each_of_several_models_says_is_told_side_by_side(pictures):
    document = document_of_two_models()
    text = plain(Page(render(document, *pictures(document))).text)
    assert (
        "The models disagree: dfdetect/3 says Likely FAKE, own-lab-2026/12 says Likely REAL."
        in text
    )
    fake, real = cards_of_models(render(document, *pictures(document)))
    assert fake == (
        "dfdetect/3 Likely FAKE, 87 % REAL up to 40 %, FAKE from 60 % "
        "A face scores FAKE at 0:06–0:09."
    )
    assert real == (
        "own-lab-2026/12 Likely REAL, 12 % REAL up to 40 %, FAKE from 60 %; uncalibrated"
    )


def cards_of_models(html: str) -> list[str]:
    """The text of what each model says."""
    (cards,) = re.findall(r'<ul class="opinions">(.*?)</ul>', html, re.DOTALL)
    return [plain(unescape(re.sub("<[^>]+>", " ", card))) for card in cards.split("<li>")[1:]]


def test_of_models_that_agree_no_disagreement_is_told_and_of_one_no_table(pictures):
    document = document_of_two_models()
    document.update(
        opinions=[opinion("a/1", "FAKE", 0.9), opinion("b/1", "FAKE", 0.8)], models_disagree=False
    )
    text = render(document, *pictures(document))
    assert "What each model says" in text and "disagree" not in text
    alone = report_document()
    for earlier in ("opinions", "models_disagree"):  # which earlier versions did not keep
        del alone[earlier]
    assert "What each model says" not in render(alone, *pictures(alone))


def test_a_demo_model_among_several_has_a_score_and_no_word_of_a_verdict(pictures):
    document = document_of_two_models()
    document["opinions"][1] = opinion("demo/1", "DEMO", 0.4, reasons=[DEMO_REASON])
    _, demo = cards_of_models(render(document, *pictures(document)))
    assert demo == "demo/1 DEMO MODEL: no verdict, score 40 %"
