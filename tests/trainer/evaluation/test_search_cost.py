"""The search cost: measured on real videos that are strung together or put side by side."""

import itertools

import numpy as np
import pytest

from pipelines.config import PreprocessConfig
from pipelines.coverage import ScanSettings
from pipelines.verdict import ClipEvidence, Thresholds
from pipelines.video.moments import Moments
from trainer.evaluation.as_served import Recording
from trainer.evaluation.search_cost import (
    COSTS,
    Kind,
    LookedAt,
    draw,
    join,
    measure_search_cost,
    wilson,
)

CONFIG = PreprocessConfig(sampling="all")
MOMENT_S = 1.28
SETTINGS = ScanSettings()
LONG = (Kind(6), Kind(60), Kind(faces=8))


def recording(*scores, tracks=1):
    """A video of so many moments, in each of which all faces score the same."""
    moments = Moments.of(np.arange(len(scores) * 32) / 25, CONFIG)
    faces = {
        i: [
            ClipEvidence(i, track, p, 16, 100.0, i * MOMENT_S, (i + 1) * MOMENT_S)
            for track in range(tracks)
        ]
        for i, p in enumerate(scores)
    }
    return Recording(moments, faces)


def people(number, seed=0):
    """A video of 10 s of each, by a calibrated model: their log-odds lie around -3."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-3, 1.2, (number, 1)) + rng.normal(0, 0.8, (number, 8))
    return [[recording(*row)] for row in 1 / (1 + np.exp(-logits))]


def test_videos_one_after_the_other_are_one_video_with_a_new_face_in_each():
    joined = join([[recording(0.1, 0.2), recording(0.3, 0.4, tracks=2)]])
    assert joined.moments.edges_s == pytest.approx(np.arange(5) * MOMENT_S)
    assert [
        [(face.track, face.probability_fake) for face in joined.faces[m]] for m in range(4)
    ] == [[(0, 0.1)], [(0, 0.2)], [(1, 0.3), (2, 0.3)], [(1, 0.4), (2, 0.4)]]
    assert [joined.faces[m][0].start_s for m in range(4)] == pytest.approx(np.arange(4) * MOMENT_S)
    assert [joined.faces[m][0].clip for m in range(4)] == [0, 1, 2, 3]


def test_of_one_face_the_tracks_keep_their_numbers():
    joined = join([[recording(0.1), recording(0.2), recording(0.3)]], one_face=True)
    assert {face.track for faces in joined.faces.values() for face in faces} == {0}


def test_videos_side_by_side_are_one_as_long_as_the_shortest_with_a_face_of_each():
    joined = join([[recording(0.1, 0.2, 0.3)], [recording(0.4, 0.5)]])
    assert len(joined.moments) == 2 and sorted(joined.faces) == [0, 1]
    assert [[(f.track, f.probability_fake) for f in joined.faces[m]] for m in range(2)] == [
        [(0, 0.1), (1, 0.4)],
        [(0, 0.2), (1, 0.5)],
    ]


def test_nobody_is_in_a_video_twice_while_there_are_enough():
    own = [[recording(i / 100)] for i in range(10)]
    for made in draw(own, Kind(6), number=20):
        scores = [faces[0].probability_fake for faces in made.faces.values()]
        assert len(set(scores)) == len(scores) == 6
    assert len(draw(own, Kind(60), number=1)[0].moments) == 60


def test_the_same_videos_are_drawn_every_time():
    own = people(10)
    first, again = (
        [
            f.probability_fake
            for made in draw(own, Kind(6), 3)
            for m in made.faces.values()
            for f in m
        ]
        for _ in range(2)
    )
    assert first == again


@pytest.mark.parametrize(
    ("called", "of", "expected"), [(0.0, 20, (0.0, 0.161)), (0.5, 10, (0.237, 0.763))]
)
def test_wilsons_interval_by_the_tables(called, of, expected):
    assert wilson(called, of) == pytest.approx(expected, abs=1e-3)


def test_without_a_cost_longer_videos_raise_more_alarms_and_with_one_they_do_not():
    own = people(60)
    singles = [video for videos in own for video in videos]
    scores = sorted(max(f[0].probability_fake for f in video.faces.values()) for video in singles)
    rates = {}
    for cost in (0.0, 1.0):
        thresholds = Thresholds(0.1, scores[-5], search_cost=cost)
        rates[cost] = [
            LookedAt.of(videos, thresholds, SETTINGS).fake_rate(thresholds, SETTINGS)
            for videos in (singles, *(draw(own, kind, 40) for kind in LONG))
        ]
    assert min(rates[0.0][1:]) > 2 * max(rates[0.0][0], 0.02)
    assert max(rates[1.0][1:]) <= wilson(rates[0.0][0], 60)[1]


def test_fewer_alarms_the_higher_the_cost():
    thresholds = [Thresholds(0.1, 0.3, search_cost=cost) for cost in (0.0, *COSTS)]
    seen = LookedAt.of(draw(people(60), Kind(60), 20), thresholds[0], SETTINGS)
    rates = [seen.fake_rate(each, SETTINGS) for each in thresholds]
    assert all(a >= b for a, b in itertools.pairwise(rates)) and rates[0] > rates[-1]


def test_a_model_that_is_never_nearly_wrong_pays_the_least():
    own = [[recording(*[0.01] * 8)] for _ in range(30)]
    cost = measure_search_cost(own, lambda c: Thresholds(0.3, 0.5, search_cost=c), SETTINGS, LONG)
    assert cost == COSTS[0]


def test_a_model_that_is_sure_of_a_real_face_pays_the_most():
    """It scores 1, from which nothing is taken, and is in nearly every long video."""
    own = [[recording(*[0.01] * 8)] for _ in range(29)] + [[recording(*[1.0] * 8)]]
    cost = measure_search_cost(own, lambda c: Thresholds(0.3, 0.5, search_cost=c), SETTINGS, LONG)
    assert cost == COSTS[-1]
