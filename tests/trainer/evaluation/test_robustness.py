"""Damage done to clips: what each kind does, and that it does more at each level."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from trainer.evaluation.robustness import CONDITIONS, Condition, corrupt

KINDS = ("jpeg", "blur", "downscale", "noise", "h264", "brightness", "contrast")


def of(kind, level):
    return next(c for c in CONDITIONS if (c.kind, c.level) == (kind, level))


@pytest.fixture(scope="module")
def clips(astronaut):
    """(2, 4, 96, 80, 3): a face that drifts, and the same mirrored."""
    clip = np.stack([astronaut[80 + i : 176 + i, 70:150] for i in range(4)])
    return np.stack([clip, clip[:, :, ::-1]])


def psnr(damaged, clips):
    """In dB, of 8-bit images."""
    error = np.mean((np.asarray(damaged, float) - clips) ** 2)
    return 10 * np.log10(255**2 / error)


def test_there_are_seven_kinds_at_five_rising_levels():
    pairs = [(c.kind, c.level) for c in CONDITIONS]
    assert pairs == list(itertools.product(KINDS, range(1, 6)))


def test_labels_are_unique_and_say_how_strong():
    labels = [c.label for c in CONDITIONS]
    assert len(set(labels)) == len(labels)
    assert {"JPEG quality 50", "down-scaled to 25%", "H.264 CRF 40"} <= set(labels)


@pytest.mark.parametrize("kind", KINDS)
def test_every_level_takes_more_of_the_picture(clips, kind):
    left = [psnr(corrupt(clips, of(kind, level), 1), clips) for level in range(1, 6)]
    assert all(before - after > 0.5 for before, after in itertools.pairwise(left)), left


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda c: f"{c.kind}{c.level}")
def test_shape_and_type_are_kept_and_the_same_seed_gives_the_same_pixels(clips, condition):
    once = corrupt(clips, condition, 3)
    assert once.dtype == tf.uint8 and once.shape == clips.shape
    np.testing.assert_array_equal(once, corrupt(tf.constant(clips), condition, 3))
    assert not np.array_equal(once, clips)


def test_h264_does_not_depend_on_what_memory_held_before(clips):
    # With AVX-512 about one clip in 400 did.
    many = np.concatenate([clips] * 500)
    damaged = corrupt(many, of("h264", 3), 0).numpy().reshape(500, *clips.shape)
    assert not np.any(damaged != damaged[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 1, 48, 48, 3), (2, 3, 33, 47, 3), (0, 2, 32, 32, 3)])
def test_one_frame_odd_sides_and_no_clips_are_fine(kind, shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert corrupt(pixels, of(kind, 5), 0).shape == shape


@pytest.mark.parametrize("kind", KINDS)
def test_no_clip_or_colour_is_mixed_up_with_another(clips, kind):
    painted = clips // 4 + np.array([120, 60, 0], np.uint8)
    both = corrupt(painted, of(kind, 1), 0).numpy()
    assert psnr(both, painted) > 20
    # A clip is the same whatever clip is beside it.
    np.testing.assert_array_equal(both[:1], corrupt(painted[:1], of(kind, 1), 0))


def test_noise_is_white_new_in_each_frame_and_clip_and_as_strong_as_it_says():
    grey = np.full((2, 2, 64, 64, 3), 128, np.uint8)
    change = corrupt(grey, of("noise", 3), 7).numpy().astype(float) - 128
    assert change.std() == pytest.approx(12, rel=0.02)
    assert abs(change.mean()) < 0.2
    flat = change.reshape(4, -1)
    assert np.abs(np.corrcoef(flat) - np.eye(4)).max() < 0.05
    assert np.abs(np.corrcoef(change.reshape(-1, 3).T) - np.eye(3)).max() < 0.05
    other = corrupt(grey, of("noise", 3), 8).numpy().astype(float) - 128
    assert abs(np.corrcoef(change.ravel(), other.ravel())[0, 1]) < 0.05


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [("brightness", 200, 80), ("contrast", 128, 128), ("contrast", 228, 178), ("blur", 77, 77)],
)
def test_an_even_grey_becomes_what_it_should_at_level_four(kind, before, after):
    grey = np.full((1, 2, 32, 32, 3), before, np.uint8)
    assert np.unique(corrupt(grey, of(kind, 4), 0)).tolist() == [after]


def test_h264_uses_what_stays_the_same_from_frame_to_frame(astronaut):
    # Only a codec that predicts from other frames does better on a still clip than on its frames.
    still = np.repeat(astronaut[None, 60:188, 60:188], 8, axis=0)
    whole = psnr(corrupt(still[None], of("h264", 3), 0)[0, -1], still[0])
    alone = psnr(corrupt(still[:, None], of("h264", 3), 0)[-1, 0], still[0])
    assert whole > alone


@pytest.mark.parametrize(
    "clips",
    [
        np.zeros((2, 32, 32, 3), np.uint8),
        np.zeros((1, 2, 32, 32, 1), np.uint8),
        np.zeros((1, 2, 32, 32, 3), np.float32),
        tf.zeros((1, 2, 32, 32, 3)),
    ],
)
def test_what_are_no_clips_is_refused(clips):
    with pytest.raises(ValueError, match=r"expected uint8 \(B, T, H, W, 3\)"):
        corrupt(clips, CONDITIONS[0], 0)


def test_a_condition_of_ones_own_is_refused(clips):
    with pytest.raises(ValueError, match="is not one of trainer.evaluation.robustness.CONDITIONS"):
        corrupt(clips, Condition("jpeg", 6, "JPEG quality 1"), 0)
