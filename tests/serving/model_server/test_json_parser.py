"""JSON as RapidJSON 1.1.0 reads it; single texts are in the table of json_cases.py."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.model_server.json_parser import ParseError, members, parse

# With this beside it a value is read by the careful reader, without it at the speed of C.
CAREFUL = rb'"":"\udc00"'
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
TOKENS = st.sampled_from(
    [
        *(
            b"[",
            b"]",
            b"{",
            b"}",
            b",",
            b":",
            b" ",
            b"\n",
            b'"a"',
            b'"a":',
            b'"b":',
            b"[[1,2],[3]]",
        ),
        *(b"0", b"-1", b"1.5", b"1e5", b"01", b"1.", b"-", b"1e400", b"0e999", b"9" * 310, b"NaN"),
        *(b"-Inf", b"Infinity", b"true", b"nul", b'"', b'"\xff"', b'"\\n"', b'"\\x"', b'"\t"'),
        *(b'{"a":1,"a":2}', b'"\\u12"', b'"\\ud800"', b"\0", b"\xef\xbb\xbf", b"[],{},"),
    ]
)


def read(text: bytes):
    try:
        return show(parse(text)["v"])
    except ParseError as error:
        return str(error)


def show(value):
    """Tells what == does not: types, NaN, repeated names and their order."""
    if isinstance(value, dict):
        return ["members", *((name, show(item)) for name, item in members(value))]
    return [show(item) for item in value] if isinstance(value, list) else repr(value)


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_what_is_written_is_read_quickly_and_carefully(value, ascii_only, indent):
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8")
    assert show(parse(b'{"v":%b}' % text)["v"]) == show(value)
    assert show(parse(b'{%b,"v":%b}' % (CAREFUL, text))["v"]) == show(value)


@given(st.lists(TOKENS, max_size=12).map(b"".join))
def test_whether_read_quickly_or_carefully_values_and_errors_are_the_same(text):
    moved = len(CAREFUL) + 1
    quick, careful = read(b'{"v":%b' % text), read(b'{%b,"v":%b' % (CAREFUL, text))
    if isinstance(quick, str) and " at offset: " in quick:
        reason, offset = quick.rsplit(" ", 1)
        quick = f"{reason} {int(offset) + moved}"
    assert quick == careful


def test_every_member_of_a_repeated_name_is_kept_and_a_lookup_finds_the_first():
    value = parse(b'{"a":1,"b":2,"a":[3]}')
    assert members(value) == [("a", 1), ("b", 2), ("a", [3])]
    assert value["a"] == 1 and set(value) == {"a", "b"}


def test_lists_are_read_however_deep_they_are():
    value = parse(b"[" * 20_000 + b"]" * 20_000)
    for _ in range(19_999):
        (value,) = value
    assert value == []


def test_a_body_of_brackets_is_refused_before_it_fills_the_memory():
    with pytest.raises(ParseError, match=r"^Nested more than 1000000 deep. at offset: "):
        parse(b"[" * 1_000_001)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"123e307", math.inf),  # beyond a double, but no exponent is
        (b"0.001e310", 1e307),
        (b"0.00000000000000000001e328", 1e308),
        (b"1." + b"0" * 400 + b"e308", 1e308),
    ],
)
def test_an_exponent_may_be_above_308_by_the_decimals_that_are_read(text, value):
    assert parse(b"[%b]" % text) == [value]


@pytest.mark.parametrize("text", [b"1e309", b"0e309", b"0.001e312", b"1." + b"0" * 20 + b"e330"])
def test_beyond_that_a_number_is_too_big(text):
    with pytest.raises(ParseError, match=r"^Number too big to be stored in double. at offset: 1$"):
        parse(b"[%b]" % text)
