"""Numbers and values as text; what single requests are answered is in json_cases.py."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from serving.model_server import grisu
from serving.model_server.json_parser import parse
from serving.model_server.json_text import decimals, show


def decimal(value) -> str:
    """One number by the rule of WriteDecimal in json_tensor.cc."""
    if not np.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    text = f"{value:.6g}"
    if type(value)(text) != value:
        text = f"{value:.{9 if isinstance(value, np.float32) else 17}g}"
    return text if {".", "e"} & set(text) else f"{text}.0"


ROUND = st.integers(-(10**7), 10**7).flatmap(
    lambda n: st.integers(-12, 12).map(lambda e: float(f"{n}e{e}"))
)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(data=st.data())
def test_many_numbers_are_written_as_each_by_the_rule(dtype, data):
    width = 8 * np.dtype(dtype).itemsize
    values = data.draw(arrays.arrays(dtype, st.integers(0, 20), elements=st.floats(width=width)))
    rounded = np.array(data.draw(st.lists(ROUND, max_size=20)), np.float64).astype(dtype)
    values = np.concatenate([values, rounded])
    assert decimals(values) == [decimal(value) for value in values]
    assert all(
        dtype(text) == value or value != value
        for text, value in zip(decimals(values), values, strict=True)
    )


def test_decimals_between_two_floats_are_told_apart():
    """67108900 is as far from 67108896 as from 67108904, and read as the first."""
    assert decimals(np.array([67108896, 67108904], np.float32)) == ["6.71089e+07", "67108904.0"]


@given(st.floats(min_value=0, exclude_min=True, allow_infinity=False))
def test_shown_digits_give_the_same_double_again(value):
    text, exponent = grisu.digits(value)
    assert float(f"{text}e{exponent}") == value and len(text) <= 18
    assert float(show(-value)) == -value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.0**64, "18446744073709553000.0"),  # not 18446744073709552000.0: Grisu2
        (1e21, "1e21"),
        (1.5e20, "150000000000000000000.0"),
        (0.00001, "0.00001"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (5e-324, "5e-324"),
        (-0.0, "-0.0"),
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
        (2**63, "9223372036854775808"),
        (2**64, "18446744073709553000.0"),
        (True, "true"),
        (None, "null"),
        ('"\\\x1f\n/é\x7f', '"\\"\\\\\\u001F\\n/é\x7f"'),
        ([], "[]"),
        ({}, "{}"),
        ({"a": [{"b": 1}, {}]}, '{\n    "a": [{\n            "b": 1\n        }, {}]\n}'),
    ],
)
def test_a_value_is_shown_as_rapidjson_does(value, text):
    assert show(value) == text


@given(st.integers(0, 400), st.sampled_from(["1", '"é"', "{}", "[[]]", '{"a":1}']))
def test_what_is_shown_ends_at_the_first_token_beyond_256_bytes(count, item):
    value = parse(f"[{','.join([item] * count)}]".encode())
    shown = show(value).encode()
    longest = len(show(parse(f"[{item}]".encode())).encode())
    assert len(shown) < 256 + longest
    assert len(shown) >= 256 or shown.endswith(b"]")


def test_lists_of_any_depth_are_shown():
    assert show(parse(b"[" * 5000 + b"]" * 5000)) == "[" * 256
