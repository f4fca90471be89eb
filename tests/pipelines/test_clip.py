"""Records of faces: what tells a face again survives JSON to the last bit."""

import json

import numpy as np
import pytest

from pipelines.clip import Sighting


@pytest.fixture
def sighting() -> Sighting:
    rng = np.random.default_rng(0)
    boxes = rng.uniform(0, 300, (2, 4)).astype(np.float32)
    look = rng.normal(0, 0.05, 320).astype(np.float16).astype(np.float32)
    pictures = rng.integers(0, 256, (2, 9, 16, 3), np.uint8)
    return Sighting((640, 360), *boxes, look, *pictures)


def test_a_sighting_is_the_same_after_json(sighting):
    text = json.dumps(sighting.to_dict())
    again = Sighting.from_dict(json.loads(text))
    assert again.size == sighting.size
    for name in ("first_box", "last_box", "appearance", "first_picture", "last_picture"):
        mine, other = getattr(sighting, name), getattr(again, name)
        np.testing.assert_array_equal(mine, other)
        assert mine.dtype == other.dtype
    assert len(text) < 2500


@pytest.mark.parametrize(
    "change",
    [
        {"size": None},
        {"first_box": [1, 2, 3]},
        {"appearance": "not base64!"},
        {"pictures": "AAAA"},
        {"picture_size": "9x16"},
    ],
    ids=str,
)
def test_what_is_no_sighting_is_refused(sighting, change):
    with pytest.raises(ValueError):
        Sighting.from_dict({**sighting.to_dict(), **change})
