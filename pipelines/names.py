"""Names of files as text that can be printed and stored anywhere, and back.

A file's name is bytes: it need not be UTF-8 and may hold line ends. Python reads such bytes as
lone surrogates ("surrogateescape", PEP 383), which neither UTF-8, TFRecords nor terminals take.
"""

from __future__ import annotations

import re

# Controls, marks that turn the direction of what is written after them (UAX #9), line separators,
# surrogates, outer blanks, which tables lose, and a backslash that would read as an escape.
_ESCAPED = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
    r"|\A\s+|\s+\Z"
    r"|\\(?=x[0-9a-f]{2}|u[0-9a-f]{4})"
)
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})|\\u([0-9a-f]{4})")
_BYTES = 0xDC00  # PEP 383: the byte 0xff is U+DCFF


def escape(name: str) -> str:
    r"""The name as printable text without outer blanks: most names as they are.

    A byte that is no UTF-8, or a control character, is \xHH, other marks are \uHHHH, and a
    backslash before what would read as one of these is \x5c. No two names give the same text.
    """
    return _ESCAPED.sub(lambda match: "".join(map(_escaped, match[0])), name)


def unescape(text: str) -> str:
    """The inverse of `escape`; text without escapes is the name itself."""
    return _ESCAPE.sub(_character, text)


def _escaped(character: str) -> str:
    code = ord(character)
    if _BYTES + 0x80 <= code <= _BYTES + 0xFF:
        code -= _BYTES
    elif code >= 0x80:
        return f"\\u{code:04x}"
    return f"\\x{code:02x}"


def _character(match: re.Match[str]) -> str:
    code = int(match[1] or match[2], 16)
    return chr(code + _BYTES if match[1] and code >= 0x80 else code)
