"""CSV cells: no text from outside is a formula, numbers stay numbers, and all is read back."""

import csv
import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.csv_cells import csv_line, escape_cell, unescape_cell

# What a spreadsheet takes for the beginning of a formula, written out apart from the code.
MARKS = "=+-@\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}"
MARKS += "\N{FULLWIDTH COMMERCIAL AT}\N{SMALL EQUALS SIGN}\N{SMALL PLUS SIGN}\N{MINUS SIGN}"
HOSTILE = st.text(st.sampled_from(MARKS + "';\t\r\n,\" \N{NO-BREAK SPACE}\N{ZERO WIDTH SPACE}a1"))


def cells_of(line: str, separator: str) -> list[str]:
    """As programs read it that take this for the separator."""
    rows = csv.reader(io.StringIO(line, newline=""), delimiter=separator)
    return [cell for row in rows for cell in row]


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("before", ["", " ", "\t", "\r", "\n", "\N{ZERO WIDTH SPACE}", "x;", "x; "])
def test_no_text_begins_a_cell_as_a_formula_does(before, mark):
    line = csv_line([f"{before}{mark}HYPERLINK(1)", "x"])
    for separator in ",;":
        for cell in cells_of(line, separator):
            first = re.sub("[\\s\N{ZERO WIDTH SPACE}]", "", cell)[:1]
            assert first not in MARKS or not first, (separator, cell)


@pytest.mark.parametrize("text", ["clip.mp4", "a-b=c", "it's", "'quoted'", "1e5", "", "a;b", "x@y"])
def test_other_text_stays_as_it_is(text):
    assert escape_cell(text) == text


def test_numbers_stay_numbers_and_nothing_is_an_empty_cell():
    cells = [-1, -0.5, np.float32(-2.5), np.float64(-0.25), np.int64(-3), None]
    assert csv_line(cells) == "-1,-0.5,-2.5,-0.25,-3,\n"


@given(HOSTILE | st.text())
def test_every_text_is_read_back(text):
    assert unescape_cell(escape_cell(text)) == text


@given(st.lists(HOSTILE, min_size=2, max_size=4))
def test_a_line_has_its_cells_and_no_more(cells):
    (row,) = csv.reader(io.StringIO(csv_line(cells), newline=""), strict=True)
    assert [unescape_cell(cell) for cell in row] == cells
