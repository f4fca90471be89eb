"""CSV lines whose text no spreadsheet takes for a formula, and their inverse.

After OWASP, "CSV Injection" (https://owasp.org/www-community/attacks/CSV_Injection): a cell that
begins with one of = + - @, a tab or a line end is evaluated by the program that opens the table,
and so is what stands behind a separator in it. A single quote before such text keeps it text.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from numbers import Number
from typing import Any

# Full-width and small forms are taken for the plain ones, as is the true minus sign.
_MARKS = "=+\\-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\u2212"
# Where a program may begin a cell: what separates cells where the comma is a decimal point, too.
# Blanks and marks of no width before a formula do not keep a program from seeing it.
_BEGIN = "(?:^|[;\t\r\n])(?:[^\\S\t\r\n]|[\u200b-\u200d\u2060\ufeff])*"
_UNSAFE = re.compile(f"({_BEGIN})(?='*[{_MARKS}])")
_SAFE = re.compile(f"({_BEGIN})'(?='*[{_MARKS}])")


def escape_cell(text: str) -> str:
    """The text with a single quote before all of it that would be a formula; mostly as it is.

    No two texts give the same.
    """
    return _UNSAFE.sub(r"\1'", text)


def unescape_cell(text: str) -> str:
    """The inverse of `escape_cell`; text that it leaves as it is stays so here."""
    return _SAFE.sub(r"\1", text)


def csv_line(cells: Iterable[Any], end: str = "\n") -> str:
    """A line of a CSV table: text escaped, numbers as they are, None as an empty cell."""
    line = io.StringIO()
    # Python 3.11 puts quotes around a line feed or carriage return only if it ends lines with it.
    csv.writer(line, lineterminator="\r\n").writerow(map(_cell, cells))
    return line.getvalue().removesuffix("\r\n") + end


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, Number) else escape_cell(str(value))
