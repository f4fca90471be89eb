"""Values -> JSON text, as TensorFlow Serving writes it.

That is RapidJSON's PrettyWriter: objects have a line for each member, four spaces deep for each
level; lists stand on one line (kFormatSingleLineArray) or have a line for each value.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from serving.model_server import grisu
from serving.model_server.json_parser import members

_SHOWN = 256  # bytes of a value in an error; what goes beyond them is the last that is written
_ESCAPED = re.compile(r'[\x00-\x1f"\\]')
_ESCAPES = {chr(code): f"\\u{code:04X}" for code in range(0x20)} | {
    **{"\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"},
    **{'"': '\\"', "\\": "\\\\"},
}
_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def indent(level: int) -> str:
    return "\n" + "    " * level


def string(text: str) -> str:
    """Quoted; only quotes, backslashes and what is below U+0020 are escaped."""
    return f'"{_ESCAPED.sub(lambda found: _ESCAPES[found[0]], text)}"'


def show(value: Any) -> str:
    """A value of json_parser.py for an error (JsonValueToString in json_tensor.cc).

    Ends after 256 bytes, at the first token that reaches beyond.
    """
    tokens, size = [], 0
    for token in _tokens(value, 0):
        if size >= _SHOWN:
            break
        tokens.append(token)
        size += len(token.encode("utf-8", "surrogateescape"))
    return "".join(tokens)


def _tokens(value: Any, level: int) -> Iterator[str]:
    if isinstance(value, dict):
        yield "{"
        for index, (name, item) in enumerate(members(value)):
            yield ("," if index else "") + indent(level + 1) + string(name)
            yield from _after(": ", _tokens(item, level + 1))
        yield indent(level) + "}" if value else "}"
    elif isinstance(value, list):
        yield "["
        for index, item in enumerate(value):
            yield from _after(", " if index else "", _tokens(item, level + 1))
        yield "]"
    else:
        yield _leaf(value)


def _after(mark: str, tokens: Iterator[str]) -> Iterator[str]:
    yield mark + next(tokens)
    yield from tokens


def _leaf(value: Any) -> str:
    if isinstance(value, str):
        return string(value)
    if isinstance(value, int) and not isinstance(value, bool) and not is_whole(value):
        value = float(value)
    return _double(value) if isinstance(value, float) else json.dumps(value)


def is_whole(value: Any) -> bool:
    """Whether RapidJSON keeps a number as an integer: one of 64 bits, with or without a sign."""
    return type(value) is int and -(2**63) <= value < 2**64


def _double(value: float) -> str:
    """As RapidJSON's dtoa.h prints it (its Prettify)."""
    if not math.isfinite(value):
        return _NOT_FINITE[str(value)]
    minus = "-" * (math.copysign(1, value) < 0)
    if not value:
        return minus + "0.0"
    text, exponent = grisu.digits(abs(value))
    point = len(text) + exponent  # where it stands in the digits
    if len(text) <= point <= 21:
        return f"{minus}{text}{'0' * (point - len(text))}.0"
    if 0 < point <= 21:
        return f"{minus}{text[:point]}.{text[point:]}"
    if -6 < point <= 0:
        return f"{minus}0.{'0' * -point}{text}"
    return f"{minus}{text[0]}{'.' if text[1:] else ''}{text[1:]}e{point - 1}"


def decimals(values: np.ndarray) -> list[str]:
    """float32 or float64 (n,) -> the text of each (WriteDecimal in json_tensor.cc).

    Six digits where they give the same number again, else nine, or 17 for float64; whole numbers
    end in `.0`. NaN, Infinity and -Infinity are written as these words.
    """
    digits = 9 if values.dtype == np.float32 else 17
    texts = np.empty(len(values), object)
    short = np.flatnonzero(_may_be_short(values))
    texts[short] = _formatted(values[short], 6)
    again = np.fromiter(map(float, texts[short]), np.float64, len(short)).astype(values.dtype)
    long = np.ones(len(values), bool)
    long[short] = again != values[short]
    texts[long] = _formatted(values[long], digits)
    whole = np.flatnonzero(values == np.rint(values))
    texts[whole] = [text if set(text) & set(".ein") else text + ".0" for text in texts[whole]]
    special = np.flatnonzero(~np.isfinite(values))
    texts[special] = [_NOT_FINITE[text] for text in texts[special]]
    return texts.tolist()


def _formatted(values: np.ndarray, digits: int) -> list[str]:
    return (f"%.{digits}g " * len(values) % tuple(values.tolist())).split()


def _may_be_short(values: np.ndarray) -> np.ndarray:
    """bool (n,): false where six digits cannot be enough.

    There the number, with its point behind the sixth digit, is not next to a whole one. Only
    where it is must it be formatted to see.
    """
    wide = np.abs(values.astype(np.float64))
    with np.errstate(all="ignore"):
        shifted = wide * 10.0 ** (5 - np.floor(np.log10(wide)))
        between = np.abs(shifted - np.rint(shifted)) > 0.1
    return ~between | (wide < 10 * np.finfo(values.dtype).tiny)
