"""Metrics of slices of the videos."""

from __future__ import annotations

import json

from pipelines.dataclass_json import to_json
from tests.fixtures.scored_videos import BOOTSTRAP, scored, video
from trainer.evaluation.metrics import ROC_AUC
from trainer.evaluation.slices import measure_slices


def test_fakes_are_compared_with_originals_of_their_data_set_and_compression():
    videos = [
        *(
            scored(video(f"{c}{i}", compression=c), s)
            for c, s in (("c23", 0.1), ("c40", 0.9))
            for i in range(3)
        ),
        *(scored(video(f"f{i}", "Swap"), 0.5) for i in range(3)),
        scored(video("other", dataset="celeb"), 0.9),
    ]
    (got,) = measure_slices(videos, 0.6, BOOTSTRAP).method
    assert (got.name, got.videos, got.real, got.fake) == ("ff/Swap", 3, 3, 3)
    assert got.value(ROC_AUC) == 1.0


def test_without_originals_of_a_compression_those_of_another_must_do():
    videos = [scored(video("a", compression="raw"), 0.1), scored(video("b", "Swap"), 0.9)]
    assert measure_slices(videos, 0.6, BOOTSTRAP).method[0].real == 1


def test_slices_are_counted_and_small_ones_marked():
    videos = [scored(video(str(i)), 0.1, face_px=50 + i) for i in range(25)]
    videos += [scored(video(f"f{i}", "Swap"), 0.9, face_px=300) for i in range(19)]
    got = measure_slices(videos, 0.6, BOOTSTRAP)
    assert [(p.name, p.videos, p.too_small) for p in got.face_size] == [
        ("under 64 px", 14, True),
        ("64 to 128 px", 11, True),
        ("256 px or more", 19, True),
    ]
    assert got.method[0].too_small and not got.dataset[0].too_small
    assert got.face_size[0].value(ROC_AUC) is None
    assert got.face_size[0].not_defined == "there are no fake ones"


def test_a_slice_in_which_nothing_has_a_score_is_stated_as_not_defined():
    videos = [scored(video("a", "Swap"), None), scored(video("b", "Other"), 0.9)]
    got = {part.name: part for part in measure_slices(videos, 0.6, BOOTSTRAP).method}
    assert got["Swap"].not_defined == "nothing was scored"
    assert (got["Swap"].videos, got["Swap"].no_face) == (1, 1)
    json.dumps(to_json(got), allow_nan=False)


def test_videos_without_a_face_do_not_make_a_slice_large_enough():
    videos = [scored(video(f"{i}", "Swap"), 0.9 if i < 19 else None) for i in range(40)]
    (got,) = measure_slices(videos, 0.6, BOOTSTRAP).method
    assert got.videos == 40 and got.too_small
