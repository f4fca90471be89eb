"""The report on its own: every kind of result, as a person sees it."""

import copy
import json
import re
from html.parser import HTMLParser
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

from serving.analysis.report_html import (
    PageOf,
    exact,
    heat_png,
    moment,
    percent,
    render,
    render_part,
    score_text,
    size,
)
from serving.analysis.timeline import timeline

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>.mp4"
VOID = {"meta", "link", "input", "img", "br", "hr"}
PAGE = PageOf("/api/v1/jobs/x", "after 1 hour at the latest")
THRESHOLDS = {"real_below": 0.4, "fake_above": 0.6}

SAMPLED = [*np.arange(0.2, 3.0, 0.2).round(2).tolist(), *np.arange(6.0, 9.0, 0.2).round(2).tolist()]


def track(number: int, probability: float, verdict: str, seen, wave: float = 0.0) -> dict:
    values = [
        round(float(np.clip(probability + wave * np.sin(5 * t), 0.01, 0.99)), 3)
        if seen(t)
        else None
        for t in SAMPLED
    ]
    times = [t for t, value in zip(SAMPLED, values, strict=True) if value is not None]
    return {
        "track": number,
        "verdict": verdict,
        "probability_fake": probability,
        "decides": False,
        "start_s": times[0],
        "end_s": times[-1],
        "frames": len(times),
        "median_face_px": 96.4,
        "face": 0,
        "times_s": SAMPLED,
        "frame_probability": values,
    }


def report_document() -> dict:
    """Two faces; both are missing for a while, and the middle of the video was not sampled."""
    first = track(3, 0.87, "FAKE", lambda t: not 1.1 < t < 1.9, wave=0.25)
    first.update(decides=True, face=0)
    second = track(7, 0.12, "REAL", lambda t: 6 < t < 8.1, wave=0.1)
    second.update(face=1)
    kinds = [(3, "best"), (7, "best"), (3, "most"), (3, "most"), (7, "least"), (7, "least")]
    return {
        "schema": "dfdetect-report/1",
        "verdict": "FAKE",
        "probability_fake": 0.87,
        "calibrated": True,
        "thresholds": dict(THRESHOLDS),
        "reliability": {"low": 0.8, "high": 0.9, "videos": 47, "fake": 41},
        "reasons": ["25 of 29 sampled frames had a usable face; median face 96 px."],
        "detail": "",
        "frames_sampled": 29,
        "frames_with_face": 25,
        "median_face_px": 96.4,
        "tracks": [first, second],
        "peaks": [
            {"track": 3, "start_s": 6.2, "end_s": 6.6, "probability_fake": 0.99},
            {"track": 3, "start_s": 0.4, "end_s": 0.4, "probability_fake": 0.97},
        ],
        "faces": [
            {
                "n": n,
                "track": of,
                "time_s": 6.0 + n / 5,
                "frame_probability": {"best": 0.8, "most": 0.97, "least": 0.06}[kind] - n / 100,
                "kind": kind,
                "heat_map": kind != "best",
            }
            for n, (of, kind) in enumerate(kinds)
        ],
        "file": {
            "name": "interview.mp4",
            "sha256": "9f2c" * 16,
            "bytes": 4_213_998,
            "duration_s": 10.0,
            "container": "mov,mp4,m4a,3gp,3g2,mj2",
            "codec": "h264",
            "width": 1280,
            "height": 720,
            "fps": 29.97,
        },
        "model": {
            "name": "dfdetect",
            "version": "1",
            "fingerprint": "0a1b2c3d4e5f6071",
            "trained_on": ["faceforensics"],
            "tested_on": ["celeb_df"],
            "false_alarm_rate": 0.043,
            "test_videos": 518,
        },
        "processing_s": {"faces": 1.9, "model": 0.6, "total": 2.7},
        "created": "2026-01-31T12:00:00Z",
        "limits": ["Only faces are judged: an edit outside of faces is not seen."],
    }


def without_face() -> dict:
    document = report_document()
    document.update(
        verdict="NO_FACE",
        probability_fake=None,
        reliability=None,
        reasons=["0 of 29 sampled frames had a usable face."],
        detail="No face of 24 px or more was found in 29 frames.",
        frames_with_face=0,
        median_face_px=None,
        tracks=[],
        peaks=[],
        faces=[],
    )
    return document


def judged(verdict: str, probability: float) -> dict:
    document = report_document()
    document.update(verdict=verdict, probability_fake=probability, peaks=[])
    document["tracks"][0].update(verdict=verdict, probability_fake=probability)
    return document


def uncalibrated() -> dict:
    document = report_document()
    document.update(calibrated=False, reliability=None)
    document["model"].update(trained_on=[], tested_on=[], false_alarm_rate=None, test_videos=None)
    return document


def little_known() -> dict:
    """A file that says little of itself, and a single sampled frame."""
    document = report_document()
    document["file"].update(duration_s=None, container="", codec="", width=0, height=0, fps=None)
    document["tracks"] = document["tracks"][:1]
    document["tracks"][0].update(times_s=[0.0], frame_probability=[0.9], median_face_px=None)
    document["faces"] = document["faces"][:1]
    return document


VARIANTS = {
    "fake": report_document,
    "real": lambda: judged("REAL", 0.08),
    "inconclusive": lambda: judged("INCONCLUSIVE", 0.55),
    "no face": without_face,
    "uncalibrated": uncalibrated,
    "little known": little_known,
}


@pytest.fixture(scope="module")
def pictures(astronaut):
    """(document) -> the crops and heat maps that belong to it."""

    def of(document: dict) -> tuple[list[bytes], list[np.ndarray | None]]:
        crops, heat_maps = [], []
        for face in document["faces"]:
            pixels = cv2.resize(np.roll(astronaut, 3 * face["n"], axis=1), (112, 112))
            crops.append(cv2.imencode(".jpg", pixels[..., ::-1])[1].tobytes())
            spot = np.outer(np.hanning(7), np.hanning(7)).astype(np.float32)
            heat_maps.append(spot if face["heat_map"] else None)
        return crops, heat_maps

    return of


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
    }
    assert said[document["verdict"]] in words
    if document["probability_fake"] is None:
        assert "Estimated probability" not in words and document["detail"] in words
    else:
        score = f"{100 * document['probability_fake']:.0f} %"
        assert f"Estimated probability that a face was manipulated: {score}" in words


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
    crops, heat_maps = pictures(report_document())
    with pytest.raises(ValueError, match="5 crops and 6 heat maps for the 6 faces"):
        render(report_document(), crops[:-1], heat_maps)


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


def test_no_face_is_shaded_only_where_frames_were_sampled():
    assert timeline(report_document()).no_face == ((1.0, 2.0),)


def test_the_scripts_lines_have_a_null_between_two_runs():
    line = timeline(report_document()).data()["lines"][0]
    assert line["values"].count(None) == 2
    assert line["times"] == sorted(line["times"])
    assert len(line["times"]) == len(line["values"])


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
    document["tracks"] = [{"times_s": [0.0], "frame_probability": [0.5]}]
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
    assert [plain(size(n)) for n in (12, 20_000, 2e8)] == ["12 bytes", "20 kB", "200 MB"]
    assert [plain(exact(s)) for s in (0.6, 0.3127)] == ["60 %", "31.3 %"]
