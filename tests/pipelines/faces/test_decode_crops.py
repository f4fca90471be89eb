"""Crops decoded without TensorFlow are those that TensorFlow decodes, to the bit."""

import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipelines.config import PreprocessConfig
from pipelines.faces.decode_crops import CropError, decode_crops
from trainer.input.clips import decode_frames

SIDE = 48


def jpeg(pixels: np.ndarray, *flags: int) -> bytes:
    return cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), flags)[1].tobytes()


@pytest.fixture(scope="module")
def pictures(astronaut) -> list[np.ndarray]:
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    return [cv2.resize(astronaut, (SIDE, SIDE), interpolation=cv2.INTER_AREA), noise]


@pytest.mark.parametrize("quality", [60, 90, PreprocessConfig().jpeg_quality, 100])
@pytest.mark.parametrize("sampling", ["444", "420"])
def test_jpegs_have_the_pixels_that_training_read(pictures, quality, sampling):
    factor = getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{sampling}")
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor]
    clip = [jpeg(pixels, *flags) for pixels in pictures]
    clips, mask = decode_crops([clip], 2, SIDE)
    np.testing.assert_array_equal(clips[0], decode_frames(tf.constant(clip), SIDE)[0])
    assert mask.all()


def test_pngs_and_grey_jpegs_have_the_pixels_that_training_read(pictures):
    grey = cv2.imencode(".jpg", pictures[0][..., 0])[1].tobytes()
    png = cv2.imencode(".png", cv2.cvtColor(pictures[0], cv2.COLOR_RGB2BGR))[1].tobytes()
    clips, _ = decode_crops([[grey, png]], 2, SIDE)
    np.testing.assert_array_equal(clips[0], decode_frames(tf.constant([grey, png]), SIDE)[0])
    np.testing.assert_array_equal(clips[0, 1], pictures[0])


def test_an_orientation_in_exif_is_left_alone_as_in_training(pictures, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Image.fromarray(pictures[0]).save(tmp_path / "a.jpg", exif=exif)
    image = (tmp_path / "a.jpg").read_bytes()
    clips, _ = decode_crops([[image]], 1, SIDE)
    np.testing.assert_array_equal(clips[0], decode_frames(tf.constant([image]), SIDE)[0])


def test_frames_without_a_face_are_black_and_masked_also_at_the_end(pictures):
    image = jpeg(pictures[0])
    clips, mask = decode_crops([[b"", image], [image]], 3, SIDE)
    assert clips.shape == (2, 3, SIDE, SIDE, 3) and clips.dtype == np.uint8
    assert mask.tolist() == [[False, True, False], [True, False, False]]
    assert not clips[~mask].any() and clips[mask].any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        ([b"no image"], "Frame 0 of clip 1 is no JPEG or PNG image: b'no image'"),
        ([b""] * 3, "Clip 1 has 3 frames; the model takes up to 2"),
        ([b"", jpeg(np.zeros((10, 20, 3), np.uint8))], "Frame 1 of clip 1 is 20x10 px"),
    ],
)
def test_what_the_model_does_not_take_is_named(clip, message):
    with pytest.raises(CropError, match=message):
        decode_crops([[], clip], 2, SIDE)
