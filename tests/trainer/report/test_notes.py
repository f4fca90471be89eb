"""Sentences about leakage."""

from __future__ import annotations

from tests.fixtures.scored_videos import scored, video
from trainer.evaluation.result import Leakage
from trainer.evaluation.scored import ScoredVideo
from trainer.leakage import Seen, hash_key, leakage
from trainer.report.notes import leakage_line


def line(seen: Seen | None, videos: list[ScoredVideo]) -> str:
    return leakage_line(Leakage.from_dict(leakage(seen, videos)))


def test_leaks_are_counted_by_hash_within_a_data_set():
    def hashes(kind, *names):
        return frozenset(hash_key(kind, "ff", name) for name in names)

    seen = Seen(hashes("video", "a"), hashes("source", "s", "t"), hashes("identity", "Ann"))
    origin = {"source_id": "s", "identities": ("Ann", "Bob")}
    videos = [scored(video("a", **origin), 0.1), scored(video("b", "Swap", **origin), 0.9)]
    assert leakage(seen, videos) == {
        "known": True,
        "videos": {"seen": 1, "of": 2},
        "sources": {"seen": 1, "of": 1},
        "identities": {"seen": 1, "of": 2},
    }
    assert line(seen, videos).startswith("LEAKAGE: 1 of 2 videos, 1 of 1 sources and 1 of 2 ident")
    elsewhere = [scored(video("a", dataset="celeb", **origin), 0.1)]
    assert leakage(seen, elsewhere)["videos"]["seen"] == 0


def test_a_model_without_a_record_of_its_training_is_not_called_free_of_leaks():
    got = leakage(None, [scored(video("a"), 0.1)])
    assert not got["known"] and got["videos"]["seen"] is None
    assert line(None, [scored(video("a"), 0.1)]).startswith("Leakage not known")


def test_of_what_has_no_name_it_is_not_said_that_none_was_seen():
    seen = Seen(frozenset({"x"}), frozenset({"y"}), frozenset())
    nameless = [scored(video("a", source_id="s"), 0.1)]
    unnamed_training = [scored(video("a", identities=("Ann",)), 0.1)]
    assert leakage(seen, unnamed_training)["identities"] == {"seen": None, "of": 1}
    assert line(seen, nameless) == (
        "No leakage found: 0 of 1 videos and 0 of 1 sources were seen in training; of identities "
        "that is not known: the training or these data name none."
    )
    assert "of sources and identities that is not known" in line(seen, unnamed_training)
