"""Flags that follow from the fields of a dataclass."""

import argparse
import dataclasses

import pytest

from pipelines.flags import add_flags, from_flags, option


@dataclasses.dataclass(frozen=True)
class Places:
    place: tuple[str, ...] = option((), "a place; may be given several times")


@pytest.mark.parametrize("given", [(), ("a",), ("b", "a", "b")])
def test_a_flag_of_a_tuple_may_be_given_several_times(given):
    parser = argparse.ArgumentParser()
    add_flags(parser, Places)
    argv = [word for place in given for word in ("--place", place)]
    for _ in range(2):  # a parser keeps nothing of its last command line
        assert from_flags(Places, parser.parse_args(argv)) == Places(given)
