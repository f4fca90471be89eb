"""Split rule: groupings and fractions.

Apart from the assignment, which loads SciPy (0.3 s): a command's help needs no more than this.
"""

from __future__ import annotations

from collections.abc import Sequence

GROUPINGS = ("identity", "source")


def is_distribution(fractions: Sequence[float]) -> bool:
    """Whether they are shares of one whole."""
    return min(fractions) >= 0 and abs(sum(fractions) - 1) <= 1e-6
