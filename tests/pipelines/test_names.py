"""Tests of names of files as text."""

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.names import escape, unescape

file_names = st.binary().map(os.fsdecode)
anything = st.text(st.characters()) | st.text("\\xu5c09afé \n\udcff\u202e;'\"")


@given(anything | file_names)
def test_every_name_is_read_back_from_its_escape(name):
    assert unescape(escape(name)) == name


@given(anything | file_names)
def test_an_escape_is_utf8_on_one_line_without_outer_blanks_or_controls(name):
    text = escape(name)
    text.encode()
    assert text == text.strip() and len(text.splitlines()) <= 1
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a;b [1080p] 'é' \"日本\" 👩‍👩‍👧.mp4", "a;b [1080p] 'é' \"日本\" 👩‍👩‍👧.mp4"),
        ("-rf", "-rf"),
        (r"C:\videos\new\ufo", r"C:\videos\new\ufo"),
        (os.fsdecode(b"caf\xe9.mp4"), r"caf\xe9.mp4"),
        (r"caf\xe9.mp4", r"caf\x5cxe9.mp4"),
        (" a b\n", r"\x20a b\x0a"),
        ("a\u202egpm.mp4", r"a\u202egpm.mp4"),
        ("a\x85", r"a\u0085"),
        (r"\u202e", r"\x5cu202e"),
    ],
)
def test_most_names_are_as_they_are_and_the_rest_can_be_read(name, text):
    assert escape(name) == text and unescape(text) == name
