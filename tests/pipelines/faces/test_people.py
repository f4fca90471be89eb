"""People: a face keeps its number while it can be told, and gets a new one where it cannot."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.clip import Sighting
from pipelines.faces.detect import MtcnnDetector
from pipelines.faces.people import SAME_APPEARANCE, People, appearance, sighting
from pipelines.faces.track import Track
from pipelines.sample.portraits import align, builtin
from pipelines.video.cuts import thumb

STUDIO, STREET = (np.full((9, 16, 3), grey, np.uint8) for grey in (60, 160))
ANN, BEN = np.eye(320, dtype=np.float32)[:2]


def seen(face=ANN, x: float = 100, side: float = 80, picture=STUDIO, size=(640, 360)) -> Sighting:
    box = np.array([x, 100, x + side, 100 + side], np.float32)
    return Sighting(size, box, box, face, picture, picture)


def numbers(*moments: list[Sighting]) -> list[list[int]]:
    people = People()
    return [people.number(moment) for moment in moments]


def test_in_a_picture_that_stays_a_face_is_known_by_its_place():
    assert numbers([seen()], [seen(x=120)], [seen(BEN, x=110)]) == [[0], [0], [0]]


def test_in_a_picture_that_stays_a_face_that_moved_is_known_by_its_appearance():
    assert numbers([seen()], [seen(x=400)]) == [[0], [0]]
    assert numbers([seen()], [seen(BEN, x=400)]) == [[0], [1]]


def test_place_goes_before_appearance():
    assert numbers([seen(ANN), seen(BEN, x=400)], [seen(BEN), seen(ANN, x=400)]) == [[0, 1]] * 2


def test_after_a_cut_a_face_is_known_where_place_size_and_appearance_agree():
    assert numbers([seen()], [seen(side=90, picture=STREET)]) == [[0], [0]]


@pytest.mark.parametrize(
    "other", [{"x": 400}, {"side": 130}, {"face": BEN}], ids=["place", "size", "appearance"]
)
def test_after_a_cut_another_place_size_or_appearance_is_somebody_else(other):
    assert numbers([seen()], [seen(picture=STREET, **other)]) == [[0], [1]]


def test_a_face_is_known_again_after_a_shot_of_somebody_else():
    shots = [seen(), seen(BEN, picture=STREET), seen(), seen(BEN, picture=STREET)]
    assert numbers(*([shot] for shot in shots)) == [[0], [1], [0], [1]]


def test_a_moment_without_a_face_changes_nothing():
    assert numbers([seen(), seen(BEN, x=400)], [], [seen(BEN, x=410), seen()]) == [
        [0, 1],
        [],
        [1, 0],
    ]


def test_a_cut_that_is_known_of_is_one_although_the_pictures_are_alike():
    people = People()
    assert people.number([seen()]) == [0]
    assert people.number([seen(BEN)], after_cut=True) == [1]


def test_a_picture_that_changes_size_keeps_its_faces():
    half = seen(x=50, side=40, size=(320, 180))
    half = dataclasses.replace(half, first_box=half.first_box - [0, 50, 0, 50])
    assert numbers([seen()], [half]) == [[0], [0]]


sightings = st.builds(
    seen,
    st.sampled_from([ANN, BEN]),
    st.sampled_from([0, 100, 120, 400]),
    st.sampled_from([80, 130]),
    st.sampled_from([STUDIO, STREET]),
)


@given(st.lists(st.lists(sightings, max_size=4), max_size=6))
def test_no_two_faces_of_a_moment_have_one_number_and_new_ones_are_in_order(moments):
    given_so_far = 0
    for moment in numbers(*moments):
        assert len(set(moment)) == len(moment)
        new = sorted(number for number in moment if number >= given_so_far)
        assert new == list(range(given_so_far, given_so_far + len(new)))
        given_so_far += len(new)


@pytest.fixture(scope="module")
def detector():
    return MtcnnDetector()


def sighting_of(image: np.ndarray, detector) -> Sighting:
    (face,) = detector.detect([image])[0][:1]
    return sighting(Track([face, None, face]), [image, None, image], [thumb(image)] * 3)


def test_the_same_face_in_other_light_and_size_looks_alike_and_another_does_not(detector):
    ann, ben = align(builtin(), detector)
    known, other = sighting_of(ann, detector), sighting_of(ben, detector)
    darker = sighting_of((ann * 0.7).astype(np.uint8), detector)
    smaller = sighting_of(np.ascontiguousarray(ann[::2, ::2]), detector)
    for again in (darker, smaller):
        assert known.appearance @ again.appearance > SAME_APPEARANCE
    assert known.appearance @ other.appearance < SAME_APPEARANCE - 0.1


def test_an_appearance_is_of_length_one_and_a_flat_picture_has_none():
    rng = np.random.default_rng(0)
    face = appearance([rng.integers(0, 256, (32, 32, 3), np.uint8)])
    assert face.shape == (320,) and np.linalg.norm(face) == pytest.approx(1, abs=1e-2)
    assert not appearance([np.full((32, 32, 3), 90, np.uint8)]).any()
