"""Augmentation: what each operation does, and that one draw holds for all frames of a clip."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.faces.align import TEMPLATE
from trainer.input import augment, filters, geometry

FRAMES, HEIGHT, WIDTH = 3, 48, 64
OPERATIONS = {operation.__name__: operation for _, operation in augment.OPERATIONS}
STILL = [name for name in OPERATIONS if name != "add_noise"]


def seeds(count):
    return [tf.constant([number, 11], tf.int64) for number in range(count)]


def face(frames=FRAMES, shift=(0.0, 0.0), side_px=40.0):
    """Landmarks of a face that fills the crop, (T, 5, 2) px, moved by `shift` in each frame."""
    steps = np.arange(frames)[:, None, None] * np.array(shift)
    return tf.constant(TEMPLATE * side_px + [12.0, 4.0] + steps, tf.float32)


def picture(seed=0, height=HEIGHT, width=WIDTH):
    """A smooth picture with some fine detail, (H, W, 3) uint8."""
    random = np.random.default_rng(seed)
    coarse = tf.image.resize(random.uniform(30, 220, (6, 6, 3)), (height, width), "bicubic")
    return np.clip(coarse + random.normal(0, 4, (height, width, 3)), 0, 255).astype(np.uint8)


def still_clip(frames=FRAMES, **kwargs):
    return tf.constant(np.repeat(picture(**kwargs)[None], frames, axis=0))


def applied(name, clip, seed, landmarks=None):
    """Frames (T, H, W, 3) float32 and landmarks after one operation."""
    x = tf.cast(geometry.frames_last(tf.convert_to_tensor(clip)), tf.float32)
    x, landmarks = OPERATIONS[name](x, face() if landmarks is None else landmarks, seed)
    return geometry.frames_first(x).numpy(), landmarks.numpy()


def detail(frames):
    """Mean absolute difference of neighbours: how much fine detail there is."""
    return np.abs(np.diff(np.asarray(frames, np.float32), axis=-2)).mean()


# Traced once for each shape, which takes most of the time.
_augment = tf.function(augment.augment_clip)


def in_graph(clip, landmarks, seeds):
    """(N, T, H, W, 3) for N seeds."""
    clip, landmarks = tf.convert_to_tensor(clip), tf.convert_to_tensor(landmarks)
    return np.stack([_augment(clip, landmarks, seed).numpy() for seed in seeds])


def test_the_same_seed_gives_the_same_bytes_in_a_dataset_and_eagerly():
    clip, landmarks = still_clip(), face()
    dataset = tf.data.Dataset.from_tensor_slices(tf.stack(seeds(8))).map(
        lambda seed: augment.augment_clip(clip, landmarks, seed)
    )
    assert dataset.element_spec == tf.TensorSpec((FRAMES, HEIGHT, WIDTH, 3), tf.uint8)
    once = np.stack(list(dataset.as_numpy_iterator()))
    again = [augment.augment_clip(clip, landmarks, seed).numpy() for seed in seeds(8)]
    np.testing.assert_array_equal(once, again)


def test_other_seeds_give_other_clips():
    varied = in_graph(still_clip(), face(), seeds(12))
    assert len({clip.tobytes() for clip in varied}) >= 11


@pytest.mark.parametrize(("frames", "height", "width"), [(1, 32, 32), (2, 48, 40), (5, 33, 57)])
def test_shape_and_dtype_are_kept(frames, height, width):
    clip = still_clip(frames, height=height, width=width)
    for seed in seeds(4):
        varied = augment.augment_clip(clip, face(frames), tf.cast(seed, tf.int32))
        assert varied.dtype == tf.uint8
        assert varied.shape == clip.shape


def test_a_clip_of_unknown_size_is_refused():
    dataset = tf.data.Dataset.from_tensors(np.zeros((8, 8, 3), np.uint8)).batch(2)
    with pytest.raises(ValueError, match="all of it must be known"):
        dataset.map(lambda clip: augment.augment_clip(clip, face(2), tf.constant([1, 2])))


@pytest.mark.parametrize("name", STILL)
def test_a_still_clip_stays_still(name):
    for seed in seeds(3):
        varied, _ = applied(name, still_clip(), seed)
        np.testing.assert_allclose(varied, np.repeat(varied[:1], FRAMES, axis=0), atol=1e-3)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_changes_the_clip(name):
    clip = still_clip()
    varied, _ = applied(name, clip, seeds(1)[0])
    assert np.abs(varied - clip.numpy()).max() > 1


@pytest.mark.parametrize("level", [0, 255])
def test_black_and_white_do_not_wrap_around(level):
    clip = np.full((FRAMES, HEIGHT, WIDTH, 3), level, np.uint8)
    varied = in_graph(clip, np.zeros((FRAMES, 5, 2), np.float32), seeds(24))
    assert np.abs(varied.astype(int) - level).max() <= 110


def test_the_mean_brightness_changes_little():
    clip = still_clip()
    varied = in_graph(clip, face(), seeds(24))
    assert np.abs(varied.mean(axis=(1, 2, 3, 4)) - clip.numpy().mean()).max() < 45
    assert abs(varied.mean() - clip.numpy().mean()) < 10


@pytest.mark.parametrize(
    "landmarks",
    [np.zeros((FRAMES, 5, 2)), np.full((FRAMES, 5, 2), 20.0), np.full((FRAMES, 5, 2), -1e6)],
    ids=["zero", "one point", "far away"],
)
@pytest.mark.parametrize("name", OPERATIONS)
def test_degenerate_landmarks_give_finite_pixels(name, landmarks):
    for seed in seeds(2):
        varied, moved = applied(name, still_clip(), seed, tf.constant(landmarks, tf.float32))
        assert np.isfinite(varied).all()
        assert np.isfinite(moved).all()


def test_flip_mirrors_the_pixels():
    clip = still_clip()
    varied, _ = applied("flip", clip, seeds(1)[0])
    np.testing.assert_array_equal(varied, clip.numpy()[:, :, ::-1])


def test_flip_keeps_the_right_eye_left_in_the_image():
    _, landmarks = applied("flip", still_clip(), seeds(1)[0])
    expected = face().numpy()[:, [1, 0, 2, 4, 3]]
    expected[..., 0] = WIDTH - 1 - expected[..., 0]
    np.testing.assert_allclose(landmarks, expected)


def test_move_leaves_no_black_border():
    clip = np.full((FRAMES, HEIGHT, WIDTH, 3), 200, np.uint8)
    for seed in seeds(8):
        varied, _ = applied("move", clip, seed)
        np.testing.assert_allclose(varied, 200, atol=1e-3)


@pytest.mark.parametrize("name", ["flip", "move"])
def test_landmarks_stay_on_what_they_mark(name):
    landmarks = face()
    columns, rows = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    for seed in seeds(3):
        for i in range(5):
            x, y = landmarks.numpy()[0, i]
            spot = 200 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8)
            clip = np.repeat(spot[None, ..., None], 3, axis=-1).round().astype(np.uint8)
            varied, moved = applied(name, clip, seed, landmarks[:1])
            weight = varied[0, ..., 0]
            centre = [(weight * columns).sum(), (weight * rows).sum()] / weight.sum()
            order = [1, 0, 2, 4, 3] if name == "flip" else range(5)
            np.testing.assert_allclose(moved[0, order[i]], centre, atol=0.7)


def test_recolour_keeps_grey_neutral_to_within_the_gains():
    clip = np.full((FRAMES, HEIGHT, WIDTH, 3), 128, np.uint8)
    for seed in seeds(8):
        varied, _ = applied("recolour", clip, seed)
        assert np.ptp(varied.mean(axis=(0, 1, 2))) < 0.15 * 128 * 1.2


def test_colour_at_strength_zero_is_the_identity():
    transform = filters.colour_transform(seeds(1)[0], 0.0)
    x = tf.constant(picture(), tf.float32)
    np.testing.assert_allclose(filters.recoloured(x, transform), x, atol=0.1)


@pytest.mark.parametrize("name", ["blur", "rescale"])
def test_blur_and_rescale_lose_detail(name):
    clip = still_clip()
    for seed in seeds(5):
        varied, _ = applied(name, clip, seed)
        assert detail(varied) < 0.95 * detail(clip)


@pytest.mark.parametrize("name", ["blur", "rescale"])
def test_blur_and_rescale_keep_the_brightness_up_to_the_border(name):
    clip = np.full((FRAMES, HEIGHT, WIDTH, 3), 200, np.uint8)
    for seed in seeds(5):
        varied, _ = applied(name, clip, seed)
        np.testing.assert_allclose(varied, 200, atol=1e-2)


@pytest.mark.parametrize("sigma", [0.8, 2.0])
def test_blur_spreads_a_point_by_sigma(sigma):
    x = np.zeros((41, 41, 1, 3), np.float32)
    x[20, 20] = 1.0
    spread = filters.blurred(tf.constant(x), tf.constant(sigma), radius=8).numpy()[:, :, 0, 0]
    offsets = np.arange(41) - 20
    variance = (spread.sum(axis=0) * offsets**2).sum()
    assert variance == pytest.approx(sigma**2, rel=0.05)


def test_sharpening_adds_detail_and_keeps_the_brightness():
    clip = still_clip()
    varied, _ = applied("sharpen", clip, seeds(1)[0])
    assert detail(varied) > 1.1 * detail(clip)
    assert varied.mean() == pytest.approx(clip.numpy().mean(), rel=0.01)


def test_noise_is_new_in_every_frame_at_one_strength():
    clip = np.full((FRAMES, HEIGHT, WIDTH, 3), 128, np.uint8)
    varied, _ = applied("add_noise", clip, seeds(1)[0])
    deviations = varied.std(axis=(1, 2, 3))
    np.testing.assert_allclose(deviations, deviations[0], rtol=0.1)
    assert abs(np.corrcoef(varied[0, ..., 0].ravel(), varied[1, ..., 0].ravel())[0, 1]) < 0.1


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(-6, 6), st.integers(-6, 6))
def test_the_erased_part_moves_with_the_face(number, dx, dy):
    seed = tf.constant([number, 1], tf.int64)
    landmarks = tf.constant(face(2, (dx, dy)).numpy().round())
    mask = augment.part_mask(landmarks, (96, 96), seed).numpy()
    before = np.roll(mask[..., 0], (dy, dx), axis=(0, 1))[8:-8, 8:-8]
    assert before.any()
    # Rounding may take in or leave out pixels that lie exactly on the outline.
    assert (before != mask[8:-8, 8:-8, 1]).sum() <= 4


def test_erasing_covers_a_landmark_or_the_middle_between_two():
    points = face(1).numpy()[0]
    places = [points[0], points[1], points[2], points[3:].mean(axis=0), points[:2].mean(axis=0)]
    for seed in seeds(10):
        mask = augment.part_mask(face(1), (HEIGHT, WIDTH), seed).numpy()[..., 0]
        assert any(mask[round(y), round(x)] for x, y in places)


def test_nothing_is_erased_where_there_is_no_face():
    landmarks = tf.concat([tf.zeros([1, 5, 2]), face(1)], axis=0)
    for seed in seeds(5):
        mask = augment.part_mask(landmarks, (HEIGHT, WIDTH), seed).numpy()
        assert not mask[..., 0].any()
        assert mask[..., 1].any()


def test_erase_leaves_the_rest_of_the_picture():
    clip = still_clip()
    for seed in seeds(6):
        varied, _ = applied("erase", clip, seed)
        changed = (varied != clip.numpy()).any(axis=-1).mean()
        assert 0.0 < changed < 0.4


def test_jpeg_at_lower_quality_costs_more():
    clip = still_clip()
    changes = []
    for seed in seeds(12):
        quality = int(tf.random.stateless_uniform([], seed, 40, 101, tf.int32))
        changed = np.abs(augment.jpeg(clip, seed).numpy().astype(int) - clip.numpy()).mean()
        changes.append((quality, changed))
    changes.sort()
    assert changes[0][0] < 60 and changes[-1][0] > 85
    assert changes[0][1] > changes[-1][1] > 0


def test_jpeg_treats_all_frames_alike():
    varied = augment.jpeg(still_clip(), seeds(1)[0]).numpy()
    np.testing.assert_array_equal(varied, np.repeat(varied[:1], FRAMES, axis=0))


def test_h264_gives_the_same_bytes_from_many_threads_and_in_any_order():
    clip = still_clip(frames=5, height=48, width=40)
    numbers = tf.stack(seeds(24))
    dataset = tf.data.Dataset.from_tensor_slices(numbers).map(
        lambda seed: augment.h264(clip, seed), num_parallel_calls=8
    )
    assert dataset.element_spec == tf.TensorSpec(clip.shape, tf.uint8)
    side_by_side = list(dataset.as_numpy_iterator())
    one_by_one = [augment.h264(clip, seed).numpy() for seed in numbers[::-1]]
    np.testing.assert_array_equal(side_by_side, one_by_one[::-1])
    assert len({varied.tobytes() for varied in side_by_side}) > 20


def test_h264_takes_detail_and_leaves_colour_and_place():
    clip = still_clip(height=64, width=64).numpy().astype(int)
    for seed in seeds(6):
        varied = augment.h264(tf.constant(clip, tf.uint8), seed).numpy().astype(int)
        assert 1 < np.abs(varied - clip).mean() < 20
        assert detail(varied) < 0.95 * detail(clip)
        np.testing.assert_allclose(varied.mean((0, 1, 2)), clip.mean((0, 1, 2)), atol=4)
        shifts = [np.abs(np.roll(varied, s, 2) - clip)[:, :, 3:-3].mean() for s in (-1, 0, 1)]
        assert np.argmin(shifts) == 1


def test_frames_come_back_from_h264_in_their_order():
    clip = np.stack([picture(seed=i, height=64, width=64) for i in range(5)])
    varied = augment.h264(tf.constant(clip), seeds(1)[0]).numpy().astype(int)
    distances = np.abs(varied[:, None] - clip[None]).mean(axis=(2, 3, 4))
    np.testing.assert_array_equal(distances.argmin(axis=1), range(5))


def test_some_clips_go_through_jpeg_some_through_h264_and_some_through_neither(monkeypatch):
    monkeypatch.setattr(augment, "OPERATIONS", ())
    clip = still_clip(frames=2, height=32, width=32)
    number, untouched, alike = 400, 0, 0
    vary = tf.function(lambda seed: augment.augment_clip(clip, face(2), seed))
    for seed in seeds(number):
        varied = vary(seed).numpy()
        untouched += np.array_equal(varied, clip)
        # JPEG does the same to both frames; H.264 codes the second by the first.
        alike += np.array_equal(varied[0], varied[1]) and not np.array_equal(varied, clip)
    assert abs(untouched / number - 0.5) < 0.1 and alike / number > 0.1


def test_samples_at_the_pixels_are_the_pixels():
    image = tf.constant(picture())
    points = geometry.pixel_grid(HEIGHT, WIDTH)
    np.testing.assert_array_equal(geometry.sample(image, points), image.numpy())


def test_samples_beyond_the_border_are_mirrored():
    image = tf.constant(picture())
    points = geometry.pixel_grid(HEIGHT, WIDTH) - tf.constant([5.0, 7.0])
    mirrored = np.pad(image.numpy(), ((7, 0), (5, 0), (0, 0)), "reflect")[:HEIGHT, :WIDTH]
    np.testing.assert_array_equal(geometry.sample(image, points), mirrored)


@settings(max_examples=20, deadline=None)
@given(
    st.floats(-3, 3), st.floats(0.2, 5), st.floats(-50, 50), st.floats(-50, 50), st.floats(0, 100)
)
def test_inverse_undoes_a_transform(angle, scale, dx, dy, x):
    there = geometry.similarity(
        tf.constant([10.0, 20.0]), tf.constant(angle), tf.constant(scale), tf.constant([dx, dy])
    )
    point = tf.constant([[x, 3.0]])
    back = geometry.transformed(geometry.transformed(point, there), geometry.inverse(there))
    np.testing.assert_allclose(back, point, atol=1e-2)
