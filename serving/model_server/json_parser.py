"""JSON text -> Python values, as TensorFlow Serving's parser takes it.

That is RapidJSON 1.1.0 with kParseNanAndInfFlag, kParseIterativeFlag and kParseStopWhenDoneFlag
(json_tensor.cc, 2.18 to 2.21). Beyond RFC 8259 it

- reads NaN, Inf and Infinity with or without a minus, and stops after the first value;
- hands on bytes that are not UTF-8, and keeps the low half of a UTF-16 pair that stands alone;
- nests without a bound (here: a million deep), and keeps every member of an object in which a
  name is repeated;
- refuses a number beyond the range of a double.

Ordinary text is read at the speed of C by the standard library. What that refuses or would read in
another way is read again by `_Reader`, which knows the rules and the words to the letter.

Values are dict (`Repeated` where names are), list, str, int, float, bool and None. Bytes that are
no UTF-8 are lone surrogates in a str (`surrogateescape`). An int beyond 64 bits stands for the
double next to it.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

_BOM = re.compile(rb"\xef?\xbb?\xbf?")  # RapidJSON skips any part of it
_SPACE = " \t\n\r"
# What the standard library would read in another way: half of a UTF-16 pair, and numbers that
# may be beyond the range of a double.
_HALF_PAIR = re.compile(rb"\\u[dD][89a-fA-F]")
_LARGE_EXPONENTS = [re.compile(rb"%c\+?[0-9]{3,}[\s,\]}]" % letter) for letter in b"eE"]
_ALL_DIGITS_0 = bytes(ord("0") if chr(i) in "0123456789" else i for i in range(256))
_MANY, _STEP = 300, 30  # digits of a whole number, and how many are skipped to look for them


class ParseError(ValueError):
    """Text that is no JSON: why, and the offset in bytes."""

    def __init__(self, reason: str, offset: int):
        super().__init__(f"{reason} at offset: {offset}")


class Repeated(dict):
    """An object with a name that is repeated: a lookup finds the first; `members` has them all."""

    def __init__(self, members: list[tuple[str, Any]]):
        super().__init__(reversed(members))
        self.members = members


def members(value: dict[str, Any]) -> list[tuple[str, Any]]:
    """All names and values of an object, in their order."""
    return value.members if isinstance(value, Repeated) else list(value.items())


class _RepeatedName(ValueError):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _RepeatedName
    return made


_scan = json.JSONDecoder(object_pairs_hook=_object).raw_decode


def parse(text: bytes) -> Any:
    """The first value of the text. Raises ParseError."""
    start = _BOM.match(text).end()  # type: ignore[union-attr]
    if not _needs_care(text):
        characters = text[start:].decode("utf-8", "surrogateescape")
        first = len(characters) - len(characters.lstrip(_SPACE))
        try:
            if characters[first : first + 1] in ("{", "["):
                return _scan(characters, first)[0]
        except (ValueError, RecursionError):
            pass
    return _Reader(text, start).document()


def _needs_care(text: bytes) -> bool:
    return (
        _HALF_PAIR.search(text) is not None
        or any(pattern.search(text) for pattern in _LARGE_EXPONENTS)
        or _has_digits(text[::_STEP], _MANY // _STEP)
        and _has_digits(text, _MANY)
    )


def _has_digits(text: bytes, count: int) -> bool:
    return b"0" * count in text.translate(_ALL_DIGITS_0)


_SPACES = re.compile(rb"[ \t\n\r]*")
_UNESCAPED = re.compile(rb'[^"\\\x00-\x1f]*')
_HEX = re.compile(rb"[0-9a-fA-F]{4}")
_NUMBER = re.compile(rb"-?(0|[1-9][0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?)([0-9]*))?")
_ATOM = (
    rb"(?:-?(?:0|[1-9][0-9]{0,17}+)(?:\.[0-9]{1,20}+)?(?:[eE][+-]?[0-9]{1,2}+)?"
    rb'|"[^"\\\x00-\x1f]*+"|true|false|null)'
)
_S = rb"[ \t\n\r]*+"
_LIST = rb"\[%(s)s(?:%(a)s%(s)s(?:,%(s)s%(a)s%(s)s)*+)?\]" % {b"a": _ATOM, b"s": _S}
_MEMBER = rb'"[^"\\\x00-\x1f]*+"%(s)s:%(s)s%(a)s%(s)s' % {b"a": _ATOM, b"s": _S}
_OBJECT = rb"\{%(s)s(?:%(m)s(?:,%(s)s%(m)s)*+)?\}" % {b"m": _MEMBER, b"s": _S}
# Elements of a list that need no care and hold no lists of lists, each with its comma.
_RUN = re.compile(
    rb"(?:(?:%(a)s|%(l)s|%(o)s)%(s)s,%(s)s){1,10000}+"
    % {b"a": _ATOM, b"l": _LIST, b"o": _OBJECT, b"s": _S}
)
_OPENED = re.compile(rb"\{|\[(?:[ \t\n\r]*\[)*+")  # an object, or all lists that begin here
_ESCAPES = dict(zip(b'"\\/bfnrt', ('"', "\\", "/", "\b", "\f", "\n", "\r", "\t"), strict=True))
_LITERALS = {ord("t"): (b"true", True), ord("f"): (b"false", False), ord("n"): (b"null", None)}
_QUOTE, _COMMA, _COLON = b'",:'
_OPEN_LIST, _CLOSE_LIST, _OPEN_OBJECT, _CLOSE_OBJECT = b"[]{}"
_RUN_BEGINS = b'-0123456789"tfn[{'
_NO_VALUE = b"]}:,\0"  # what no value begins with
_INVALID = "Invalid value."
_BAD_ESCAPE = "Invalid escape character in string."
_BAD_PAIR = "The surrogate pair in string is invalid."
_TOO_BIG = "Number too big to be stored in double."
_TENTH_OF_LARGEST = 1.7976931348623157e307
_LARGEST_EXPONENT = 308
_MOST_LEVELS = 1_000_000  # of lists and objects, 200 MB of memory


class _Reader:
    """One pass over the text, without recursion."""

    def __init__(self, text: bytes, start: int):
        self._text, self._at = text + b"\0", start  # as in RapidJSON, a NUL is the end
        self._careful_until = 0

    def document(self) -> Any:
        byte = self._next()
        if byte in _NO_VALUE:
            self._fail("The document is empty.")
        outer: list[tuple[list | None, bool, str]] = []
        values: list | None = None  # of the innermost list or object; None outside of any
        is_object, name = False, ""
        while True:
            if byte == _OPEN_LIST or byte == _OPEN_OBJECT:
                opened = _OPENED.match(self._text, self._at)
                lists = opened[0].count(b"[")  # type: ignore[index]
                if len(outer) + lists > _MOST_LEVELS:
                    self._fail(f"Nested more than {_MOST_LEVELS} deep.")
                outer.append((values, is_object, name))
                values, is_object = [], byte == _OPEN_OBJECT
                for _ in range(lists - 1):
                    outer.append((values, False, ""))
                    values = []
                self._at = opened.end()  # type: ignore[union-attr]
                byte = self._next()
                if byte != (_CLOSE_OBJECT if is_object else _CLOSE_LIST):
                    name, byte = self._name(byte) if is_object else ("", self._elements(values))
                    continue
                self._at += 1
                value: Any = {} if is_object else []
                values, is_object, name = outer.pop()
            else:
                value = self._leaf(byte)
            while values is not None:
                values.append((name, value) if is_object else value)
                byte = self._next()
                if byte == _COMMA:
                    self._at += 1
                    byte = self._next()
                    name, byte = self._name(byte) if is_object else ("", self._elements(values))
                    break
                value = self._closed(values, is_object, byte)
                values, is_object, name = outer.pop()
            else:
                return value

    def _closed(self, values: list, is_object: bool, byte: int) -> Any:
        if not is_object and byte != _CLOSE_LIST:
            self._fail("Missing a comma or ']' after an array element.")
        if is_object and byte != _CLOSE_OBJECT:
            self._fail("Missing a comma or '}' after an object member.")
        self._at += 1
        if not is_object:
            return values
        unique = dict(values)
        return unique if len(unique) == len(values) else Repeated(values)

    def _fail(self, reason: str, offset: int | None = None) -> NoReturn:
        raise ParseError(reason, self._at if offset is None else offset)

    def _next(self) -> int:
        """The next byte that is no white space."""
        byte = self._text[self._at]
        if byte > ord(" "):
            return byte
        self._at = _SPACES.match(self._text, self._at).end()  # type: ignore[union-attr]
        return self._text[self._at]

    def _takes(self, word: bytes) -> bool:
        """Moves over as much of the word as there is; whether that was all of it."""
        for expected in word:
            if self._text[self._at] != expected:
                return False
            self._at += 1
        return True

    def _name(self, byte: int) -> tuple[str, int]:
        """The name of a member, and the first byte of its value."""
        if byte != _QUOTE:
            self._fail("Missing a name for object member.")
        name = self._string()
        if self._next() != _COLON:
            self._fail("Missing a colon after a name of object member.")
        self._at += 1
        return name, self._next()

    def _elements(self, values: list) -> int:
        """Reads those that need no care at the speed of C; the first byte after them."""
        byte = self._text[self._at]
        if byte in _RUN_BEGINS and self._at >= self._careful_until:
            run = _RUN.match(self._text, self._at)
            if run is None:
                return byte
            elements = b"[%b]" % run[0].rstrip(b", \t\n\r")
            try:
                values += _scan(elements.decode("utf-8", "surrogateescape"))[0]
            except _RepeatedName:
                self._careful_until = run.end()
                return byte
            self._at = run.end()
        return self._text[self._at]

    def _leaf(self, byte: int) -> Any:
        if byte == _QUOTE:
            return self._string()
        if byte in _LITERALS:
            word, value = _LITERALS[byte]
            return value if self._takes(word) else self._fail(_INVALID)
        return self._fail(_INVALID) if byte in _NO_VALUE else self._number()

    def _string(self) -> str:
        parts = []
        self._at += 1
        while True:
            plain = _UNESCAPED.match(self._text, self._at)
            parts.append(plain[0])  # type: ignore[index]
            self._at = plain.end()  # type: ignore[union-attr]
            byte = self._text[self._at]
            if byte == _QUOTE:
                self._at += 1
                return b"".join(parts).decode("utf-8", "surrogateescape")
            if not byte:
                self._fail("Missing a closing quotation mark in string.")
            if byte < 0x20:
                self._fail(_BAD_ESCAPE)
            parts.append(self._escaped().encode("utf-8", "surrogatepass"))

    def _escaped(self) -> str:
        start = self._at
        self._at += 1
        byte = self._text[self._at]
        self._at += 1
        if byte in _ESCAPES:
            return _ESCAPES[byte]
        if byte != ord("u"):
            self._fail(_BAD_ESCAPE, start)
        unit = self._utf16(start)
        if not 0xD800 <= unit <= 0xDBFF:
            return chr(unit)
        if not self._takes(b"\\u"):
            self._fail(_BAD_PAIR, start)
        low = self._utf16(start)
        if not 0xDC00 <= low <= 0xDFFF:
            self._fail(_BAD_PAIR, start)
        return chr(((unit - 0xD800) << 10 | low - 0xDC00) + 0x10000)

    def _utf16(self, start: int) -> int:
        """Four hexadecimal digits; `start` is where the escape begins."""
        digits = _HEX.match(self._text, self._at)
        if not digits:
            self._fail("Incorrect hex digit after \\u escape in string.", start)
        self._at += 4
        return int(digits[0], 16)

    def _number(self) -> int | float:
        found, start = _NUMBER.match(self._text, self._at), self._at
        if not found:
            return self._no_digits()
        whole, fraction, sign, exponent = found.groups()
        self._at = found.end()
        if float(whole[:-1] or b"0") >= _TENTH_OF_LARGEST:
            self._fail(_TOO_BIG, start)
        if fraction == b"":
            self._fail("Miss fraction part in number.", found.end(2))
        if exponent == b"":
            self._fail("Miss exponent in number.")
        if exponent and sign != b"-" and int(exponent[:20]) > _LARGEST_EXPONENT + _moved(found):
            self._fail(_TOO_BIG, start)
        return int(found[0]) if fraction is None and exponent is None else float(found[0])

    def _no_digits(self) -> float:
        sign = -1 if self._takes(b"-") else 1
        if self._takes(b"NaN"):
            return float("nan")
        if (
            not self._takes(b"Inf")
            or self._text[self._at] == ord("i")
            and not self._takes(b"inity")
        ):
            self._fail(_INVALID)
        return sign * float("inf")


def _moved(number: re.Match[bytes]) -> int:
    """By how many of its decimals RapidJSON moves the point: it reads 17 digits or so.

    This is what an exponent may be above 308.
    """
    significand, digits, moved = int(number[1]), len(number[1]) - 1, 0
    for digit in number[2] or b"":
        if significand >= 2**53 and digits >= 17:
            break
        significand = significand * 10 + digit - ord("0")
        moved += 1
        digits += bool(significand)
    return moved
