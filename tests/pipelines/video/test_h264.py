"""A clip through H.264: as many frames, in their order, the same bytes every time."""

import av
import numpy as np
import pytest

from pipelines.video.h264 import through_h264


@pytest.fixture(scope="module")
def clip(astronaut) -> np.ndarray:
    return np.stack([astronaut[80 + i : 147 + i, 70:131] for i in range(6)])  # of odd sides


@pytest.mark.parametrize("preset", ["ultrafast", "veryfast", "medium"])
def test_a_clip_comes_back_in_order_and_the_same_again(clip, preset):
    once = through_h264(clip, 20, preset)
    assert once.shape == clip.shape and once.dtype == np.uint8
    distances = np.abs(once[:, None].astype(int) - clip).mean(axis=(2, 3, 4))
    np.testing.assert_array_equal(distances.argmin(axis=1), range(len(clip)))
    for _ in range(20):
        np.testing.assert_array_equal(through_h264(clip, 20, preset), once)


def test_presets_and_rate_factors_differ(clip):
    results = [through_h264(clip, crf, p) for crf in (20, 35) for p in ("ultrafast", "veryfast")]
    assert len({result.tobytes() for result in results}) == 4


def test_a_codec_that_loses_frames_is_an_error(monkeypatch):
    class Silent:
        encode = decode = staticmethod(lambda frame: [])

    monkeypatch.setattr(av.CodecContext, "create", lambda *_: Silent(), raising=False)
    with pytest.raises(RuntimeError, match="gave 0 frames for 2"):
        through_h264(np.zeros((2, 32, 32, 3), np.uint8), 30)
