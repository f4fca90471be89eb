"""The split rule's settings: grouping and fractions. Apart, so that a command's help loads no SciPy."""

from __future__ import annotations

from collections.abc import Sequence

GROUPINGS = ("identity", "source")


def is_distribution(fractions: Sequence[float]) -> bool:
    """Whether they are shares of one whole."""
    return min(fractions) >= 0 and abs(sum(fractions) - 1) <= 1e-6
