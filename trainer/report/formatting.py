"""Numbers, shares and intervals of an evaluation as text."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.evaluation.bootstrap import Interval
from trainer.evaluation.measurement import Estimates
from trainer.evaluation.metrics import Metric

NOT_DEFINED = "not defined"
YES_NO = {True: "yes", False: "no", None: "not known"}


def datasets(names: Sequence[str], generated: bool) -> str:
    """Names of data sets; a generated set goes by the name of the one that it is laid out like."""
    return ", ".join(f"{name} (generated)" if generated else name for name in names)


def number(value: float | None) -> str:
    return NOT_DEFINED if value is None else f"{value:.3f}"


def share(value: float | None) -> str:
    return NOT_DEFINED if value is None else f"{value:.1%}".replace("%", "\N{NO-BREAK SPACE}%")


def estimate(value: float | None, interval: Interval | None) -> str:
    """A value and its 95 % interval, which is not torn apart at the end of a line."""
    if value is None or interval is None:
        return number(value)
    return f"{value:.3f} [{interval[0]:.3f},\N{NO-BREAK SPACE}{interval[1]:.3f}]"


def with_interval(part: Estimates, metric: Metric) -> str:
    return estimate(part.value(metric), part.interval(metric))
