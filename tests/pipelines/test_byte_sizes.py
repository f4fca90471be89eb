"""Sizes in words."""

import pytest

from pipelines.byte_sizes import byte_size


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (20, "20 bytes"),
        (999, "999 bytes"),
        (10_000, "10 kB"),
        (1_500_000, "1.5 MB"),
        (200_000_000, "200 MB"),
        (2_000_000_000, "2 GB"),
    ],
)
def test_a_size_is_told_in_the_unit_that_fits(count, words):
    assert byte_size(count) == words
