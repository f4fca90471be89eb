"""Dataclasses as JSON and back: what is taken, refused, and refused besides where it is exact."""

import dataclasses
import json
import math
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.dataclass_json import from_json, to_json


@dataclasses.dataclass(frozen=True)
class Inner:
    share: float
    names: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Outer:
    number: int
    kind: Literal["a", "b"]
    inners: tuple[Inner, ...]
    either: int | str | None
    later: bool = False  # which an earlier version did not write


TEXT = st.text(max_size=3)
SHARE = st.floats(allow_nan=False)
INNER = st.builds(Inner, SHARE, st.dictionaries(TEXT, TEXT, max_size=2))
OUTER = st.builds(
    Outer,
    st.integers(),
    st.sampled_from(["a", "b"]),
    st.lists(INNER, max_size=2).map(tuple),
    st.none() | st.integers() | TEXT,
    st.booleans(),
)
GOOD = to_json(Outer(1, "a", (Inner(0.5, {"n": "m"}),), 3))


@given(OUTER, st.booleans())
def test_what_was_written_is_read_again(value, exact):
    assert from_json(Outer, json.loads(json.dumps(to_json(value))), exact=exact) == value
    assert from_json(Outer, dataclasses.asdict(value), exact=exact) == value


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"number": 1.0}, "number is '1.0'; expected integer"),
        ({"number": True}, "number is 'True'; expected integer"),
        ({"kind": "c"}, "expected a or b"),
        ({"inners": {}}, "inners is '{}'; expected an array"),
        ({"inners": [[]]}, "inners.0 is '\\[\\]'; expected an object"),
        ({"inners": [{"share": "1", "names": {}}]}, "inners.0.share is '1'; expected number"),
        ({"inners": [{"share": True, "names": {}}]}, "expected number"),
        ({"inners": [{"share": 10**400, "names": {}}]}, "expected number"),
        ({"inners": [{"share": 1.0, "names": {"n": 3}}]}, "inners.0.names.n is '3'"),
        ({"inners": [{"share": 1.0}]}, "inners.0 has no 'names'"),
        ({"either": 0.5}, "either is '0.5'"),
    ],
)
def test_a_value_of_another_type_is_named_by_its_path(change, why, exact):
    with pytest.raises(ValueError, match=why):
        from_json(Outer, {**GOOD, **change}, exact=exact)


def test_other_versions_are_read_unless_all_has_to_be_there_and_nothing_else():
    earlier = {name: value for name, value in GOOD.items() if name != "later"}
    for value, why in (({**GOOD, "new": 1}, r"has \['new'\] besides"), (earlier, "no 'later'")):
        assert from_json(Outer, value) == from_json(Outer, GOOD)
        with pytest.raises(ValueError, match=why):
            from_json(Outer, value, exact=True)


def test_a_whole_number_is_a_float_where_that_is_the_type():
    share = from_json(Inner, {"share": 1, "names": {}}).share
    assert type(share) is float and math.isclose(share, 1.0)
