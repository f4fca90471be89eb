"""JSON list of values, written as they come; valid JSON wherever it ends."""

from __future__ import annotations

import json
import textwrap
from typing import Any, TextIO


class JsonList:
    """What `json.dumps` with an indent of 2 gives of a list, a value at a time."""

    def __init__(self, file: TextIO):
        self._file = file
        self._before = "[\n"  # what goes before the next value

    def add(self, value: Any) -> None:
        text = json.dumps(value, indent=2, allow_nan=False)
        self._file.write(self._before + textwrap.indent(text, "  "))
        self._before = ",\n"
        self._file.flush()

    def close(self) -> None:
        self._file.write("[]\n" if self._before == "[\n" else "\n]\n")
        self._file.flush()
