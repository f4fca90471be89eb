"""The section of a report on the file itself, as a person sees it."""

import json
import re

import numpy as np
import pytest

from serving.analysis.report_document import without_location
from serving.analysis.report_html import PageOf, render, render_part
from tests.fixtures.file_facts import PLACE, file_facts
from tests.fixtures.report_documents import pictures_of, report_document

FACE = np.full((256, 256, 3), 128, np.uint8)
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


def section(facts, page: PageOf | None = None) -> str:
    """Its HTML; "" where there is none."""
    document = report_document()
    document["file_facts"] = facts
    crops, heat_maps, strip = pictures_of(document, FACE)
    if page:
        html = render_part(document, crops, heat_maps, strip, page)
    else:
        html = render(document, crops, heat_maps, strip)
    return "".join(re.findall(r'<section class="about-file">.*?</section>', html, re.S))


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def test_everything_that_is_known_is_told_and_named_for_what_it_is():
    told = words(section(file_facts().to_dict()))
    assert "It is no part of the result above" in told
    for words_of_it in (
        "They name as signer: Example News.",
        "Signer on the trust list no",
        "edited with a generative model (c2pa.edited) (in an earlier version, “rough cut”)",
        "c2pa.edited: Background replaced, with Gen 2",
        "timeStamp.mismatch: the time stamp is of something else",
        "Other claims, not read org.example.unknown",
        "Device Example Phone 3",
        "Edit list, video 1 edit, 2 s of 12 s not shown",
        "From one to the next 90 to 120 frames, median 105",
        "Types of frames 3 I, 97 P, 200 B",
    ):
        assert words_of_it in told, words_of_it


def test_a_place_is_folded_away():
    html = section(file_facts().to_dict())
    (folded,) = re.findall(r"<details>\s*<summary>Where.*?</details>", html, re.S)
    assert html.count(PLACE) == 1 and PLACE in folded


def test_a_place_that_is_not_told_is_said_to_be_there():
    html = section(file_facts().without_location().to_dict())
    assert PLACE not in html and "says where it was recorded; that is not told here" in html


def test_a_job_s_page_has_the_section_too():
    html = section(file_facts().to_dict(), PageOf("/api/v1/jobs/x", "later"))
    assert html == section(file_facts().to_dict())


def test_a_document_without_its_place_is_the_same_else():
    document = {**report_document(), "file_facts": file_facts().to_dict()}
    assert without_location(document) == report_document()
    for little in (None, {**file_facts().to_dict(), "container": None}):
        assert without_location({"file_facts": little}) == {"file_facts": little}


def test_without_credentials_nothing_speaks_of_a_signature():
    facts = file_facts().to_dict()
    facts["content_credentials"] = {
        **facts["content_credentials"],
        **{"status": "none_found", "summary": "None were found.", "ai": [], "actions": []},
        "problems": [],
    }
    told = words(section(facts))
    assert "None were found." in told and "Certificate" not in told and "trust list" not in told


def test_what_could_not_be_read_is_told():
    facts = {**file_facts().to_dict(), "container": None, "encoding": None}
    facts["problems"] = ["The encoding could not be read: it took longer than 120 s."]
    assert "could not be read: it took longer than 120 s." in words(section(facts))


@pytest.mark.parametrize("field", ["summary", "title", "tool", "organisation", "serial_number"])
def test_text_of_a_file_is_text_and_never_markup(field):
    hostile = json.loads(json.dumps(file_facts().to_dict()))
    hostile["content_credentials"][field] = HOSTILE
    hostile["container"]["tags"] = {HOSTILE: HOSTILE}
    hostile["container"]["make"] = hostile["container"]["location"] = HOSTILE
    hostile["encoding"]["encoder"] = HOSTILE
    html = section(hostile)
    assert "<script" not in html and "<img" not in html and "&lt;script" in html


@pytest.mark.parametrize("facts", [None, "absent"])
def test_a_report_without_them_has_no_such_section(facts):
    document = report_document()
    del document["file_facts"]
    if facts is None:
        document["file_facts"] = None
    assert "About the file" not in render(document, *pictures_of(document, FACE))
