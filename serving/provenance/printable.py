"""Text of an untrusted file as it may be printed, stored and shown: escaped, and cut off."""

from __future__ import annotations

from pipelines.names import escape

LONGEST = 200  # characters of a name or a sentence
MOST = 50  # entries of a list


def printable(value: object, longest: int = LONGEST) -> str:
    """The value as one line of at most `longest` characters, control characters escaped; "" of
    None."""
    if value is None:
        return ""
    text = str(value).strip()
    return escape(text if len(text) <= longest else text[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}")
