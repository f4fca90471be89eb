"""Cuts: another picture begins a shot; motion, noise and light in the same picture do not."""

import numpy as np
import pytest
import skimage.data

from pipelines.video.cuts import cuts, thumb


def shots_of(frames) -> list[int]:
    return cuts([thumb(frame) for frame in frames])


def still(image: np.ndarray, frames: int, seed: int = 0) -> list[np.ndarray]:
    """The picture with a camera's noise."""
    noise = np.random.default_rng(seed).normal(0, 4, (frames, *image.shape))
    return list(np.clip(image + noise, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    photo, coffee = skimage.data.astronaut(), skimage.data.coffee()
    return [photo[:400, :500], coffee[:400, :500]]


@pytest.mark.parametrize("cut", [1, 2, 7, 15])
def test_another_picture_begins_a_shot(pictures, cut):
    a, b = pictures
    assert shots_of(still(a, cut) + still(b, 16 - cut)) == [cut]


def test_a_cut_away_and_back_is_two_cuts(pictures):
    a, b = pictures
    assert shots_of(still(a, 6) + still(b, 4) + still(a, 6)) == [6, 10]


def test_every_picture_of_a_fast_montage_begins_a_shot(pictures):
    a, b = pictures
    assert shots_of([a, b, a, b, a, b]) == [1, 2, 3, 4, 5]


def test_a_camera_that_pans_makes_no_cut(pictures):
    wide = np.concatenate([*pictures, pictures[0][:, ::-1]], axis=1)
    assert shots_of([wide[:, 15 * t : 15 * t + 500] for t in range(16)]) == []


@pytest.mark.parametrize("grey", [5, 90, 250])
def test_the_noise_of_a_grey_picture_is_no_cut(grey):
    assert shots_of(still(np.full((400, 500, 3), grey, np.uint8), 16)) == []


def test_light_that_changes_slowly_is_no_cut(pictures):
    light = np.linspace(1.0, 0.3, 16)
    assert shots_of([(pictures[0] * x).astype(np.uint8) for x in light]) == []


@pytest.mark.parametrize("frames", [0, 1])
def test_too_few_pictures_for_a_cut_have_none(pictures, frames):
    assert shots_of(pictures[:frames]) == []


def test_a_picture_that_changes_its_size_is_the_same_picture(pictures):
    assert shots_of([pictures[0]] * 4 + [pictures[0][::2, ::2]] * 4) == []
