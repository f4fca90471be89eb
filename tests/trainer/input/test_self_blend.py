"""Self-blended clips: where they differ from the real clip, and how they do over time."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.faces.align import TEMPLATE
from trainer.input import geometry, self_blend

FRAMES, SIDE = 4, 64
ALIGNED = ((TEMPLATE - 0.5) / 1.3 + 0.5) * SIDE  # landmarks of an aligned crop with 30 % margin

DEGENERATE = pytest.mark.parametrize(
    "landmarks",
    [
        np.zeros((FRAMES, 5, 2)),
        np.full((FRAMES, 5, 2), 20.0),
        np.full((FRAMES, 5, 2), -1e6),
        np.linspace(0, 60, 5)[None, :, None] * np.ones((FRAMES, 1, 2)),
    ],
    ids=["zero", "one point", "far away", "in line"],
)


def seeds(count):
    return [tf.constant([number, 7], tf.int64) for number in range(count)]


def face(frames=FRAMES, shift=(0.0, 0.0)):
    steps = np.arange(frames)[:, None, None] * np.array(shift)
    return tf.constant(ALIGNED + steps, tf.float32)


def still_clip(frames=FRAMES, height=SIDE, width=SIDE):
    random = np.random.default_rng(5)
    coarse = tf.image.resize(random.uniform(30, 220, (12, 12, 3)), (height, width), "bicubic")
    picture = np.clip(coarse + random.normal(0, 4, (height, width, 3)), 0, 255)
    return tf.constant(np.repeat(picture[None].astype(np.uint8), frames, axis=0))


# Traced once for each shape, which takes most of the time.
_self_blend = tf.function(self_blend.self_blend)


def in_graph(clip, landmarks, seeds):
    """(N, T, H, W, 3) for N seeds."""
    return np.stack([_self_blend(clip, landmarks, seed).numpy() for seed in seeds])


def test_the_same_seed_gives_the_same_bytes_in_a_dataset_and_eagerly():
    clip, landmarks = still_clip(), face()
    dataset = tf.data.Dataset.from_tensor_slices(tf.stack(seeds(4))).map(
        lambda seed: self_blend.self_blend(clip, landmarks, seed)
    )
    assert dataset.element_spec == tf.TensorSpec((FRAMES, SIDE, SIDE, 3), tf.uint8)
    once = np.stack(list(dataset.as_numpy_iterator()))
    again = [self_blend.self_blend(clip, landmarks, seed).numpy() for seed in seeds(4)]
    np.testing.assert_array_equal(once, again)


def test_other_seeds_give_other_clips():
    blended = in_graph(still_clip(), face(), seeds(6))
    assert len({clip.tobytes() for clip in blended}) == 6


@pytest.mark.parametrize(("frames", "height", "width"), [(1, 32, 32), (2, 48, 40), (5, 33, 57)])
def test_shape_and_dtype_are_kept(frames, height, width):
    clip = still_clip(frames, height, width)
    blended = self_blend.self_blend(clip, face(frames), tf.constant([1, 2]))
    assert blended.dtype == tf.uint8
    assert blended.shape == clip.shape


def test_a_blend_differs_from_the_real_clip():
    clip = still_clip()
    for blended in in_graph(clip, face(), seeds(8)):
        assert np.abs(blended.astype(int) - clip.numpy()).max() >= 4


def test_a_blend_stays_near_the_real_clip():
    clip = still_clip()
    blended = in_graph(clip, face(), seeds(16)).astype(float)
    assert np.abs(blended - clip.numpy()).mean(axis=(1, 2, 3, 4)).max() < 30


def test_only_the_face_moves(monkeypatch):
    monkeypatch.setattr(self_blend, "restyled", lambda x, seed: x)
    clip = still_clip()
    for seed in seeds(6):
        blended = self_blend.self_blend(clip, face(), seed).numpy()
        changed = (blended != clip.numpy()).any(axis=(0, 3))
        assert changed[SIDE // 4 : -SIDE // 8, SIDE // 4 : -SIDE // 4].any()
        assert not changed[:2].any()
        assert not changed[:, :2].any() and not changed[:, -2:].any()


def test_a_still_clip_trembles_by_less_than_the_face_was_moved():
    clip = still_clip()
    for blended in in_graph(clip, face(), seeds(8)).astype(float):
        over_time = np.abs(blended - blended.mean(axis=0)).mean()
        assert over_time <= 0.5 * np.abs(blended - clip.numpy()).mean()


@pytest.mark.parametrize("level", [0, 255])
def test_black_and_white_do_not_wrap_around(level):
    clip = tf.fill([FRAMES, SIDE, SIDE, 3], tf.constant(level, tf.uint8))
    blended = in_graph(clip, face(), seeds(12)).astype(int)
    assert np.abs(blended - level).max() <= 80


@DEGENERATE
def test_degenerate_landmarks_give_a_finite_mask(landmarks):
    for seed in seeds(3):
        mask = self_blend.face_mask(tf.constant(landmarks, tf.float32), (SIDE, SIDE), seed)
        assert np.isfinite(mask).all()


@DEGENERATE
def test_clips_with_degenerate_landmarks_are_blended_without_error(landmarks):
    self_blend.self_blend(still_clip(), tf.constant(landmarks, tf.float32), seeds(1)[0])


def test_there_is_no_mask_where_there_is_no_face():
    landmarks = tf.concat([tf.zeros([1, 5, 2]), face(1)], axis=0)
    mask = self_blend.face_mask(landmarks, (SIDE, SIDE), seeds(1)[0]).numpy()
    assert mask[..., 0].max() == 0.0
    assert mask[..., 1].max() > 0.5


@pytest.mark.parametrize("seed", seeds(12), ids=range(12))
def test_a_mask_covers_part_of_the_face_and_fades_before_the_border(seed):
    mask = self_blend.face_mask(face(1), (SIDE, SIDE), seed).numpy()[..., 0]
    assert mask.min() >= 0.0 and mask.max() <= 1.0
    assert mask.max() > 0.9
    assert 0.01 < mask.mean() < 0.5
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    assert border.max() < 0.05


def test_masks_differ_from_seed_to_seed():
    areas = [self_blend.face_mask(face(1), (SIDE, SIDE), s).numpy().mean() for s in seeds(16)]
    assert max(areas) > 2 * min(areas)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(-4, 4), st.integers(-4, 4))
def test_a_mask_moves_with_the_face(number, dx, dy):
    # Even steps: the mask is made at half the resolution.
    shift = (2 * dx, 2 * dy)
    mask = self_blend.face_mask(face(2, shift), (SIDE, SIDE), tf.constant([number, 3])).numpy()
    moved = np.roll(mask[..., 0], shift[::-1], axis=(0, 1))
    inside = slice(10, -10)
    np.testing.assert_allclose(mask[inside, inside, 1], moved[inside, inside], atol=1e-3)


@pytest.mark.parametrize("scale", [0.7, 1.2])
def test_a_mask_grows_with_the_face(scale):
    middle = SIDE / 2
    landmarks = tf.concat([face(1), (face(1) - middle) * scale + middle], axis=0)
    mask = self_blend.face_mask(landmarks, (SIDE, SIDE), seeds(1)[0]).numpy()
    areas = mask.sum(axis=(0, 1))
    assert areas[1] / areas[0] == pytest.approx(scale**2, rel=0.1)


def test_an_affine_transform_is_found_again_from_the_landmarks_it_moved():
    there = tf.constant([[[30.0, -4.0, 7.0], [6.0, 25.0, 9.0]]])
    landmarks = geometry.transformed(tf.constant(TEMPLATE, tf.float32), there[0])
    np.testing.assert_allclose(geometry.fitted(TEMPLATE, landmarks[None]), there, atol=1e-3)


def test_the_tremor_is_slow_and_bounded():
    for seed in seeds(8):
        path = self_blend.tremor(seed, 16, 0.9).numpy()
        assert np.abs(path).max() <= 0.9
        assert np.abs(np.diff(path, axis=0)).max() <= 0.7 * np.ptp(path, axis=0).max() + 1e-6


@pytest.mark.parametrize("offset", [(0.0, 0.0), (1.0, 0.0), (0.0, -1.0), (1.0, 1.0)])
def test_each_frame_is_shifted_by_its_own_offset(offset):
    clip = tf.cast(geometry.frames_last(still_clip(2)), tf.float32)
    moved = self_blend.shifted(clip, tf.constant([(0.0, 0.0), offset]), margin=1).numpy()
    dx, dy = (int(step) for step in offset)
    inside = clip.numpy()[1:-1, 1:-1, 0]
    expected = np.roll(clip.numpy()[..., 1, :], (dy, dx), axis=(0, 1))[1:-1, 1:-1]
    np.testing.assert_allclose(moved[..., 0, :], inside, atol=1e-3)
    np.testing.assert_allclose(moved[..., 1, :], expected, atol=1e-3)


def test_the_face_centre_is_that_of_the_frames_with_a_face():
    landmarks = tf.concat([tf.zeros([2, 5, 2]), face(1)], axis=0)
    np.testing.assert_allclose(self_blend.face_centre(landmarks), ALIGNED.mean(axis=0), rtol=1e-5)
