"""What is said of an evaluation in words: of leakage, before the figures, and of their limits."""

from __future__ import annotations

from collections.abc import Mapping
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
    if not leakage["known"]:
        return (
            "Leakage not known: the model keeps no record of what it was trained on, so these "
            "figures may be of videos it has seen."
        )
    counts = [
        f"{leakage[kind]['seen']} of {leakage[kind]['of']} {kind}"
        for kind in ("videos", "sources", "identities")
    ]
    found = f"{counts[0]}, {counts[1]} and {counts[2]} were seen in training"
    if leaked(leakage):
        return f"LEAKAGE: {found}. The figures below are better than the model is."
    return f"No leakage found: {found}."


def notes(metrics: Mapping[str, Any]) -> list[str]:
    """What must be known before any figure is read."""
    found = [SAMPLE_NOTE] if metrics["sample_data"] else []
    found += [SHUFFLED_NOTE] if metrics["shuffled_labels"] else []
    found += [CHOSEN_NOTE] if "val" in metrics["split"].split() else []
    if reason := metrics["video"]["not_defined"]:
        found.append(f"Figures that compare real and fake are not defined, for {reason}.")
    if not metrics["fingerprint_checked"]:
        found.append(
            "The model does not say how its crops were made; whether these were made alike was "
            "not checked."
        )
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
    if metrics["video"]["roc_auc"] == 1:
        points.insert(
            2,
            "No error among few videos is no proof that there are none: the "
            "bootstrap cannot show errors that did not occur.",
        )
    return points
