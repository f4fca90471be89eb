"""Sentences about leakage."""

from __future__ import annotations

from pipelines.clip import Video
from tests.fixtures.scored_videos import video
from trainer.leakage import Leakage, Seen, SeenCount, check_leakage, hash_key
from trainer.report.notes import leakage_line


def line(seen: Seen | None, videos: list[Video]) -> str:
    return leakage_line(check_leakage([seen], videos))


def test_leaks_are_counted_by_hash_within_a_data_set():
    def hashes(kind, *names):
        return frozenset(hash_key(kind, "ff", name) for name in names)

    seen = Seen(hashes("video", "a"), hashes("source", "s", "t"), hashes("identity", "Ann"))
    origin = {"source_id": "s", "identities": ("Ann", "Bob")}
    videos = [video("a", **origin), video("b", "Swap", **origin)]
    assert check_leakage([seen], videos) == Leakage(
        known=True,
        videos=SeenCount(1, 2),
        sources=SeenCount(1, 1),
        identities=SeenCount(1, 2),
    )
    assert line(seen, videos).startswith("LEAKAGE: 1 of 2 videos, 1 of 1 sources and 1 of 2 ident")
    elsewhere = [video("a", dataset="celeb", **origin)]
    assert check_leakage([seen], elsewhere).videos.seen == 0


def test_a_model_without_a_record_of_its_training_is_not_called_free_of_leaks():
    got = check_leakage([None], [video("a")])
    assert not got.known and got.videos.seen is None
    assert line(None, [video("a")]).startswith("Leakage not known")


def test_of_what_has_no_name_it_is_not_said_that_none_was_seen():
    seen = Seen(frozenset({"x"}), frozenset({"y"}), frozenset())
    nameless = [video("a", source_id="s")]
    unnamed_training = [video("a", identities=("Ann",))]
    assert check_leakage([seen], unnamed_training).identities == SeenCount(None, 1)
    assert line(seen, nameless) == (
        "No leakage found: 0 of 1 videos and 0 of 1 sources were seen in training; of identities "
        "that is not known: the training or these data name none."
    )
    assert "of sources and identities that is not known" in line(seen, unnamed_training)
