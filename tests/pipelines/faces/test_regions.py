"""Regions of the mean face: where they lie."""

import numpy as np
import pytest

from pipelines.faces.align import TEMPLATE
from pipelines.faces.regions import (
    CANVAS_LOW,
    CANVAS_STEP,
    REGIONS,
    WEIGHTS,
    distance_maps,
)

LANDMARKS = dict(
    zip(("right eye", "left eye", "nose", "right mouth", "left mouth"), TEMPLATE, strict=True)
)
HELD = {
    "face": set(LANDMARKS),
    "face and forehead": set(LANDMARKS),
    "inner face": set(LANDMARKS),
    "lower face": {"nose", "right mouth", "left mouth"},
    "eyes and nose": {"right eye", "left eye", "nose"},
    "eyes": {"right eye", "left eye"},
    "mouth": {"right mouth", "left mouth"},
    "eyes, and mouth": set(LANDMARKS) - {"nose"},
    "nose, and mouth": set(LANDMARKS) - {"right eye", "left eye"},
}


@pytest.mark.parametrize("region", REGIONS)
def test_a_region_holds_the_landmarks_that_it_is_named_for(region):
    distance = distance_maps()[list(REGIONS).index(region)]

    def within(point: np.ndarray) -> bool:
        x, y = ((point - CANVAS_LOW) / CANVAS_STEP - 0.5).round().astype(int)
        return distance[y, x] > 0

    assert {name for name, point in LANDMARKS.items() if within(point)} == HELD[region]


def test_regions_are_symmetric_and_end_before_the_canvas_does():
    assert len(REGIONS) == len(WEIGHTS)
    for distance in distance_maps():
        border = [distance[0], distance[-1], distance[:, 0], distance[:, -1]]
        assert np.max(border) < 0 < distance.max()
        columns = np.flatnonzero((distance > 0).any(axis=0))
        middle = (columns[0] + columns[-1]) / 2 * CANVAS_STEP + CANVAS_LOW
        assert middle == pytest.approx(TEMPLATE[:2, 0].mean(), abs=2 * CANVAS_STEP)


def test_a_larger_region_reaches_as_far_as_the_smaller_one_within_it():
    face, forehead, inner = distance_maps()[:3]
    assert (forehead >= face - CANVAS_STEP).all() and (face >= inner - CANVAS_STEP).all()
