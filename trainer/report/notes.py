"""Sentences about an evaluation: its leakage, notes before the metrics, and their limits."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.evaluation.bootstrap import Interval
from trainer.evaluation.result import EvaluationResult, ModelProvenance
from trainer.leakage import Leakage

SAMPLE_NOTE = (
    "The generated set only exercises the system. These numbers say nothing about real deepfakes."
)
SHUFFLED_NOTE = "The training labels were shuffled: an AUC near 0.5 is what is hoped for."
CHOSEN_NOTE = (
    "The best epoch and the thresholds are chosen on the validation split, so that figures of it "
    "are a little too good."
)


def leaked(leakage: Leakage) -> bool:
    """Whether anything of the evaluation is known to have been seen in training."""
    return any(count.seen for count in leakage.kinds.values())


def leakage_line(leakage: Leakage) -> str:
    """The report's first line: what of the evaluation was seen in training."""
    # Of what has no names nothing was compared: "0 of 0" would say that it was.
    compared = {k: c for k, c in leakage.kinds.items() if c.of and c.seen is not None}
    others = [kind for kind in leakage.kinds if kind not in compared]
    if not compared:
        return (
            "Leakage not known: no full record is kept of what the model was trained on, so these "
            "figures may be of videos it has seen."
        )
    counts = [f"{count.seen} of {count.of} {kind}" for kind, count in compared.items()]
    text = f"{_listed(counts)} were seen in training"
    if others:
        text += f"; of {_listed(others)} that is not known: the training or these data name none"
    if leaked(leakage):
        return f"LEAKAGE: {text}. The figures below are better than the model is."
    return f"No leakage found: {text}."


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def notes(result: EvaluationResult) -> list[str]:
    """What must be known before any metric is read."""
    sentences = [ensemble_note(result.model)] if result.model.members else []
    sentences += [SHUFFLED_NOTE] if result.shuffled_labels else []
    sentences += data_notes(result.sample_data, result.split, result.video.not_defined)
    sentences += left_out_notes(result.model)
    if not result.fingerprint_checked:
        sentences.append(
            "The model does not say how its crops were made; whether these were made alike was "
            "not checked."
        )
    if result.as_served:
        sentences.append(
            f"Videos are judged as served: by {result.as_served.moments:.1f} moments of each "
            f"({result.as_served.share:.0%} of its length) on average; the largest part not looked "
            f"at lasts {result.as_served.largest_gap_s:.0f} s."
        )
    return sentences


def ensemble_note(model: ModelProvenance) -> str:
    """What it is that was measured."""
    return (
        f"This is an ensemble, {model.name}: P(fake) is of the mean of their calibrated logits, "
        "with a temperature and thresholds of its own."
    )


def left_out_notes(model: ModelProvenance) -> list[str]:
    """Which methods a training left out; of an ensemble, that of each member which did."""
    trainings = [(f" of {m.name}", m.train) for m in model.members] or [("", model.train)]
    return [
        f"Fakes of these methods were left out of the training{of}: {train['without_methods']}."
        for of, train in trainings
        if train.get("without_methods")
    ]


def data_notes(sample_data: bool, split: str, not_defined: str | None) -> list[str]:
    """What the videos themselves say against the metrics."""
    sentences = [SAMPLE_NOTE] if sample_data else []
    sentences += [CHOSEN_NOTE] if "val" in split.split() else []
    if not_defined:
        sentences.append(f"Figures that compare real and fake are not defined, for {not_defined}.")
    return sentences


def limits(result: EvaluationResult) -> list[str]:
    """What the metrics do not say."""
    sources = result.bootstrap.units
    points = [
        "The figures hold for these sources and manipulation methods. Detectors of this kind lose "
        "much of their accuracy on methods, cameras and compression they were not trained on.",
        f"With {result.video.count} videos of {sources} sources, "
        "differences within the intervals are chance.",
        "What was seen in training is identified by the names of videos, sources and people; the "
        "same video under another name is not noticed.",
        "A score is evidence, not proof; never decide about a person by it alone.",
    ]
    if result.video.real < 100:
        points.insert(
            2, f"With {result.video.real} real videos, 1 % false alarms means none at all."
        )
    if any(interval and interval[0] == interval[1] for interval in _intervals(result)):
        points.insert(
            2,
            "An interval without width, such as 1.000 to 1.000, is no certainty: the bootstrap "
            "cannot show errors that did not occur. Where none occurs in n independent sources, "
            f"the rate of errors may still be 3 in n (here n is at most {sources}).",
        )
    return points


def _intervals(result: EvaluationResult) -> list[Interval | None]:
    """Of the videos, and of their slices."""
    parts = (result.video, *result.slices.all)
    return [interval for part in parts for interval in part.intervals.values()]
