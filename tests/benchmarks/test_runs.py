"""Intervals over people, and the order of pairs, of the benchmarks that compare trainings."""

from __future__ import annotations

import pytest

from benchmarks.runs import auc_text, estimate, labelled, order_text, pair_order, person
from pipelines.clip import REAL
from tests.fixtures.scored_videos import scored, video
from trainer.evaluation.metrics import RECALL, ROC_AUC

PEOPLE = [f"person{i}" for i in range(12)]


def pairs(fake_scores: list[float], method: str = "Swap"):
    """A real video of each person, of score 0.5, and a fake of it."""
    for name, score in zip(PEOPLE, fake_scores, strict=False):
        names = {"source_id": name, "identities": (name,)}
        yield scored(video(name, **names), 0.5)
        fake = {**names, "identities": (name, "donor")}
        yield scored(video(f"{name}_x", method, **fake), score)


def test_a_pair_is_in_order_where_the_fake_has_the_higher_score():
    order = pair_order(list(pairs([0.6, 0.9, 0.4, 0.5])))
    assert estimate(order, RECALL)[0] == 0.5


def test_a_fake_without_its_real_video_is_in_no_pair():
    lone = scored(video("y", "Swap", source_id="elsewhere"), 0.9)
    c40 = scored(video("person0_z", "Swap", source_id="person0", compression="c40"), 0.9)
    assert len(pair_order([*pairs([0.4]), lone, c40]).labels) == 1


def test_a_video_counts_for_its_target_and_without_names_for_its_source():
    assert person(video("a_b", "Swap", identities=("ann", "bob"))) == "ff/ann"
    assert person(video("a_b", "Swap", source_id="a")) == "ff/a"


def test_many_videos_of_one_person_make_no_interval():
    videos = list(pairs([0.9]))
    more = [
        scored(video(f"{i}", identities=("person0",), source_id=f"{i}"), i / 40) for i in range(20)
    ]
    value, interval = estimate(labelled([*videos, *more]), ROC_AUC)
    assert value == 1.0 and interval is None


@pytest.mark.parametrize("text", [auc_text, order_text])
def test_a_figure_has_its_interval_and_is_empty_where_it_is_not_defined(text):
    assert text(list(pairs([0.9, 0.4] * 6))).startswith("0.500 [")
    reals = [each for each in pairs([0.9]) if each.video.label == REAL]
    assert text(reals) == ""
