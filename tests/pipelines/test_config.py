"""The fingerprint of crops: what changes it and what does not."""

import dataclasses

import pytest

from pipelines.config import PreprocessConfig

CONFIG = PreprocessConfig()


@pytest.mark.parametrize(
    "change", [{"faces": "all"}, {"clips_per_video": 9}, {"sampling": "all"}], ids=str
)
def test_which_faces_and_moments_are_kept_is_no_property_of_a_crop(change):
    assert dataclasses.replace(CONFIG, **change).fingerprint == CONFIG.fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"sampling": "uniform"},
        {"frames_per_clip": 8},
        {"frame_stride": 1},
        {"crop_size": 112},
        {"margin": 0.2},
        {"jpeg_quality": 90},
    ],
    ids=str,
)
def test_what_changes_crops_or_the_time_between_them_changes_the_fingerprint(change):
    assert dataclasses.replace(CONFIG, **change).fingerprint != CONFIG.fingerprint
