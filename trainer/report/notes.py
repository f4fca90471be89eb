"""What is said of an evaluation in words: of leakage, before the figures, and of their limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SAMPLE_NOTE = (
    "The generated set only exercises the system. These numbers say nothing about real deepfakes."
)
SHUFFLED_NOTE = "The training labels were shuffled: an AUC near 0.5 is what is hoped for."
CHOSEN_NOTE = (
    "The best epoch and the thresholds are chosen on the validation split, so that figures of it "
    "are a little too good."
)


def leaked(leakage: Mapping[str, Any]) -> bool:
    """Whether anything of the evaluation is known to have been seen in training."""
    return any(leakage[kind]["seen"] for kind in ("videos", "sources", "identities"))


def leakage_line(leakage: Mapping[str, Any]) -> str:
    """The report's first line: what of the evaluation was seen in training."""
    kinds = ("videos", "sources", "identities")
    # Of what has no names nothing was compared: "0 of 0" would say that it was.
    known = [k for k in kinds if leakage[k]["of"] and leakage[k]["seen"] is not None]
    unknown = [kind for kind in kinds if kind not in known]
    if not known:
        return (
            "Leakage not known: the model keeps no record of what it was trained on, so these "
            "figures may be of videos it has seen."
        )
    counts = [f"{leakage[kind]['seen']} of {leakage[kind]['of']} {kind}" for kind in known]
    found = f"{_listed(counts)} were seen in training"
    if unknown:
        found += f"; of {_listed(unknown)} that is not known: the training or these data name none"
    if leaked(leakage):
        return f"LEAKAGE: {found}. The figures below are better than the model is."
    return f"No leakage found: {found}."


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def notes(metrics: Mapping[str, Any]) -> list[str]:
    """What must be known before any figure is read."""
    found = [SHUFFLED_NOTE] if metrics["shuffled_labels"] else []
    found += data_notes(metrics["sample_data"], metrics["split"], metrics["video"]["not_defined"])
    if not metrics["fingerprint_checked"]:
        found.append(
            "The model does not say how its crops were made; whether these were made alike was "
            "not checked."
        )
    return found


def data_notes(sample_data: bool, split: str, not_defined: str | None) -> list[str]:
    """What the videos themselves say against the figures."""
    found = [SAMPLE_NOTE] if sample_data else []
    found += [CHOSEN_NOTE] if "val" in split.split() else []
    if not_defined:
        found.append(f"Figures that compare real and fake are not defined, for {not_defined}.")
    return found


def limits(metrics: Mapping[str, Any]) -> list[str]:
    """What the figures do not say."""
    points = [
        "The figures hold for these sources and manipulation methods. Detectors of this kind lose "
        "much of their accuracy on methods, cameras and compression they were not trained on.",
        f"With {metrics['video']['count']} videos of {metrics['bootstrap']['units']} sources, "
        "differences within the intervals are chance.",
        "Seen in training is told by the names that videos, sources and people have in a data "
        "set; the same video under another name is not noticed.",
        "A score is evidence, not proof; never decide about a person by it alone.",
    ]
    if metrics["video"]["real"] < 100:
        points.insert(
            2,
            f"With {metrics['video']['real']} real videos, 1 % false alarms means none at all.",
        )
    if any(interval and interval[0] == interval[1] for interval in _intervals(metrics)):
        sources = metrics["bootstrap"]["units"]
        points.insert(
            2,
            "An interval without width, such as 1.000 to 1.000, is no certainty: the bootstrap "
            "cannot show errors that did not occur. Where none occurs in n independent sources, "
            f"the rate of errors may still be 3 in n (here n is at most {sources}).",
        )
    return points


def _intervals(metrics: Mapping[str, Any]) -> list[Sequence[float] | None]:
    """Of the videos, and of their parts."""
    parts = [row for rows in metrics["slices"].values() for row in rows]
    return [i for part in (metrics["video"], *parts) for i in part["intervals"].values()]
